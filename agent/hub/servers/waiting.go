package servers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Queue is the position of a start in a queue: the hub's for devices that others hold, or the backend's own.
type Queue struct {
	Since    time.Time        // when it joined the queue
	Position int              // 1 is the next; 0 while that is not known
	Of       int              // how many wait for the same
	Estimate time.Duration    // until its turn; 0 while that is not known
	Reason   string           // why it waits, in the backend's words; "" in the hub's own queue
	Devices  []backend.Device // those that it waits for, with who holds them; none in the backend's queue
}

// words is what those who follow the start read.
func (q Queue) words() string {
	text := "Waiting for a GPU"
	if q.Reason != "" {
		text = "Queued: " + q.Reason
	}
	if q.Position > 0 {
		text += fmt.Sprintf(": %s of %d in the queue", Ordinal(q.Position), q.Of)
	}
	return text
}

// Queue returns how a server stands in its queue; false for one that is not Queued.
func (m *Manager) Queue(key ident.Key) (Queue, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.servers[key]
	if !ok || s.State != Queued {
		return Queue{}, false
	}
	q := s.wait
	if s.queuedHere() {
		q.Since = s.asked
	}
	return q, true
}

// queuedHere reports whether a server waits in the hub's queue for devices, and the backend knows nothing of it.
// Manager.mu is held.
func (s *server) queuedHere() bool { return s.State == Queued && !s.asked.IsZero() }

// joinQueue puts a server into the hub's queue for devices, as one that asked at a time. m.mu is held.
func (m *Manager) joinQueue(s *server, asked time.Time) {
	s.asked, s.wait = asked, Queue{}
	m.queue[s.Key] = s
}

// leaveQueue takes a server out of the hub's queue for devices, if it is in it. m.mu is held.
func (m *Manager) leaveQueue(s *server) {
	s.asked, s.tried = time.Time{}, ""
	delete(m.queue, s.Key)
}

// QueueEntry is a start that waits for devices, as it is saved over a restart.
type QueueEntry struct {
	Key     ident.Key
	Profile string // as it was asked for; "" is the policy's default
	Asked   time.Time
}

// Restore puts starts into the queue for devices that waited when the hub ended, unless their servers run by now. Call
// it after Sync.
func (m *Manager) Restore(entries []QueueEntry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range entries {
		s := m.entry(e.Key)
		if s.State.Active() {
			continue
		}
		m.must(s, startAsked)
		m.must(s, noDevice)
		s.Profile = e.Profile
		s.requested()
		m.joinQueue(s, e.Asked)
	}
	m.wake()
}

// enqueue puts a start into the queue whose devices others hold, or want as well. One that was in it before has the
// same position again.
func (m *Manager) enqueue(l launch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.entry(l.Key)
	if !m.answersStart(l) || s.State != Starting {
		return // it was stopped meanwhile
	}
	if s.asked.IsZero() {
		m.joinQueue(s, time.Now())
		l.progress.add(Progress{Percent: 5, Queued: true, Message: "Waiting for a GPU: all are in use"})
	}
	s.run, s.Started = run{}, time.Time{}
	s.stopReading()
	m.must(s, noDevice)
}

// turn starts a server whose turn has come. seen is the fingerprint of the devices then.
func (m *Manager) turn(key ident.Key, seen string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.queue[key]
	if s == nil || s.State != Queued || m.ctx.Err() != nil {
		return
	}
	m.must(s, turnCame)
	s.tried = seen
	m.begin(s)
}

// setQueue notes how a start stands, and informs those who follow it when its position has changed.
func (m *Manager) setQueue(key ident.Key, q Queue) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.queue[key]
	if s == nil || s.State != Queued {
		return
	}
	if q.Position != s.wait.Position || q.Of != s.wait.Of {
		s.progress.add(Progress{Percent: 5, Queued: true, Message: q.words()})
	}
	s.wait = q
}

// mustWait reports whether somebody in the queue wants the devices that a new start would take.
func (m *Manager) mustWait(ctx context.Context, key ident.Key, profile string) bool {
	if m.cfg.Devices == nil || m.queueLength() == 0 {
		return false
	}
	gpus, err := m.cfg.Devices.GPUs(ctx)
	profiles, profilesErr := m.cfg.Devices.Profiles(ctx)
	p, ok := profileOf(profile, profiles)
	if err != nil || profilesErr != nil || !ok || p.GPUs <= 0 {
		return false // the backend decides
	}
	queue, called, _ := m.entries(profiles, fingerprint(gpus.Devices))
	have, own := holders(gpus.Devices), entry{key: key, profile: p.Name}
	return slices.ContainsFunc(queue, func(e entry) bool { return !e.limited && e.competes(own, gpus.Devices) }) ||
		slices.ContainsFunc(called, func(e entry) bool { return !have[e.key] && e.competes(own, gpus.Devices) })
}

// queueLength counts those who wait for devices or are about to take what they waited for.
func (m *Manager) queueLength() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.queue)
}

// entries returns the queue, apart from it those that need no device any more, and those whose turn has come and of
// whom the backend may not know yet. seen is the fingerprint of the devices.
func (m *Manager) entries(profiles []backend.Profile, seen string) (queue, called []entry, gone []ident.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, s := range m.queue {
		p, ok := profileOf(s.Profile, profiles)
		e := entry{key, p.Name, int(p.GPUs), s.asked, s.tried == seen}
		switch {
		case s.State == Starting:
			called = append(called, e)
		case !ok || p.GPUs <= 0:
			gone = append(gone, key)
		default:
			queue = append(queue, e)
		}
	}
	return queue, called, gone
}

// profileOf finds a profile; "" is the default.
func profileOf(name string, profiles []backend.Profile) (backend.Profile, bool) {
	i := slices.IndexFunc(profiles, func(p backend.Profile) bool {
		return p.Name == name || name == "" && p.Default
	})
	if i < 0 {
		return backend.Profile{}, false
	}
	return profiles[i], true
}

// fingerprint covers everything that can change the backend's answer to a start.
func fingerprint(devices []backend.Device) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d", time.Now().Unix()/int64(limitedFor/time.Second))
	for _, d := range devices {
		fmt.Fprintf(&b, "\n%s %d %s", d.Name, d.Places, d.Health)
		for _, h := range d.Holders {
			b.WriteString(" " + h.Key.String())
		}
	}
	return b.String()
}
