package servers

import (
	"context"
	"slices"
	"strings"
	"time"
)

// memory saves what a restart of the hub must not lose.
type memory interface {
	// SaveQueue replaces the queue for devices.
	SaveQueue(ctx context.Context, queue []QueueEntry) error
	// AddLease records how long a server held a device of a kind.
	AddLease(ctx context.Context, kind string, held time.Duration, ended time.Time) error
	// TypicalLease returns the median of past leases of a kind; 0 when there were too few.
	TypicalLease(ctx context.Context, kind string) (time.Duration, error)
}

// saveQueue saves the queue when it has changed. It includes starts whose turn has come and that do not run yet: the
// hub may end meanwhile. It returns what is saved now.
func (m *Manager) saveQueue(ctx context.Context, saved []QueueEntry) []QueueEntry {
	if m.cfg.Memory == nil {
		return saved
	}
	queue := []QueueEntry{}
	m.mu.Lock()
	for _, s := range m.queue {
		queue = append(queue, QueueEntry{s.Key, s.Profile, s.asked})
	}
	m.mu.Unlock()
	slices.SortFunc(queue, func(a, b QueueEntry) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	same := func(a, b QueueEntry) bool {
		return a.Key == b.Key && a.Profile == b.Profile && a.Asked.Equal(b.Asked)
	}
	if slices.EqualFunc(queue, saved, same) {
		return saved
	}
	if err := m.cfg.Memory.SaveQueue(ctx, queue); err != nil {
		m.cfg.Log.Error("cannot save the queue for devices; a restart of the hub would lose it", "event",
			"queue-unwritten", "error", err.Error())
		return saved
	}
	return queue
}

// lease is a device that was held.
type lease struct {
	kind  string
	held  time.Duration
	ended time.Time
}

// noteLeases records how long a server's devices were held. m.mu is held.
func (m *Manager) noteLeases(s *server) {
	for _, name := range s.Devices {
		kind, _, _ := strings.Cut(name, "=")
		m.leases = append(m.leases, lease{kind, time.Since(s.Started), time.Now()})
	}
	s.Devices = nil
}

// saveLeases saves what noteLeases recorded.
func (m *Manager) saveLeases(ctx context.Context) {
	m.mu.Lock()
	leases := m.leases
	m.leases = nil
	m.mu.Unlock()
	for _, l := range leases {
		if m.cfg.Memory == nil {
			return
		}
		if err := m.cfg.Memory.AddLease(ctx, l.kind, l.held, l.ended); err != nil {
			m.cfg.Log.Warn("cannot save how long a device was held", "event", "lease-unwritten", "error", err.Error())
		}
	}
}
