package main

import (
	"context"
	"errors"
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
	return testImage{size, "bench" + strings.ReplaceAll(text, ".", "-"), "localhost/gifford/bench:" + text,
		path.Join(workDir, "image-"+text+".tar")}
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
		if err := removeImage(ctx, b.host, img); err != nil {
			return fmt.Errorf("image %s: %w", img.name, err)
		}
	}
	return nil
}

// removeImage waits until what the last servers leave behind, such as the note of the image
// that they used, has been cleared away after their end.
func removeImage(ctx context.Context, h *host, img testImage) (err error) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if err = h.keeper.Remove(ctx, img.name); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// prepareImage generates the archive, adds the profile and lets the keeper load it.
func prepareImage(ctx context.Context, h *host, img testImage) error {
	progress("making an image of %g GB", img.size)
	if err := writeImage(os.Getenv("BENCH_BASE"), h.path(img.archive), img.name, int64(img.size*gigabyte)); err != nil {
		return err
	}
	begun := time.Now()
	if err := h.addProfile(ctx, fmt.Sprintf("[profile.%s]\nimage = %q\narchive = %q\n", img.profile, img.name,
		img.archive), img.profile); err != nil {
		return err
	}
	progress("the keeper has loaded it in %s", time.Since(begun).Round(100*time.Millisecond))
	return nil
}

// cost is what one first start took.
type cost struct {
	active float64 // seconds from the request to the active unit
	disk   float64 // MB
	cpu    float64 // CPU seconds of the whole host meanwhile
}

// firstStart alternates one new member of ours and one of the peer's.
func firstStart(ctx context.Context, b *bench, img testImage) error {
	var ours, peer []cost
	for round := range roundsFor(img.size) {
		o, err := ourFirstStart(ctx, b.host, img.profile)
		if err != nil {
			return err
		}
		p, err := peerFirstStart(ctx, b.host, img)
		if err != nil {
			return err
		}
		ours, peer = append(ours, o), append(peer, p)
		progress("%g GB, round %d: ours %.3f s, %.3f MB, %.2f CPU seconds; %s %.1f s, %.0f MB, %.1f CPU seconds",
			img.size, round+1, o.active, o.disk, o.cpu, peerName, p.active, p.disk, p.cpu)
	}
	for _, f := range []struct {
		name, unit string
		of         func(cost) float64
	}{
		{"active", "s", func(c cost) float64 { return c.active }},
		{"disk", "MB", func(c cost) float64 { return c.disk }},
		{"cpu", "s", func(c cost) float64 { return c.cpu }},
	} {
		if err := b.figures.add(fmt.Sprintf("first-start-%gGB-%s", img.size, f.name), f.unit, peerName,
			each(ours, f.of), each(peer, f.of)); err != nil {
			return err
		}
	}
	return nil
}

func each(costs []cost, of func(cost) float64) []float64 {
	list := make([]float64, len(costs))
	for i, c := range costs {
		list[i] = of(c)
	}
	return list
}

// timed returns the time that a start says it took, and the host's CPU time meanwhile.
func (h *host) timed(start func() (time.Duration, error)) (cost, error) {
	if err := h.settle(); err != nil {
		return cost{}, err
	}
	before, err := h.cpuSeconds()
	if err != nil {
		return cost{}, err
	}
	took, err := start()
	if err != nil {
		return cost{}, err
	}
	after, err := h.cpuSeconds()
	return cost{active: took.Seconds(), cpu: after - before}, err
}

// ourFirstStart is a new member's first start; on disk it costs their own storage and what
// the shared store has grown.
func ourFirstStart(ctx context.Context, h *host, profile string) (cost, error) {
	who, err := h.member(ctx)
	if err != nil {
		return cost{}, err
	}
	before, err := h.diskUse(ctx, imagestore.Dir)
	if err != nil {
		return cost{}, err
	}
	c, err := h.timed(func() (time.Duration, error) { return h.start(ctx, who, profile) })
	if err != nil {
		return cost{}, err
	}
	after, err := h.diskUse(ctx, imagestore.Dir, path.Join(usersDir, who.name))
	c.disk = (after - before) / 1e6
	return c, errors.Join(err, h.stop(ctx, who))
}

// peerFirstStart is the same with plain rootless Podman.
func peerFirstStart(ctx context.Context, h *host, img testImage) (cost, error) {
	p, err := h.newPlain(ctx)
	if err != nil {
		return cost{}, err
	}
	c, err := h.timed(func() (time.Duration, error) {
		return p.start(ctx, h, img.archive, img.name, []string{"jupyterhub-singleuser"})
	})
	if err != nil {
		return cost{}, err
	}
	used, err := h.diskUse(ctx, p.home)
	c.disk = used / 1e6
	return c, errors.Join(err, p.end(ctx, h))
}
