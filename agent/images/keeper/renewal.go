package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// undoing bounds what a failed renewal needs to undo itself.
const undoing = time.Minute

// renewal gives a name another image. It begins with hold and ends with commit or rollback; the name is locked from
// before the first to after the last.
type renewal struct {
	*Keeper
	name   string
	before string // ID of the image that has the name; "" for none
}

// hold notes which image has the name, and adds a hidden name to it, so that it outlives the loss of its own.
func (k *Keeper) hold(ctx context.Context, name string) (*renewal, error) {
	r := &renewal{Keeper: k, name: name}
	var err error
	if r.before, err = k.find(name); err != nil {
		return nil, err
	}
	if _, err := readHistory(k.cfg.StateDir); err != nil || r.before == "" {
		return r, err
	}
	repository, tag := formerName(name, r.before)
	return r, k.cfg.Podman.tag(ctx, r.before, repository, tag)
}

// commit records the image that the name has now, whose ID it returns, and the one before as a former one. note records
// what else there is to know of the name.
func (r *renewal) commit(ctx context.Context, note func(*nameHistory)) (string, error) {
	after, err := r.find(r.name)
	if err != nil || after == "" {
		return "", errors.Join(fmt.Errorf("%s is not in the store afterwards", r.name), err)
	}
	moved, digest := r.before != "" && r.before != after, ""
	if moved {
		digest = r.digest(ctx, r.before)
	}
	err = r.changeHistory(func(h *history) {
		if moved {
			h.moved(r.name, imagekeeper.Former{ID: r.before, Digest: digest, Pulled: h.Pulled[r.before]})
		}
		if _, ok := h.Pulled[after]; !ok {
			h.Pulled[after] = time.Now().UTC().Truncate(time.Second)
		}
		h.of(r.name).forget(after)
		note(h.of(r.name))
	})
	return after, errors.Join(err, r.unhide(ctx, r.name, after))
}

// rollback points the name at the image that it had, or takes it away where it had none. The images that came since
// have no name then; sweep removes them. It goes on when the caller has gone away.
func (r *renewal) rollback(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoing)
	defer cancel()
	repository, tag, err := splitTag(r.name)
	switch {
	case err != nil: // a digest: it leads to the same image at all times
		return r.forgetPinned(ctx)
	case r.before != "":
		return errors.Join(r.cfg.Podman.tag(ctx, r.before, repository, tag), r.unhide(ctx, r.name, r.before))
	}
	id, err := r.find(r.name)
	if err != nil || id == "" {
		return err
	}
	return r.cfg.Podman.untag(ctx, id, repository, tag)
}

// forgetPinned removes the image of a name with a digest, which Podman cannot take away alone, if it has come since and
// has no other name.
func (r *renewal) forgetPinned(ctx context.Context) error {
	if r.before != "" {
		return r.unhide(ctx, r.name, r.before)
	}
	all, err := r.cfg.Podman.list(ctx)
	if err != nil {
		return err
	}
	id, err := r.find(r.name)
	if i := slices.IndexFunc(all, func(s summary) bool { return s.id == id }); i >= 0 && len(all[i].names) == 1 {
		return r.cfg.Podman.remove(ctx, id)
	}
	return err
}

// unhide takes away the hidden name of an image that is not a former one of the name, if it has it.
func (k *Keeper) unhide(ctx context.Context, name, id string) error {
	h, err := readHistory(k.cfg.StateDir)
	if err != nil || h.of(name).had(id) {
		return err
	}
	repository, tag := formerName(name, id)
	all, err := k.cfg.Podman.list(ctx)
	if err != nil || !slices.ContainsFunc(all, func(s summary) bool {
		return s.id == id && slices.Contains(s.names, repository+":"+tag)
	}) {
		return err
	}
	return k.cfg.Podman.untag(ctx, id, repository, tag)
}

// digest returns an image's digest; "" when it is not known.
func (k *Keeper) digest(ctx context.Context, id string) string {
	all, _ := k.cfg.Podman.list(ctx)
	for _, s := range all {
		if s.id == id {
			return s.digest
		}
	}
	return ""
}

// renew lets bring find a name another image, whose ID bring returns, or "" if it has named it. If that fails the name
// is what it was, and nothing new stays. stamp is the archive that bring reads, nil when there is none to compare with
// later.
func (k *Keeper) renew(ctx context.Context, rules *policy.Policy, name string, stamp *archiveStamp,
	bring func() (id string, err error)) (string, error) {
	if err := k.room(rules); err != nil {
		return "", err
	}
	end, err := k.begin(ctx, name)
	if err != nil {
		return "", err
	}
	id, err := k.replace(ctx, name, stamp, bring)
	end()
	k.sweep(ctx, err != nil)
	return id, err
}

func (k *Keeper) replace(ctx context.Context, name string, stamp *archiveStamp,
	bring func() (id string, err error)) (string, error) {
	r, err := k.hold(ctx, name)
	if err != nil {
		return "", err
	}
	id, err := bring()
	if err == nil && id != "" {
		err = r.take(ctx, id)
	}
	if err != nil {
		return "", errors.Join(err, r.rollback(ctx))
	}
	return r.commit(ctx, func(n *nameHistory) { n.Held, n.Archive = false, stamp })
}

// take puts the name on an image.
func (r *renewal) take(ctx context.Context, id string) error {
	repository, tag, err := splitTag(r.name)
	if err != nil {
		return err
	}
	return r.cfg.Podman.tag(ctx, id, repository, tag)
}
