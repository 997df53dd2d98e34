package keeper

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// Rollback points a name at an image that it had before, and holds it there: refreshing leaves the name alone until the
// next Pull of it. It waits for another change of the name until ctx ends.
func (k *Keeper) Rollback(ctx context.Context, req imagekeeper.RollbackRequest) (imagekeeper.Image, error) {
	name, err := normal(req.Name)
	if err != nil {
		return imagekeeper.Image{}, err
	}
	if err := k.rollBack(ctx, name, req.To); err != nil {
		return imagekeeper.Image{}, err
	}
	d, err := k.Image(ctx, name)
	return d.Image, err
}

func (k *Keeper) rollBack(ctx context.Context, name, to string) error {
	end, err := k.begin(ctx, name)
	if err != nil {
		return err
	}
	defer end()
	h, err := readHistory(k.cfg.StateDir)
	if err != nil {
		return err
	}
	former, err := chosen(h.of(name).Former, name, to)
	if err != nil {
		return err
	}
	repository, tag, err := splitTag(name)
	if err != nil {
		return err
	}
	r, err := k.hold(ctx, name)
	if err != nil {
		return err
	}
	if err := k.cfg.Podman.tag(ctx, former.ID, repository, tag); err != nil {
		return errors.Join(fmt.Errorf("cannot go back to image %.12s: %w", former.ID, err), r.rollback(ctx))
	}
	if _, err := r.commit(ctx, func(n *nameHistory) { n.Held = true }); err != nil {
		return err
	}
	k.cfg.Log.Info("image rolled back", "event", "image-rollback", "image", name, "id", former.ID, "from", r.before)
	return nil
}

// chosen picks the former image: the newest, or the one of a digest or ID.
func chosen(former []imagekeeper.Former, name, to string) (imagekeeper.Former, error) {
	for _, f := range former {
		if to == "" || f.Digest == to || idPrefix(to) && strings.HasPrefix(f.ID, to) {
			return f, nil
		}
	}
	step := "gifford-hub images show " + name
	if to == "" {
		return imagekeeper.Former{}, refuseWith(step, "%s has no former image to go back to", name)
	}
	return imagekeeper.Former{}, refuseWith(step, "%s was never image %.80s", name, to)
}
