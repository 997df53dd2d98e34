package keeper

import (
	"context"
	"fmt"

	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// Prune removes the images that no name, no server and no retained former name needs. It waits until no image is pulled
// or imported, whose layers it could take away, until ctx ends; it does not hold up what comes while it waits.
func (k *Keeper) Prune(ctx context.Context, req imagekeeper.PruneRequest) (imagekeeper.Pruned, error) {
	rules, err := k.cfg.Policy()
	if err != nil {
		return imagekeeper.Pruned{}, err
	}
	retain := rules.Images.KeepFormer
	if req.KeepFormer != nil {
		retain = max(0, *req.KeepFormer)
	}
	if err := k.changes.close(ctx); err != nil {
		return imagekeeper.Pruned{}, err
	}
	defer k.changes.open()
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
			if !req.DryRun {
				if err := k.drop(ctx, image.ID); err != nil {
					return fmt.Errorf("cannot remove image %.12s: %w", image.ID, err)
				}
			}
			result.Images = append(result.Images, image)
			result.Freed += image.Size
		}
		return nil
	})
	return result, err
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
