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
	before string          // ID of the image that has the name; "" for none
	known  map[string]bool // IDs of all images at the beginning
}

// hold notes what the store has, and gives the name's image a hidden name, so that it outlives the loss of its own.
func (k *Keeper) hold(ctx context.Context, name string) (*renewal, error) {
	r := &renewal{Keeper: k, name: name, known: map[string]bool{}}
	var err error
	if r.before, err = k.find(name); err != nil {
		return nil, err
	}
	if _, err := readHistory(k.cfg.StateDir); err != nil {
		return nil, err
	}
	if r.before != "" {
		repository, tag := formerName(name, r.before)
		if err := k.cfg.Podman.tag(ctx, r.before, repository, tag); err != nil {
			return nil, err
		}
	}
	all, err := k.cfg.Podman.list(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		r.known[s.id] = true
	}
	return r, nil
}

// commit records the image that the name has now, whose ID it returns, and the one before as a former one. note records
// what else there is to know of the name.
func (r *renewal) commit(ctx context.Context, note func(*nameHistory)) (string, error) {
	after, err := r.find(r.name)
	if err != nil || after == "" {
		return "", errors.Join(fmt.Errorf("%s is not in the store afterwards", r.name), err)
	}
	r.moves.note(r.name, after)
	digest := r.digest(ctx, r.before)
	err = r.changeHistory(func(h *history) {
		if r.before != "" && r.before != after {
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

// rollback points the name at the image that it had and removes the images that came since. It goes on when the caller
// has gone away.
func (r *renewal) rollback(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoing)
	defer cancel()
	var errs []error
	if r.before != "" {
		if repository, tag, err := splitTag(r.name); err == nil {
			errs = append(errs, r.cfg.Podman.tag(ctx, r.before, repository, tag))
		}
		errs = append(errs, r.unhide(ctx, r.name, r.before))
	}
	now, err := r.cfg.Podman.list(ctx)
	errs = append(errs, err)
	h, err := readHistory(r.cfg.StateDir)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, id := range leftBehind(now, r.known, h.Pulled, r.name, r.others(r.name)) {
		errs = append(errs, r.cfg.Podman.remove(ctx, id))
	}
	return errors.Join(errs...)
}

// leftBehind returns the IDs of the images that a failed renewal of a name has left: new ones that no other job, whose
// names are in others, may have brought. Without another job that is every new one; else one that nobody can own is
// left for Prune.
func leftBehind(now []summary, known map[string]bool, pulled map[string]time.Time, name string,
	others []string) []string {
	var left []string
	for _, s := range now {
		_, committed := pulled[s.id]
		if known[s.id] || committed {
			continue
		}
		names := visible(s.names)
		theirs := slices.ContainsFunc(names, func(n string) bool { return slices.Contains(others, n) })
		if len(others) == 0 || slices.Contains(names, name) || len(names) > 0 && !theirs {
			left = append(left, s.id)
		}
	}
	return left
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

// renew lets bring give a name a new image. If bring fails the name is what it was, and nothing new stays. stamp is the
// archive that bring reads, nil when there is none to compare with later.
func (k *Keeper) renew(ctx context.Context, rules *policy.Policy, name string, stamp *archiveStamp,
	bring func() error) (string, error) {
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

func (k *Keeper) replace(ctx context.Context, name string, stamp *archiveStamp, bring func() error) (string, error) {
	r, err := k.hold(ctx, name)
	if err != nil {
		return "", err
	}
	if err := bring(); err != nil {
		return "", errors.Join(err, r.rollback(ctx))
	}
	return r.commit(ctx, func(n *nameHistory) { n.Held, n.Archive = false, stamp })
}
