package servers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// devices knows the devices that servers can hold, and which profiles need some.
type devices interface {
	GPUs(ctx context.Context) (backend.GPUs, error)
	Profiles(ctx context.Context) ([]backend.Profile, error)
}

// memory keeps what a restart of the hub must not lose.
type memory interface {
	// SaveLine replaces the line.
	SaveLine(ctx context.Context, line []LinePlace) error
	// AddLease notes how long a server held a device of a kind.
	AddLease(ctx context.Context, kind string, held time.Duration, ended time.Time) error
	// TypicalLease returns the median of past leases of a kind; 0 when there were too few.
	TypicalLease(ctx context.Context, kind string) (time.Duration, error)
}

// LinePlace is a start that waits, as it is kept over a restart.
type LinePlace struct {
	Key     ident.Key
	Profile string // as it was asked for; "" is the policy's default
	Asked   time.Time
}

// Wait is how a start stands in the line.
type Wait struct {
	Asked    time.Time        // when it joined the line
	Place    int              // 1 is the next; 0 when that is not known yet
	Of       int              // how many wait for the same devices
	Estimate time.Duration    // until its turn; 0 when nobody can tell
	Devices  []backend.Device // those that it waits for, with who holds them
}

// lineEvery is how often the line is looked at when nothing has happened: a device may
// have appeared, or be well again.
const lineEvery = 15 * time.Second

// limitedFor is how long a refusal of the launcher that no device explains is believed.
const limitedFor = 5 * time.Minute

// lookTime bounds one look at the devices.
const lookTime = 10 * time.Second

// Waits returns how a server in the line stands; false for one that is not in it.
func (m *Manager) Waits(key ident.Key) (Wait, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.servers[key]
	if !ok || s.State != Queued {
		return Wait{}, false
	}
	w := s.wait
	w.Asked = s.asked
	return w, true
}

// Waiting counts the starts in the line.
func (m *Manager) Waiting() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, s := range m.servers {
		if s.State == Queued {
			n++
		}
	}
	return n
}

// Restore puts starts into the line that waited when the hub ended, unless their servers
// run by now. Call it after Sync.
func (m *Manager) Restore(line []LinePlace) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range line {
		s := m.entry(p.Key)
		if s.State.Active() {
			continue
		}
		m.note(m.transition(s, startAsked))
		m.note(m.transition(s, noDevice))
		s.Profile, s.asked, s.progress = p.Profile, p.Asked, newBroadcast()
		s.progress.add(Progress{Message: "Server requested"})
	}
	m.look()
}

// look makes the line be looked at soon.
func (m *Manager) look() {
	select {
	case m.wake <- struct{}{}:
	default: // it will be anyway
	}
}

// Advance moves the line on until ctx ends: at once when something has happened, and now
// and then. Without it nobody who waits is ever started.
func (m *Manager) Advance(ctx context.Context) {
	tick := time.NewTicker(lineEvery)
	defer tick.Stop()
	saved := []LinePlace{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		case <-tick.C:
		}
		saved = m.saveLine(ctx, saved)
		m.saveLeases(ctx)
		if m.Waiting() > 0 {
			m.advance(ctx)
		}
	}
}

// saveLine writes the line down where it has changed, with starts whose turn has come and
// that do not run yet: the hub may end meanwhile.
func (m *Manager) saveLine(ctx context.Context, saved []LinePlace) []LinePlace {
	if m.cfg.Memory == nil {
		return saved
	}
	line := []LinePlace{}
	m.mu.Lock()
	for _, s := range m.servers {
		if !s.asked.IsZero() && (s.State == Queued || s.State == Starting) {
			line = append(line, LinePlace{s.Key, s.Profile, s.asked})
		}
	}
	m.mu.Unlock()
	slices.SortFunc(line, func(a, b LinePlace) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	same := func(a, b LinePlace) bool { return a.Key == b.Key && a.Profile == b.Profile && a.Asked.Equal(b.Asked) }
	if slices.EqualFunc(line, saved, same) {
		return saved
	}
	if err := m.cfg.Memory.SaveLine(ctx, line); err != nil {
		m.cfg.Log.Error("cannot write down who waits for a device; a restart of the hub would lose it", "event",
			"line-unwritten", "error", err.Error())
		return saved
	}
	return line
}

// lease is a device that was held.
type lease struct {
	kind  string
	held  time.Duration
	ended time.Time
}

// noteLeases keeps how long a server's devices were held. m.mu is held.
func (m *Manager) noteLeases(s *server) {
	for _, name := range s.Devices {
		kind, _, _ := strings.Cut(name, "=")
		m.leases = append(m.leases, lease{kind, time.Since(s.Started), time.Now()})
	}
	s.Devices = nil
}

// saveLeases writes down what noteLeases has kept.
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
			m.cfg.Log.Warn("cannot write down how long a device was held", "event", "lease-unwritten", "error",
				err.Error())
		}
	}
}

