package keeper

import (
	"context"
	"fmt"

	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// pruning is the lock of whoever prunes. It is no image's name.
const pruning = "/prune"

// Prune removes the images that no name, no server and no retained former name needs. It waits for another Prune until
// ctx ends, and for nothing else: what a change under way may need stays. A pull that builds on layers of an image
// which is removed meanwhile fails, and can be repeated.
func (k *Keeper) Prune(ctx context.Context, req imagekeeper.PruneRequest) (imagekeeper.Pruned, error) {
	rules, err := k.cfg.Policy()
	if err != nil {
		return imagekeeper.Pruned{}, err
	}
	retain := rules.Images.KeepFormer
	if req.KeepFormer != nil {
		retain = max(0, *req.KeepFormer)
	}
	end, err := k.begin(ctx, pruning)
	if err != nil {
		return imagekeeper.Pruned{}, err
	}
	defer end()
	result := imagekeeper.Pruned{Images: []imagekeeper.Image{}}
	err = k.withoutViews(ctx, func(map[string][]string) error {
		all, err := k.Images(ctx) // with what is in use
		if err != nil {
			return err
		}
		h, err := readHistory(k.cfg.StateDir)
		if err != nil {
			return err
		}
		for _, image := range prunable(all, h.Names, retain) {
			removed, err := k.prune(ctx, image, req.DryRun)
			if err != nil {
				return fmt.Errorf("cannot remove image %.12s: %w", image.ID, err)
			}
			if removed {
				result.Images = append(result.Images, image)
				result.Freed += image.Size
			}
		}
		return nil
	})
	return result, err
}

// prune removes an image, or says that it would, unless a change under way has brought it or is about to name it.
func (k *Keeper) prune(ctx context.Context, image imagekeeper.Image, dry bool) (removed bool, err error) {
	unlock, free := k.names.tryLock(image.FormerOf...)
	if !free {
		return false, nil
	}
	defer unlock()
	s, _, err := k.lookup(ctx, image.ID) // it may have got a name since
	if err != nil || len(visible(s.names)) > 0 {
		return false, err
	}
	if unfinished, err := k.unfinished(s); err != nil || unfinished {
		return false, err
	}
	if dry {
		return true, nil
	}
	return true, k.drop(ctx, image.ID)
}

// prunable returns those of the images that have no name, are not in use and are not among the newest former images of
// a name, of which it retains a number.
func prunable(all []imagekeeper.Image, names map[string]*nameHistory, retain int) []imagekeeper.Image {
	retained := map[string]bool{}
	for _, n := range names {
		for _, f := range n.Former[:min(retain, len(n.Former))] {
			retained[f.ID] = true
		}
	}
	var found []imagekeeper.Image
	for _, image := range all {
		if len(image.Names) == 0 && len(image.InUse) == 0 && !retained[image.ID] {
			found = append(found, image)
		}
	}
	return found
}
