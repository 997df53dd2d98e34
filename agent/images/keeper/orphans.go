package keeper

import (
	"bytes"
	"context"
	"fmt"
)

// Tidy removes, in the background, the layers that a keeper which was killed has left behind.
func (k *Keeper) Tidy() {
	k.wg.Go(func() {
		if k.changes.close(k.ctx) == nil {
			defer k.changes.open()
			k.removeOrphans(k.ctx)
		}
	})
}

// sweep removes the layers that a failed change has left behind. While other changes are under way, whose layers have
// no image either, it leaves that to the last of them. It goes on when ctx has ended.
func (k *Keeper) sweep(ctx context.Context, failed bool) {
	if failed {
		k.orphans.Store(true)
	}
	if !k.orphans.Load() || !k.changes.tryClose() {
		return
	}
	defer k.changes.open()
	k.orphans.Store(false)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoing)
	defer cancel()
	k.removeOrphans(ctx)
}

// removeOrphans removes layers that belong to no image, or logs why it cannot. The caller has closed the gate: nothing
// else brings layers.
func (k *Keeper) removeOrphans(ctx context.Context) {
	if err := k.adoptOrphans(ctx); err != nil {
		k.cfg.Log.Warn("cannot remove layers without an image", "event", "images-left", "error", err)
	}
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