// advance starts whom the plan lets start and tells the others how they stand.
func (m *Manager) advance(ctx context.Context) {
	if m.cfg.Devices == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	gpus, err := m.cfg.Devices.GPUs(ctx)
	profiles, profilesErr := m.cfg.Devices.Profiles(ctx)
	if err := errors.Join(err, profilesErr); err != nil {
		if ctx.Err() == nil {
			m.cfg.Log.Warn("cannot look which devices are free", "event", "devices-unknown", "error", err.Error())
		}
		return
	}
	view := sight(gpus.Devices)
	entries, called, gone := m.entries(profiles, view)
	for _, key := range gone {
		// It needs no device any more, or its profile is gone, of which the launcher will tell.
		m.turn(key, view)
	}
	line := inOrder(entries, gpus.Devices)
	typical := m.typical(ctx)
	ends := m.ends(gpus.Devices)
	for i, e := range line {
		w := Wait{Estimate: estimate(line, i, gpus.Devices, typical, ends, time.Now())}
		w.Place, w.Of = place(line, i, gpus.Devices)
		for _, d := range gpus.Devices {
			if e.wants(d) {
				w.Devices = append(w.Devices, d)
			}
		}
		m.setWait(e.key, w)
	}
	for _, key := range plan(line, called, gpus.Devices) {
		m.turn(key, view)
	}
}

// sight is all by which the launcher's answer to a start can change.
func sight(devices []backend.Device) string {
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

// entries returns the line, apart from it those that need no device any more, and those
// whose turn has come and of whom the launcher may not know yet.
func (m *Manager) entries(profiles []backend.Profile, view string) (line, called []entry, gone []ident.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, s := range m.servers {
		if s.State != Queued && (s.State != Starting || s.asked.IsZero()) {
			continue
		}
		p, ok := profileOf(s.Profile, profiles)
		e := entry{key, p.Name, int(p.GPUs), s.asked, s.tried == view}
		switch {
		case s.State == Starting:
			called = append(called, e)
		case !ok || p.GPUs <= 0:
			gone = append(gone, key)
		default:
			line = append(line, e)
		}
	}
	return line, called, gone
}

// profileOf finds a profile; "" is the default.
func profileOf(name string, profiles []backend.Profile) (backend.Profile, bool) {
	i := slices.IndexFunc(profiles, func(p backend.Profile) bool {
		return p.Name == name || name == "" &&
			p.Default
	})
	if i < 0 {
		return backend.Profile{}, false
	}
	return profiles[i], true
}

// typical asks for each kind once.
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

// ends returns the announced ends of the servers that hold devices.
func (m *Manager) ends(devices []backend.Device) map[ident.Key]time.Time {
	ends := map[ident.Key]time.Time{}
	if m.cfg.Ends == nil {
		return ends
	}
	for key := range holders(devices) {
		if at, ok := m.cfg.Ends(key); ok {
			ends[key] = at
		}
	}
	return ends
}

// setWait tells a start how it stands, and those who follow it when its place has changed.
func (m *Manager) setWait(key ident.Key, w Wait) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.servers[key]
	if s == nil || s.State != Queued {
		return
	}
	if w.Place != s.wait.Place || w.Of != s.wait.Of {
		s.progress.add(Progress{Percent: 5, Queued: true, Message: fmt.Sprintf("Waiting for a GPU: %s of %d in line",
			Ordinal(w.Place), w.Of)})
	}
	s.wait = w
}

// turn starts a server whose turn has come. view is what was seen then.
func (m *Manager) turn(key ident.Key, view string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.servers[key]
	if s == nil || s.State != Queued || m.ctx.Err() != nil {
		return
	}
	m.note(m.transition(s, turnCame))
	s.tried = view
	m.begin(s)
}

// putBack puts a start into the line whose devices others hold, or want as well. It keeps
// the place that it had.
func (m *Manager) putBack(key ident.Key, progress *broadcast) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.entry(key)
	if !m.answeredStart(key, progress) || s.State != Starting {
		return // it was stopped meanwhile
	}
	if s.asked.IsZero() {
		s.asked, s.wait = time.Now(), Wait{}
		progress.add(Progress{Percent: 5, Queued: true, Message: "Waiting for a GPU: all are in use"})
	}
	s.tokenHash, s.Started = "", time.Time{}
	// It may take hours until there is something to read.
	if s.unfollow != nil {
		s.unfollow()
		progress.readAgain()
	}
	m.note(m.transition(s, noDevice))
}

// inLine reports whether somebody waits, or is about to take what he has waited for.
func (m *Manager) inLine() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.servers {
		if !s.asked.IsZero() {
			return true
		}
	}
	return false
}

// mustWait reports whether somebody in the line wants the devices that a new start would
// take.
func (m *Manager) mustWait(ctx context.Context, key ident.Key, profile string) bool {
	if m.cfg.Devices == nil || !m.inLine() {
		return false
	}
	gpus, err := m.cfg.Devices.GPUs(ctx)
	profiles, profilesErr := m.cfg.Devices.Profiles(ctx)
	p, ok := profileOf(profile, profiles)
	if err != nil || profilesErr != nil || !ok || p.GPUs <= 0 {
		return false // the launcher decides
	}
	line, called, _ := m.entries(profiles, sight(gpus.Devices))
	have, own := holders(gpus.Devices), entry{key: key, profile: p.Name}
	return slices.ContainsFunc(line, func(e entry) bool { return !e.limited && e.competes(own, gpus.Devices) }) ||
		slices.ContainsFunc(called, func(e entry) bool { return !have[e.key] && e.competes(own, gpus.Devices) })
}
