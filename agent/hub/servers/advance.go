package servers

import (
	"context"
	"errors"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// devices knows the devices that servers can hold, and which profiles need some.
type devices interface {
	GPUs(ctx context.Context) (backend.GPUs, error)
	Profiles(ctx context.Context) ([]backend.Profile, error)
}

const (
	// between polls when nothing has happened: a device may have appeared, or be well again
	queueEvery = 15 * time.Second
	limitedFor = 5 * time.Minute  // for which a refusal that no device explains is believed
	pollTime   = 10 * time.Second // for one poll of the devices
)

// wake makes the next poll of the queue happen soon.
func (m *Manager) wake() {
	select {
	case m.woken <- struct{}{}:
	default: // a wake-up is already pending
	}
}

// Advance moves the queue for devices forward until ctx ends: at once after an event, and at intervals. Without it no
// queued server is ever started. announced returns the announced end of a server; it may be nil. It is passed here and
// not in Config because the culler, which announces ends, needs the Manager.
func (m *Manager) Advance(ctx context.Context, announced func(ident.Key) (time.Time, bool)) {
	tick := time.NewTicker(queueEvery)
	defer tick.Stop()
	saved := []QueueEntry{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.woken:
		case <-tick.C:
		}
		saved = m.saveQueue(ctx, saved)
		m.saveLeases(ctx)
		if m.queueLength() > 0 {
			m.advance(ctx, announced)
		}
	}
}

// advance starts the entries that the plan allows, and records the positions of the others.
func (m *Manager) advance(ctx context.Context, announced func(ident.Key) (time.Time, bool)) {
	if m.cfg.Devices == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	gpus, err := m.cfg.Devices.GPUs(ctx)
	profiles, profilesErr := m.cfg.Devices.Profiles(ctx)
	if err := errors.Join(err, profilesErr); err != nil {
		if ctx.Err() == nil {
			m.cfg.Log.Warn("cannot read which devices are free", "event", "devices-unknown", "error", err.Error())
		}
		return
	}
	seen := fingerprint(gpus.Devices)
	entries, called, gone := m.entries(profiles, seen)
	for _, key := range gone {
		// It needs no device any more, or its profile is gone, which the backend's refusal will say.
		m.turn(key, seen)
	}
	queue := inOrder(entries, gpus.Devices)
	ends := announcedEnds(gpus.Devices, announced)
	m.setPositions(queue, gpus.Devices, past{typical: m.typical(ctx), ends: ends, now: time.Now()})
	for _, key := range plan(queue, called, gpus.Devices) {
		m.turn(key, seen)
	}
}

// setPositions records the position of each entry of the queue.
func (m *Manager) setPositions(queue []entry, devices []backend.Device, p past) {
	for i, e := range queue {
		q := Queue{Estimate: estimate(queue, i, devices, p)}
		q.Position, q.Of = position(queue, i, devices)
		for _, d := range devices {
			if e.wants(d) {
				q.Devices = append(q.Devices, d)
			}
		}
		m.setQueue(e.key, q)
	}
}

// typical reads the median once for each kind.
func (m *Manager) typical(ctx context.Context) func(kind string) time.Duration {
	known := map[string]time.Duration{}
	return func(kind string) time.Duration {
		d, ok := known[kind]
		if !ok && m.cfg.Memory != nil {
			var err error
			if d, err = m.cfg.Memory.TypicalLease(ctx, kind); err != nil {
				m.cfg.Log.Warn("cannot read how long devices were held", "event", "leases-unreadable", "error",
					err.Error())
			}
			known[kind] = d
		}
		return d
	}
}

// announcedEnds returns the announced ends of the servers that hold devices.
func announcedEnds(devices []backend.Device, announced func(ident.Key) (time.Time, bool)) map[ident.Key]time.Time {
	ends := map[ident.Key]time.Time{}
	if announced == nil {
		return ends
	}
	for key := range holders(devices) {
		if at, ok := announced(key); ok {
			ends[key] = at
		}
	}
	return ends
}
