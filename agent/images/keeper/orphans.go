package keeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// tidying bounds the removal of what changes have left behind, during which no change can begin.
const tidying = 2 * time.Minute

// Tidy removes, in the background, what a keeper which was killed has left behind.
func (k *Keeper) Tidy() {
	k.wg.Go(func() {
		if k.changes.close(k.ctx) == nil {
			defer k.changes.open()
			k.removeLeft(k.ctx)
		}
	})
}

// sweep removes what a failed change has left behind. While other changes are under way, whose images have no name and
// whose layers have no image either, it leaves that to the last of them. It goes on when ctx has ended.
func (k *Keeper) sweep(ctx context.Context, failed bool) {
	if failed {
		k.orphans.Store(true)
	}
	if !k.orphans.Load() || !k.changes.tryClose() {
		return
	}
	defer k.changes.open()
	k.orphans.Store(false)
	k.removeLeft(context.WithoutCancel(ctx))
}

// removeLeft removes images that never had a name and layers that belong to no image, or logs why it cannot. The caller
// has closed the gate: nothing else brings any. It opens soon: a Podman that does not answer must not hold up changes.
func (k *Keeper) removeLeft(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, tidying)
	defer cancel()
	if err := errors.Join(k.removeUnnamed(ctx), k.adoptOrphans(ctx)); err != nil {
		k.cfg.Log.Warn("cannot remove what a failed change of images left", "event", "images-left", "error", err)
	}
}

func (k *Keeper) removeUnnamed(ctx context.Context) error {
	all, err := k.cfg.Podman.list(ctx)
	if err != nil {
		return err
	}
	h, err := readHistory(k.cfg.StateDir)
	if err != nil {
		return err
	}
	left := unnamed(all, h)
	if len(left) == 0 {
		return nil
	}
	return k.withoutViews(ctx, func(uses map[string][]string) error {
		for _, id := range left {
			if len(uses[id]) > 0 {
				continue
			}
			if err := k.cfg.Podman.remove(ctx, id); err != nil {
				return fmt.Errorf("cannot remove image %.12s, which has no name: %w", id, err)
			}
			k.cfg.Log.Info("removed an image without a name", "event", "image-removed", "id", id)
		}
		return nil
	})
}

// unnamed returns the IDs of the images that never had a name: a change that brought them has failed.
func unnamed(all []summary, h *history) []string {
	var left []string
	for _, s := range all {
		if h.neverNamed(s) {
			left = append(left, s.id)
		}
	}
	return left
}

func (k *Keeper) adoptOrphans(ctx context.Context) error {
	store, err := k.store()
	if err != nil {
		return err
	}
	chains := store.Orphans()
	store.Close()
	for _, chain := range chains {
		var archive bytes.Buffer
		id, err := adopter(chain, &archive)
		if err == nil {
			_, err = k.cfg.Podman.load(ctx, &archive)
		}
		if err == nil {
			err = k.cfg.Podman.remove(ctx, id)
		}
		if err != nil {
			return fmt.Errorf("cannot remove layer %.12s, which belongs to no image: %w", chain[len(chain)-1].ID, err)
		}
		k.cfg.Log.Info("removed layers without an image", "event", "layers-removed", "layers", len(chain))
	}
	return nil
}
