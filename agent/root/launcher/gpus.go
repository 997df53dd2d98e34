package launcher

import (
	"context"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/lease"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// readDevices reads what the specifications and gifford-gpus say now. Without gifford-gpus nothing is known of memory
// and health, and devices can be lent all the same.
func (l *Launcher) readDevices() (gpu.Inventory, gpu.State) {
	state, err := gpu.ReadState(l.cfg.GPUState)
	if err != nil {
		l.cfg.Log.Warn("cannot read what the devices do", "event", "gpu-state", "error", err)
		state.Tools = append(state.Tools, gpu.Tool{Name: "gifford-gpus", Error: err.Error()})
	}
	return gpu.Read(l.cfg.CDI...), state
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
	inv, state := l.readDevices()
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
