package launcher

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/lease"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/root/unit"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// A lease has no record of its own that could be wrong: it is the environment of a unit
// that exists. A launcher that is started again reads it there, and when systemd says that a
// unit has ended, its devices are free at once, before anybody is told. Only between the
// choice and systemd's answer to the start does nothing but this process know of it.

// lending is what this process has lent to units that may not exist yet. Its lock is held
// while the units are read, too: what was read must still be so when the choice is made.
type lending struct {
	sync.Mutex // guards lent
	lent       map[ident.Key]lease.Lease
}

// lend chooses the devices of a server and notes them in the input. The function that it
// gives must be called when the unit exists, or never will.
func (l *Launcher) lend(ctx context.Context, in *unit.Input, account accounts.Account) (release func(), err error) {
	r, err := l.leaseRequest(ctx, *in, account)
	if err != nil || r.Wish.Count == 0 && len(r.Kept) == 0 {
		return func() {}, err
	}
	l.lending.Lock()
	defer l.lending.Unlock()
	held, err := l.leases(ctx)
	if err != nil {
		return nil, err
	}
	inv, state := l.look()
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

// leaseRequest says what a server shall get: what its profile asks for, or what the
// container has that was kept.
func (l *Launcher) leaseRequest(ctx context.Context, in unit.Input, account accounts.Account) (lease.Request, error) {
	r := lease.Request{Key: in.Key, Profile: in.Profile.Name, InGroup: l.groupsOf(ctx, account)}
	if !in.WithoutGPUs {
		r.Wish = in.Profile.GPUs
	}
	if !in.Profile.Persistent {
		return r, nil
	}
	all, err := l.files.kept(in.Key)
	if err != nil {
		return r, err
	}
	i := slices.IndexFunc(all, func(k keptContainer) bool { return k.profile == in.Profile.Name })
	if i < 0 {
		return r, nil
	}
	if in.WithoutGPUs && len(all[i].devices) > 0 {
		return r, fail(launcherbus.Refused, "the container that is kept of server %s has devices in it and cannot "+
			"start without them\nhint: start it with another profile, or reset it, which removes what was installed "+
			"in it", in.Key)
	}
	r.IsKept, r.Kept, r.Wish.Count = true, all[i].devices, 0
	return r, nil
}

// notLent returns the allocator's refusals their code.
func notLent(err error) error {
	var e *lease.Error
	if !errors.As(err, &e) {
		return err
	}
	code := map[lease.Code]launcherbus.Code{lease.Taken: launcherbus.DevicesTaken,
		lease.Missing: launcherbus.DevicesMissing, lease.Limit: launcherbus.Refused}[e.Code]
	return fail(code, "%s", e.Message)
}

// groupsOf answers for the member who asks, and for those who hold devices: an account that
// is gone is in no group.
func (l *Launcher) groupsOf(ctx context.Context, asks accounts.Account) func(ident.User, string) (bool, error) {
	known := map[ident.User]accounts.Account{asks.User: asks}
	return func(user ident.User, group string) (bool, error) {
		account, ok := known[user]
		if !ok {
			var err error
			if account, err = l.cfg.Accounts.Lookup(ctx, user); errors.Is(err, accounts.ErrNotFound) {
				account = accounts.Account{User: user}
			} else if err != nil {
				return false, err
			}
			known[user] = account
		}
		return l.inGroup(ctx, account, group)
	}
}

// look reads what the specifications and gifford-gpus say now. Without the latter
// nothing is known of memory and health, and devices can be lent all the same.
func (l *Launcher) look() (gpu.Inventory, gpu.State) {
	state, err := gpu.ReadState(l.cfg.GPUState)
	if err != nil {
		l.cfg.Log.Warn("cannot read what the devices do", "event", "gpu-state", "error", err)
		state.Tools = append(state.Tools, gpu.Tool{Name: "gifford-gpus", Error: err.Error()})
	}
	return gpu.Read(l.cfg.CDI...), state
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
		if !holds(u) {
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

// holds reports whether a unit has its devices: from the moment that its start is queued,
// while it waits for what it requires, until all of its processes are gone.
func holds(u systemd.Status) bool {
	return u.State != systemd.Failed && (u.State != systemd.Inactive || u.Queued)
}

// GPUs reports which devices the host has, who holds them and what they do.
func (l *Launcher) GPUs(ctx context.Context) (launcherbus.GPUs, error) {
	rules, err := l.policy()
	if err != nil {
		return launcherbus.GPUs{}, err
	}
	l.lending.Lock()
	held, err := l.leases(ctx)
	l.lending.Unlock()
	if err != nil {
		return launcherbus.GPUs{}, err
	}
	inv, state := l.look()
	g := launcherbus.GPUs{Measured: state.Measured}
	for _, b := range inv.Broken {
		g.Broken = append(g.Broken, launcherbus.BrokenSpec{File: b.File, Error: b.Reason})
	}
	for _, d := range lease.Devices(inv, state, rules.GPUs) {
		g.Devices = append(g.Devices, row(d, held, rules))
	}
	var bad []string
	for _, t := range state.Tools {
		if t.Error != "" {
			bad = append(bad, t.Name+": "+t.Error)
		}
	}
	g.ToolError = strings.Join(bad, "; ")
	return g, nil
}

func row(d lease.Device, held []lease.Lease, rules *policy.Policy) launcherbus.GPU {
	f := d.Facts
	g := launcherbus.GPU{Name: d.Name, Model: f.Model, Memory: f.Memory, Health: f.Health,
		Sharing: launcherbus.Sharing(d.Rule.Sharing), Places: d.Rule.Capacity(),
		Now: launcherbus.Load(f.Now), Hour: launcherbus.Load(f.Hour), Busiest: launcherbus.Load(f.Busiest)}
	for _, l := range held {
		if l.Holds(d.Device) {
			g.Holders = append(g.Holders, launcherbus.Holder{Key: l.Key, Profile: l.Profile, Since: l.Since,
				Processes: processesOf(l.Key, f.Processes)})
		}
	}
	for _, p := range rules.Profiles {
		if d.Suits(p.GPUs) {
			g.Profiles = append(g.Profiles, p.Name)
		}
	}
	for _, p := range f.Processes {
		if stranger(p, g.Holders, rules.Host.MinUID) {
			g.Strangers = append(g.Strangers, launcherbus.GPUProcess(p))
		}
	}
	return g
}

// processesOf counts those of a server's unit.
func processesOf(key ident.Key, all []gpu.Process) (n uint32) {
	for _, p := range all {
		if p.Unit == key.Unit() {
			n++
		}
	}
	return n
}

// stranger reports whether a process on a device is one of a server that does not hold it, or
// a member's from elsewhere. The system's own, such as a display server, are none.
func stranger(p gpu.Process, holders []launcherbus.Holder, minUID uint32) bool {
	if slices.ContainsFunc(holders, func(h launcherbus.Holder) bool { return h.Key.Unit() == p.Unit }) {
		return false
	}
	return p.UID >= minUID || strings.HasPrefix(p.Unit, UnitPrefix)
}
