package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/imagestore"
)

const (
	usersDir = "/var/lib/gifford-launcher/users"
	// manyOn is the image's size, in GB, on which many start at once.
	manyOn = 1.4
)

// testImage is a generated image with its profile.
type testImage struct {
	size                   float64 // GB
	profile, name, archive string  // the archive is a path of the host
}

func newTestImage(size float64) testImage {
	text := strconv.FormatFloat(size, 'g', -1, 64)
	return testImage{size, "bench" + strings.ReplaceAll(text, ".", "-"), "localhost/gifford/bench:" + text, path.Join(workDir, "image-"+text+".tar")}
}

// roundsFor is fewer where a round of the peer takes minutes.
func roundsFor(size float64) int {
	switch {
	case size < 1:
		return 5
	case size < 4:
		return 3
	}
	return 1
}

// firstStarts measures new members' first starts on images of all sizes, one after the
// other, since each needs several times its size on disk.
func firstStarts(ctx context.Context, b *bench, sizes []float64) error {
	for _, size := range sizes {
		img := newTestImage(size)
		if err := b.host.needFree(5*size + 3); err != nil {
			return err
		}
		if err := prepareImage(ctx, b.host, img); err != nil {
			return err
		}
		if err := firstStart(ctx, b, img); err != nil {
			return err
		}
		if err := os.Remove(b.host.path(img.archive)); err != nil {
			return err
		}
		if size == manyOn {
			if err := manyStarts(ctx, b, img); err != nil {
				return err
			}
		}
		if err := b.host.keeper.Remove(ctx, img.name); err != nil {
			return fmt.Errorf("image %s: %w", img.name, err)
		}
	}
	return nil
}

// prepareImage generates the archive, adds the profile and lets the keeper load it.
func prepareImage(ctx context.Context, h *host, img testImage) error {
	progress("making an image of %g GB", img.size)
	if err := writeImage(os.Getenv("BENCH_BASE"), h.path(img.archive), img.name, int64(img.size*gigabyte)); err != nil {
		return err
	}
	begun := time.Now()
	if err := h.addProfile(ctx, fmt.Sprintf("[profile.%s]\nimage = %q\narchive = %q\n", img.profile, img.name, img.archive), img.profile); err != nil {
		return err
	}
	progress("the keeper has loaded it in %s", time.Since(begun).Round(100*time.Millisecond))
	return nil
}

// firstStart alternates one new member of ours and one of the peer's.
func firstStart(ctx context.Context, b *bench, img testImage) error {
	var ours, peer, oursDisk, peerDisk []float64
	for round := range roundsFor(img.size) {
		took, disk, err := ourFirstStart(ctx, b.host, img.profile)
		if err != nil {
			return err
		}
		ours, oursDisk = append(ours, took.Seconds()), append(oursDisk, disk/1e6)
		theirs, theirDisk, err := peerFirstStart(ctx, b.host, img)
		if err != nil {
			return err
		}
		peer, peerDisk = append(peer, theirs.Seconds()), append(peerDisk, theirDisk/1e6)
		progress("%g GB, round %d: ours %.3f s, %.3f MB; %s %.1f s, %.0f MB", img.size, round+1, took.Seconds(), disk/1e6, peerName, theirs.Seconds(), theirDisk/1e6)
	}
	name := fmt.Sprintf("first-start-%gGB", img.size)
	if err := b.figures.add(name+"-active", "s", peerName, ours, peer); err != nil {
		return err
	}
	return b.figures.add(name+"-disk", "MB", peerName, oursDisk, peerDisk)
}

// ourFirstStart gives time and bytes of a new member's first start: his own storage and
// what the shared store has grown.
func ourFirstStart(ctx context.Context, h *host, profile string) (time.Duration, float64, error) {
	who, err := h.member(ctx)
	if err != nil {
		return 0, 0, err
	}
	before, err := h.diskUse(ctx, imagestore.Dir)
	if err != nil {
		return 0, 0, err
	}
	if err := h.settle(); err != nil {
		return 0, 0, err
	}
	took, err := h.start(ctx, who, profile)
	if err != nil {
		return 0, 0, err
	}
	after, err := h.diskUse(ctx, imagestore.Dir)
	if err != nil {
		return 0, 0, err
	}
	own, err := h.diskUse(ctx, path.Join(usersDir, who.name))
	if err != nil {
		return 0, 0, err
	}
	return took, own + after - before, h.stop(ctx, who)
}

// peerFirstStart gives the same of plain rootless Podman.
func peerFirstStart(ctx context.Context, h *host, img testImage) (time.Duration, float64, error) {
	p, err := h.newPlain(ctx)
	if err != nil {
		return 0, 0, err
	}
	if err := h.settle(); err != nil {
		return 0, 0, err
	}
	took, err := p.start(ctx, h, img.archive, img.name, []string{"jupyterhub-singleuser"})
	if err != nil {
		return 0, 0, err
	}
	own, err := h.diskUse(ctx, p.home)
	if err != nil {
		return 0, 0, err
	}
	return took, own, p.end(ctx, h)
}
