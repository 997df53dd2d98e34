package launcher

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/root/lease"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/root/unit"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// A lease has no record of its own that could be wrong: it is the environment of a unit that exists. A launcher that is
// started again reads it there. When systemd says that a unit has ended, its devices are free at once, before the hub
// learns of it. Only between the choice and systemd's answer to the start does nothing but this process know of a
// lease.

// lending is what this process has lent to units that may not exist yet. Its lock is also held while the units are
// read: what was read must still be so when the choice is made.
type lending struct {
	sync.Mutex // guards lent
	lent       map[ident.Key]lease.Lease
}

// lend chooses the devices of a server and notes them in the input. Call release when the unit exists, or never will.
func (l *Launcher) lend(ctx context.Context, in *unit.Input, names *names) (release func(), err error) {
	r, err := l.leaseRequest(ctx, *in, names)
	if err != nil || r.Wish.Count == 0 && len(r.Devices) == 0 {
		return func() {}, err
	}
	l.lending.Lock()
	defer l.lending.Unlock()
	held, err := l.leases(ctx)
	if err != nil {
		return nil, err
	}
	inv, state := l.readDevices()
	chosen, err := lease.Choose(r, in.Policy.GPUs, lease.Devices(inv, state, in.Policy.GPUs), held)
	if err != nil {
		return nil, notLent(err)
	}
	l.lending.lent[in.Key] = lease.Lease{Key: in.Key, Profile: in.Profile.Name, Since: time.Now(), Devices: chosen}
	for _, d := range chosen {
		in.Devices = append(in.Devices, contract.Device{Name: d.Name, Nodes: d.Nodes})
	}
	return func() {
		l.lending.Lock()
		defer l.lending.Unlock()
		delete(l.lending.lent, in.Key)
	}, nil
}

// leaseRequest says what a server gets: what its profile asks for, or what its persistent container has.
func (l *Launcher) leaseRequest(ctx context.Context, in unit.Input, names *names) (lease.Request, error) {
	r := lease.Request{Key: in.Key, Profile: in.Profile.Name,
		InGroup: func(user ident.User, group string) (bool, error) {
			return names.inGroup(ctx, user, group)
		}}
	if !in.WithoutGPUs {
		r.Wish = in.Profile.GPUs
	}
	if !in.Profile.Persistent {
		return r, nil
	}
	all, err := l.files.containers(in.Key)
	if err != nil {
		return r, err
	}
	i := slices.IndexFunc(all, func(c container) bool { return c.profile == in.Profile.Name })
	if i < 0 {
		return r, nil
	}
	if in.WithoutGPUs && len(all[i].devices) > 0 {
		return r, fail(launcherbus.Refused, "the persistent container of server %s has devices in it and cannot start "+
			"without them", in.Key).
			WithHint("start it with another profile, or reset it, which removes what was installed in it")
	}
	r.Persistent, r.Devices, r.Wish.Count = true, all[i].devices, 0
	return r, nil
}

// notLent adds the code to the allocator's refusals.
func notLent(err error) error {
	var e *lease.Error
	if !errors.As(err, &e) {
		return err
	}
	code := map[lease.Code]launcherbus.Code{lease.Taken: launcherbus.DevicesTaken,
		lease.Missing: launcherbus.DevicesMissing, lease.Limit: launcherbus.Refused}[e.Code]
	return &launcherbus.Error{Code: code, Message: e.Message, Hint: e.Hint}
}

// leases returns who holds what: the units that exist and have not ended, and what was lent
// to units that do not exist yet. The caller holds the lock of lending.
func (l *Launcher) leases(ctx context.Context) ([]lease.Lease, error) {
	units, err := l.cfg.Units.List(ctx, allUnits)
	if err != nil {
		return nil, err
	}
	var all []lease.Lease
	seen := map[ident.Key]bool{}
	for _, u := range units {
		if !l.holds(ctx, u) {
			continue
		}
		made, err := l.recall(ctx, u.Name)
		if err != nil {
			return nil, err
		}
		if made != nil && len(made.Devices) > 0 {
			seen[made.Key] = true
			all = append(all, made.lease())
		}
	}
	for key, held := range l.lending.lent {
		if !seen[key] && len(held.Devices) > 0 {
			all = append(all, held)
		}
	}
	slices.SortFunc(all, func(a, b lease.Lease) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Key.String(), b.Key.String()))
	})
	return all, nil
}

// lease is what a unit holds. One that waits in systemd's queue holds it since now.
func (m made) lease() lease.Lease {
	held := lease.Lease{Key: m.Key, Profile: m.Profile, Since: m.since}
	if m.since.IsZero() {
		held.Since = time.Now()
	}
	for _, d := range m.Devices {
		kind, _, _ := strings.Cut(d.Name, "=")
		held.Devices = append(held.Devices, gpu.Device{Name: d.Name, Kind: kind, Nodes: d.Nodes})
	}
	return held
}

// holds reports whether a unit has its devices: from the moment that its start is queued, while it waits for what it
// requires, until all of its processes are gone. systemd gives up on processes that it cannot kill; while they are
// there, or nobody knows, the devices are not another's.
func (l *Launcher) holds(ctx context.Context, u systemd.Status) bool {
	switch u.State {
	case systemd.Inactive:
		return u.Queued
	case systemd.Failed:
		left, err := l.cfg.Units.Processes(ctx, u.Name)
		return left > 0 || err != nil && !errors.Is(err, systemd.ErrNotLoaded)
	}
	return true
}
