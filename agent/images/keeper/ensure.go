package keeper

import (
	"errors"
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// origin is where the image of a profile comes from.
type origin string

const (
	fromStore    origin = "store" // nothing is to do
	fromArchive  origin = "archive"
	fromRegistry origin = "registry"
	fromNowhere  origin = ""
)

// source decides where the image of a profile comes from. there reports whether the store has it; archive is the
// profile's archive as it is now, nil if it has none or it cannot be read; n is the history of the image's name.
func source(p policy.Profile, there bool, archive *archiveStamp, n nameHistory) origin {
	loaded := archive != nil && n.Archive != nil && *n.Archive == *archive
	switch {
	case archive != nil && !there, archive != nil && !n.Held && !loaded:
		return fromArchive
	case there:
		return fromStore
	case p.Pull == policy.PullMissing:
		return fromRegistry
	}
	return fromNowhere
}

// Ensure returns the job that brings the image of a profile into the store. It waits for nothing.
func (k *Keeper) Ensure(profile string) (*job, error) {
	rules, err := k.cfg.Policy()
	if err != nil {
		return nil, err
	}
	p, err := profileOf(rules, profile)
	if err != nil {
		return nil, err
	}
	name, err := normal(p.Image)
	if err != nil {
		return nil, err
	}
	if !rules.Images.Share {
		return ended(imagekeeper.Progress{Image: name, Message: "every member has a copy of the image"}), nil
	}
	id, err := k.find(name)
	if errors.Is(err, imagestore.ErrFormat) {
		k.cfg.Log.Warn("members get copies of their own", "event", "store-format", "image", name, "error", err)
		return ended(imagekeeper.Progress{Image: name, Message: err.Error()}), nil
	} else if err != nil {
		return nil, err
	}
	return k.bring(rules, p, name, id)
}

// bring returns the job that gets a profile's image from where it comes from. id is that of the image in the store.
func (k *Keeper) bring(rules *policy.Policy, p policy.Profile, name, id string) (*job, error) {
	archive, err := k.archiveOf(p, name, id != "")
	if err != nil {
		return nil, err
	}
	h, err := readHistory(k.cfg.StateDir)
	if err != nil {
		return nil, err
	}
	switch source(p, id != "", archive, *h.of(name)) {
	case fromStore:
		return ended(imagekeeper.Progress{Image: name, ID: id, Message: available(name)}), nil
	case fromArchive:
		return k.shareLoad(rules, name, *archive), nil
	case fromRegistry:
		return k.sharePull(rules, name, true), nil
	}
	step := "set archive or pull in [profile." + p.Name + "] of " + policy.File + ", or: gifford-hub images import " +
		p.Image + " FILE"
	return nil, refuseWith(step, "image %q is not on this host, and profile %q does not allow pulling it", p.Image,
		p.Name)
}

func available(name string) string { return "image " + name + " is available" }

// archiveOf returns the profile's archive as it is now; nil if it has none. An image that is in the store does not need
// its archive any more.
func (k *Keeper) archiveOf(p policy.Profile, name string, there bool) (*archiveStamp, error) {
	if p.Archive == "" {
		return nil, nil
	}
	stamp, err := stampOf(p.Image, p.Archive)
	switch {
	case err != nil && there:
		k.cfg.Log.Warn("cannot read the archive of an image", "event", "archive-unreadable", "image", name, "error",
			err)
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &stamp, nil
}

// profileOf returns the profile of that name; the default one for "".
func profileOf(rules *policy.Policy, name string) (policy.Profile, error) {
	if name == "" {
		return rules.Profiles[0], nil
	}
	i := slices.IndexFunc(rules.Profiles, func(p policy.Profile) bool { return p.Name == name })
	if i < 0 {
		return policy.Profile{}, refuse("there is no profile %.40q in %s", name, policy.File)
	}
	return rules.Profiles[i], nil
}
