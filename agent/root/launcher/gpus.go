package launcher

import (
	"context"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
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

// GPUs returns which devices the host has, who holds them and what they do.
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
	g := launcherbus.GPUs{Devices: []launcherbus.GPU{}, ToolError: toolErrors(state.Tools)}
	g.MeasuredAt(state.Measured)
	for _, b := range inv.Broken {
		g.Broken = append(g.Broken, launcherbus.BrokenSpec{File: b.File, Error: b.Reason})
	}
	for _, d := range lease.Devices(inv, state, rules.GPUs) {
		g.Devices = append(g.Devices, report(d, held, rules))
	}
	return g, nil
}

func toolErrors(tools []gpu.Tool) string {
	var bad []string
	for _, t := range tools {
		if t.Error != "" {
			bad = append(bad, t.Name+": "+t.Error)
		}
	}
	return strings.Join(bad, "; ")
}

// report describes one device.
func report(d lease.Device, held []lease.Lease, rules *policy.Policy) launcherbus.GPU {
	f := d.Facts
	g := launcherbus.GPU{Name: d.Name, Model: f.Model, Memory: f.Memory, Health: f.Health,
		Sharing: launcherbus.Sharing(d.Rule.Sharing), Places: d.Rule.Capacity(), Now: f.Now, Hour: f.Hour,
		Busiest: f.Busiest}
	processes := map[string]uint32{} // by unit
	for _, p := range f.Processes {
		processes[p.Unit]++
	}
	holders := map[string]bool{}
	for _, l := range held {
		if l.Holds(d.Device) {
			holders[l.Key.Unit()] = true
			g.Holders = append(g.Holders, launcherbus.NewHolder(l.Key, l.Profile, l.Since, processes[l.Key.Unit()]))
		}
	}
	for _, p := range rules.Profiles {
		if d.Suits(p.GPUs) {
			g.Profiles = append(g.Profiles, p.Name)
		}
	}
	for _, p := range f.Processes {
		if !holders[p.Unit] && stranger(p, rules.Host.MinUID) {
			g.Strangers = append(g.Strangers, p)
		}
	}
	return g
}

// stranger reports whether a process that belongs to no holder of its device is a server's or a member's. The system's
// own, such as a display server, are none.
func stranger(p gpu.Process, minUID uint32) bool {
	return p.UID >= minUID || strings.HasPrefix(p.Unit, UnitPrefix)
}
