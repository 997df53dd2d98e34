package check

import (
	"context"
	"errors"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/disk"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// viewer is the program that makes members' views of the store.
const viewer = "/usr/libexec/gifford-hub/gifford-view"

// images reports whether members share the one store of images, and if not why starts are
// slow.
func images(ctx context.Context, r *run) []finding {
	switch {
	case r.policy == nil:
		return unknown("", "the policy cannot be read")
	case !r.policy.Images.Share:
		return warn("share = true in [images] of "+policy.File,
			"share is false: every member has a copy of each image, made at the first start")
	case !r.Host.Root():
		return unknown(asRoot, "only root may read the store")
	}
	if _, err := r.Host.Run(ctx, viewer, "probe"); err != nil {
		why := strings.TrimPrefix(err.Error(), "gifford-view: ")
		return warn("put /var/lib/gifford-images on ext4, xfs or btrfs of this host",
			"members cannot share images and get copies, which makes first starts slow: %s", why)
	}
	d, err := r.Keeper.Disk(ctx)
	switch {
	case errors.Is(err, imagekeeper.ErrUnreachable):
		return warn("systemctl start gifford-images.socket; systemctl status gifford-images",
			"the image keeper does not answer, so members get copies: %v", err)
	case err != nil:
		return warn("journalctl -u gifford-images", "the image keeper cannot measure its disk: %v", err)
	case d.Low:
		return warn("gifford-hub images prune", "no image is pulled or imported: only %s are free at %s",
			disk.Size(d.Free), d.Path)
	}
	return ok("members share one store of images")
}
