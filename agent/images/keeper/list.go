package keeper

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// Images lists the images of the store, those with names first.
func (k *Keeper) Images(ctx context.Context) ([]imagekeeper.Image, error) {
	rules, err := k.cfg.Policy()
	if err != nil {
		return nil, err
	}
	found, err := k.cfg.Podman.list(ctx)
	if err != nil {
		return nil, err
	}
	h, err := readHistory(k.cfg.StateDir)
	if err != nil {
		return nil, err
	}
	uses, err := imagestore.Uses(k.cfg.LauncherRun, k.cfg.LauncherState)
	if err != nil {
		return nil, err
	}
	list := []imagekeeper.Image{}
	for _, s := range found {
		image := imagekeeper.Image{ID: s.id, Names: visible(s.names), Digest: s.digest, Size: s.size,
			Created: s.created, Pulled: h.Pulled[s.id],
			Profiles: []string{}, FormerOf: h.formerOf(s.id), InUse: append([]string{}, uses[s.id]...)}
		for _, name := range image.Names {
			image.Profiles = append(image.Profiles, profilesOf(rules, name)...)
			image.Held = image.Held || h.of(name).Held
			if _, digest, ok := strings.Cut(name, "@"); ok {
				image.Digest = digest // the image may have had another manifest before
			}
		}
		list = append(list, image)
	}
	slices.SortFunc(list, func(a, b imagekeeper.Image) int {
		return cmp.Or(cmp.Compare(min(1, len(b.Names)), min(1, len(a.Names))), slices.Compare(a.Names, b.Names),
			b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
	return list, nil
}

// Image returns all that is known of one image.
func (k *Keeper) Image(ctx context.Context, name string) (imagekeeper.Detail, error) {
	s, _, err := k.lookup(ctx, name)
	if err != nil {
		return imagekeeper.Detail{}, err
	}
	list, err := k.Images(ctx)
	if err != nil {
		return imagekeeper.Detail{}, err
	}
	h, err := readHistory(k.cfg.StateDir)
	if err != nil {
		return imagekeeper.Detail{}, err
	}
	config, err := k.cfg.Podman.inspect(ctx, s.id)
	if err != nil {
		return imagekeeper.Detail{}, err
	}
	d := imagekeeper.Detail{Layers: []imagekeeper.Layer{}, Former: map[string][]imagekeeper.Former{}, User: config.user,
		Command: config.command, Labels: config.labels}
	if i := slices.IndexFunc(list, func(i imagekeeper.Image) bool { return i.ID == s.id }); i >= 0 {
		d.Image = list[i]
	}
	for _, n := range d.Names {
		if former := h.of(n).Former; len(former) > 0 {
			d.Former[n] = former
		}
	}
	store, err := k.store()
	if err != nil {
		return imagekeeper.Detail{}, err
	}
	defer store.Close()
	image, err := store.Find(s.id)
	if err != nil {
		return imagekeeper.Detail{}, err
	}
	for _, l := range store.LayersOf(image) {
		d.Layers = append(d.Layers, imagekeeper.Layer{Digest: l.Digest, Size: l.Size})
	}
	return d, nil
}
