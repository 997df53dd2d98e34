package keeper

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// Remove takes a name, or an image with all its names, out of the store. It waits for other changes of those names
// until ctx ends.
func (k *Keeper) Remove(ctx context.Context, name string) error {
	image, byName, err := k.lookup(ctx, name)
	if err != nil {
		return err
	}
	names, err := k.namesOf(image)
	if err != nil {
		return err
	}
	end, err := k.begin(ctx, names...)
	if err != nil {
		return err
	}
	defer end()
	return k.withoutViews(ctx, func(uses map[string][]string) error {
		if image, byName, err = k.lookup(ctx, name); err != nil { // it may have changed while others had the lock
			return err
		}
		if now, err := k.namesOf(image); err != nil {
			return err
		} else if slices.ContainsFunc(now, func(n string) bool { return !slices.Contains(names, n) }) {
			return refuseWith("try again", "image %.12s has just got another name", image.id)
		} else if unfinished, err := k.unfinished(image); err != nil {
			return err
		} else if unfinished {
			return refuseWith("try again when nothing is pulled or imported", "image %.12s has no name yet", image.id)
		}
		if byName != "" && len(image.names) > 1 {
			repository, tag, err := splitTag(byName)
			if err != nil {
				return err
			}
			return k.cfg.Podman.untag(ctx, image.id, repository, tag)
		}
		if who := uses[image.id]; len(who) > 0 {
			return refuseWith("stop them first", "image %.12s is in use by %s", image.id, strings.Join(who, ", "))
		}
		return k.drop(ctx, image.id)
	})
}

// unfinished reports whether an image may be one that a change under way has brought and not named yet.
func (k *Keeper) unfinished(image summary) (bool, error) {
	h, err := readHistory(k.cfg.StateDir)
	return err == nil && k.Busy() && h.neverNamed(image), err
}

// namesOf returns the names that an image has or had.
func (k *Keeper) namesOf(image summary) ([]string, error) {
	h, err := readHistory(k.cfg.StateDir)
	if err != nil {
		return nil, err
	}
	return append(visible(image.names), h.formerOf(image.id)...), nil
}

// drop removes an image and forgets it.
func (k *Keeper) drop(ctx context.Context, id string) error {
	if err := k.cfg.Podman.remove(ctx, id); err != nil {
		return err
	}
	return k.changeHistory(func(h *history) {
		delete(h.Pulled, id)
		for _, n := range h.Names {
			n.forget(id)
		}
	})
}

// lookup returns the image of a name or of the beginning of an ID, and the name in full if it was one.
func (k *Keeper) lookup(ctx context.Context, name string) (summary, string, error) {
	all, err := k.cfg.Podman.list(ctx)
	if err != nil {
		return summary{}, "", err
	}
	if idPrefix(name) {
		found := slices.DeleteFunc(slices.Clone(all), func(s summary) bool { return !strings.HasPrefix(s.id, name) })
		switch {
		case len(found) == 1:
			return found[0], "", nil
		case len(found) > 1:
			return summary{}, "", refuseWith("write more digits of its ID", "%d images have an ID that begins with %s",
				len(found), name)
		}
	}
	full, err := normal(name)
	if err != nil {
		return summary{}, "", err
	}
	id, err := k.find(full)
	if i := slices.IndexFunc(all, func(s summary) bool { return s.id == id }); err == nil && i >= 0 {
		return all[i], full, nil
	}
	return summary{}, "", errors.Join(refuseWith("gifford-hub images list", "there is no image %s", full), err)
}
