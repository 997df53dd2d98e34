package servers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// ErrActive says that a server that was to be started runs, or is starting or
// stopping.
var ErrActive = errors.New("the server is active already")

// ErrNotActive says that a server that was to be stopped does not run.
var ErrNotActive = errors.New("the server does not run")

// tailLines is how much of a unit's journal is shown for a failed start.
const tailLines = 20

// Options is how a server is started.
type Options struct {
	// WithoutGPUs asks for none of the devices that the profile would get. A start that
	// waits in the line for them goes on without.
	WithoutGPUs bool
}

// Start begins to start a server and returns at once; Follow tells how it goes. It
// fails with ErrActive where there is nothing to start.
func (m *Manager) Start(key ident.Key, profile string, o Options) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil {
		return fmt.Errorf("server %s: cannot start it: the hub is stopping", key)
	}
	s := m.entry(key)
	if s.State == Queued && o.WithoutGPUs {
		m.note(m.transition(s, turnCame))
		s.WithoutGPUs, s.asked = true, time.Time{}
		m.begin(s)
		return nil
	}
	if s.State.Active() {
		return fmt.Errorf("server %s is %s: %w", key, s.State, ErrActive)
	}
	if err := m.transition(s, startAsked); err != nil {
		return err
	}
	s.Profile, s.WithoutGPUs, s.progress = profile, o.WithoutGPUs, newBroadcast()
	s.progress.add(Progress{Message: "Server requested"})
	m.begin(s)
	return nil
}

// begin launches a server that is Starting, for the first time or from the line. m.mu is
// held.
func (m *Manager) begin(s *server) {
	token := newToken()
	s.reason, s.end, s.Started, s.tokenHash = "", nil, time.Now(), ident.HashToken(token)
	ctx, cancel := context.WithTimeout(m.ctx, m.cfg.StartTimeout)
	s.cancel, s.launching = cancel, true
	req := backend.StartRequest{Key: s.Key, Profile: s.Profile, WithoutGPUs: s.WithoutGPUs,
		Env: m.cfg.Env.Env(s.Key, token)}
	progress, waited := s.progress, !s.asked.IsZero()
	m.wg.Go(func() {
		defer cancel()
		m.launch(ctx, req, waited, progress)
	})
	m.readJournal(s, s.Started)
}

// launch asks the launcher for the unit, with the unit's journal as progress. The start
// that it belongs to is known by its progress: another may have begun meanwhile.
// waited tells that it has been in the line, whose order then holds for it no more.
func (m *Manager) launch(ctx context.Context, req backend.StartRequest, waited bool, progress *broadcast) {
	key, since := req.Key, time.Now()
	m.step(key, 10, "Preparing "+m.cfg.Backend.Name(key))
	err := m.getImage(ctx, key, req.Profile)
	if err == nil && !waited && !req.WithoutGPUs && m.mustWait(ctx, key, req.Profile) {
		m.putBack(key, progress)
		return
	}
	if err == nil {
		err = m.cfg.Backend.Start(ctx, req)
	}
	if err == nil {
		m.launched(key, progress)
		return
	}
	if m.ctx.Err() != nil {
		return // the hub ends; the unit is whatever the launcher makes of it
	}
	var lerr *backend.Error
	switch {
	case errors.As(err, &lerr) && lerr.Code == backend.DevicesTaken && m.cfg.Devices != nil:
		m.putBack(key, progress)
		return
	case errors.As(err, &lerr) && lerr.Code == backend.AlreadyExists && m.startedByAnother(key, progress):
		return
	case errors.As(err, &lerr):
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("%s was not active within %s", m.cfg.Backend.Name(key), m.cfg.StartTimeout)
		m.stopUnit(key)
	case ctx.Err() != nil:
		err = errors.New("the start was cancelled")
	}
	m.mu.Lock()
	var explain func()
	if m.answeredStart(key, progress) {
		explain = m.markFailed(key, startFailed, err.Error(), since,
			lerr != nil && lerr.Code == backend.StartFailed)
	}
	m.mu.Unlock()
	if explain != nil {
		explain()
	}
}

// getImage waits until the image of the profile is there.
func (m *Manager) getImage(ctx context.Context, key ident.Key, profile string) error {
	if m.cfg.Images == nil {
		return nil
	}
	return m.cfg.Images.Ensure(ctx, profile, func(message string) { m.step(key, 20, message) })
}

// launched takes note that the launcher has started the unit, which may have ended
// since.
func (m *Manager) launched(key ident.Key, progress *broadcast) {
	m.mu.Lock()
	current := m.answeredStart(key, progress)
	end := m.entry(key).end
	m.mu.Unlock()
	switch {
	case current && end != nil:
		m.ended(*end)
	case current:
		m.unitIsActive(key)
	}
}

// answeredStart takes note that the launcher has answered a Start, and reports whether
// that is the start under way. Its caller says in the same hold of m.mu what came of a
// start that failed, or the news of the unit's end would do so, which knows less.
func (m *Manager) answeredStart(key ident.Key, progress *broadcast) bool {
	s := m.entry(key)
	if s.progress != progress {
		return false
	}
	s.launching = false
	return true
}

// startedByAnother takes over the unit that another process of the hub has started
// meanwhile, as both may for a moment around a reload. It is false where there is none.
func (m *Manager) startedByAnother(key ident.Key, progress *broadcast) bool {
	u, err := m.cfg.Backend.Get(m.ctx, key)
	if err != nil {
		return false
	}
	m.mu.Lock()
	current := m.answeredStart(key, progress)
	m.mu.Unlock()
	if current {
		m.adopt(u)
	}
	return current
}

// readJournal passes the unit's lines on as steps of the start, until its last step.
// m.mu is held.
func (m *Manager) readJournal(s *server, since time.Time) {
	key, progress := s.Key, s.progress
	if !progress.readOnce() {
		return
	}
	ctx, stop := context.WithCancel(m.ctx)
	s.unfollow = stop
	m.wg.Go(func() {
		defer stop()
		err := m.cfg.Output.Follow(ctx, key, since, func(line string) { m.step(key, 30, line) })
		if err != nil && ctx.Err() == nil {
			m.cfg.Log.Warn("cannot follow the journal of a starting server", "event", "journal-unreadable",
				"user", key.User.String(), "unit", m.cfg.Backend.Name(key), "error", err.Error())
		}
	})
	m.wg.Go(func() {
		defer stop()
		select {
		case <-progress.ended:
		case <-ctx.Done():
		}
	})
}

// unitIsActive takes note that the unit is active and waits for its HTTP server.
func (m *Manager) unitIsActive(key ident.Key) {
	u, err := m.cfg.Backend.Get(m.ctx, key)
	switch {
	case err == nil:
		m.adopt(u)
	case !backend.Is(err, backend.NotFound): // otherwise it has ended; the event of its end has the reason
		m.fail(key, fmt.Sprintf("cannot read back what runs: %v", err), time.Now())
	}
}

// step adds a step to the start under way.
func (m *Manager) step(key ident.Key, percent int, message string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.servers[key]; ok && s.State.Pending() {
		s.progress.add(Progress{Percent: percent, Message: message})
	}
}

// adopt brings the table in line with a unit that exists: one that this hub started,
// one that another hub process started, or one that ran before this hub did.
func (m *Manager) adopt(u backend.Server) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.entry(u.Key)
	s.take(u)
	switch u.State {
	case backend.Starting:
		if !s.State.Active() {
			m.note(m.transition(s, startAsked))
			s.progress = newBroadcast()
		}
	case backend.Running:
		was := s.State
		m.note(m.transition(s, unitActive))
		if s.State == Waiting && was != Waiting {
			if was != Starting {
				s.progress = newBroadcast()
			}
			m.awaitAnswer(s)
		}
	case backend.Stopping:
		// A unit that fails is "deactivating" before it is failed; its end tells which it was.
		if !s.State.Active() {
			m.note(m.transition(s, unitActive))
			m.note(m.transition(s, stopAsked))
		}
	}
}

// take notes what a unit says of itself. m.mu is held.
func (s *server) take(u backend.Server) {
	s.address, s.tokenHash, s.Profile, s.Started, s.Devices = u.Address, u.TokenHash, u.Profile, u.Started, u.Devices
}

// note logs a transition that must not happen; the state stays as it was.
func (m *Manager) note(err error) {
	if err != nil {
		m.cfg.Log.Error("unexpected event for a server", "event", "server-unexpected", "error", err.Error())
	}
}

// awaitAnswer starts to ask the server over its socket until it answers. m.mu is
// held.
func (m *Manager) awaitAnswer(s *server) {
	key, address, since := s.Key, s.address, s.Started
	ctx, cancel := context.WithTimeout(m.ctx, m.cfg.HTTPTimeout)
	s.cancel = cancel
	s.progress.add(Progress{Percent: 50, Message: m.cfg.Backend.Name(key) + " is active, waiting for Jupyter to answer"})
	m.readJournal(s, time.Now())
	m.wg.Go(func() {
		defer cancel()
		err := m.poll(ctx, address, m.cfg.Env.Prefix(key)+"api")
		switch {
		case err == nil:
			m.answered(key)
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			m.giveUp(key, fmt.Sprintf("%s is active but its server did not answer within %s: %v", m.cfg.Backend.Name(key),
				m.cfg.HTTPTimeout, err), since)
		}
	})
}

// pollInterval is how often a starting server is asked whether it answers.
const pollInterval = 100 * time.Millisecond

// poll asks until an answer comes or ctx ends; then it gives the last reason.
func (m *Manager) poll(ctx context.Context, address backend.Address, path string) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var last error
	for {
		err := m.cfg.Prober.Probe(ctx, address, path)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-tick.C:
		}
	}
}

// answered makes the server ready, its route first.
func (m *Manager) answered(key ident.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.servers[key]
	if s == nil || s.State != Waiting {
		return // stopped or ended meanwhile
	}
	m.note(m.transition(s, answered))
	s.progress.add(Progress{Percent: 100, Ready: true, Message: "Server ready at " + m.cfg.Env.Prefix(key)})
}

// fail ends a start with its reason and the end of the unit's journal.
func (m *Manager) fail(key ident.Key, reason string, since time.Time) {
	m.mu.Lock()
	explain := m.markFailed(key, startFailed, reason, since, false)
	m.mu.Unlock()
	if explain != nil {
		explain()
	}
}

// giveUp stops a unit that is active but of no use, and fails with that reason whatever
// the unit's own end will say.
func (m *Manager) giveUp(key ident.Key, reason string, since time.Time) {
	m.mu.Lock()
	m.entry(key).reason = reason
	m.mu.Unlock()
	m.stopUnit(key)
	m.fail(key, reason, since)
}

// markFailed makes a server failed at once, so that no later event can take it for
// stopped, and gives the function that reads the log and tells those who wait. It gives
// nil where there is nothing to do: a stop was asked for meanwhile and takes care of the
// unit, or the failure is known. failed says that it is systemd who calls the unit failed.
// m.mu is held.
func (m *Manager) markFailed(key ident.Key, e event, reason string, since time.Time, failed bool) func() {
	s := m.entry(key)
	if s.State == Stopping || s.State == Stopped || s.State == Failed {
		return nil
	}
	if s.reason != "" {
		reason, s.reason = s.reason, ""
	}
	m.note(m.transition(s, e))
	failure, progress := &Failure{Message: reason, At: time.Now()}, s.progress
	s.Failure = failure
	m.cfg.Log.Error("server failed", "event", "server-failure", "user", key.User.String(),
		"server", key.Server.String(), "unit", m.cfg.Backend.Name(key), "error", reason)
	return func() {
		lines := m.tail(key, since, failed)
		m.mu.Lock()
		if s.Failure == failure { // not started again meanwhile
			s.Failure = &Failure{Message: failure.Message, Lines: lines, At: failure.At}
		}
		m.mu.Unlock()
		progress.add(Progress{Percent: 100, Failed: true, Message: "Spawn failed: " + firstLine(reason)})
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// How long the journal may lag behind the news of a unit's end.
const (
	tailTime  = 2 * time.Second
	tailEvery = 100 * time.Millisecond
	// tailAge bounds what is read of a server that ran for days.
	tailAge = time.Hour
)

// tail reads the end of the unit's journal, bounded in time. Of a unit that has failed by
// itself it waits for systemd's last words, which the journal may not have yet.
func (m *Manager) tail(key ident.Key, since time.Time, failed bool) []string {
	ctx, cancel := context.WithTimeout(m.ctx, 5*time.Second)
	defer cancel()
	if oldest := time.Now().Add(-tailAge); since.Before(oldest) {
		since = oldest
	}
	for end := time.Now().Add(tailTime); ; {
		lines, whole, err := m.cfg.Output.Tail(ctx, key, since, tailLines)
		if err != nil {
			m.cfg.Log.Warn("cannot read the journal of a failed server", "event", "journal-unreadable",
				"user", key.User.String(), "unit", m.cfg.Backend.Name(key), "error", err.Error())
		}
		if err != nil || !failed || whole || time.Now().After(end) {
			return lines
		}
		select {
		case <-ctx.Done():
			return lines
		case <-time.After(tailEvery):
		}
	}
}

// stopUnit asks the launcher to stop a unit that the table gives up.
func (m *Manager) stopUnit(key ident.Key) {
	ctx, cancel := context.WithTimeout(m.ctx, m.cfg.StopTimeout)
	defer cancel()
	err := m.cfg.Backend.Stop(ctx, key)
	var lerr *backend.Error
	if err != nil && !(errors.As(err, &lerr) && lerr.Code == backend.NotFound) {
		m.cfg.Log.Error("cannot stop a failed server", "event", "stop-failed", "user", key.User.String(),
			"unit", m.cfg.Backend.Name(key), "error", err.Error())
	}
}

// Stop stops a server, or cancels its start, and waits until its unit is gone or ctx
// ends. It goes on when ctx ends first. It fails with ErrNotActive where there is
// nothing to stop.
func (m *Manager) Stop(ctx context.Context, key ident.Key) error {
	m.mu.Lock()
	s, ok := m.servers[key]
	if !ok || !s.State.Active() {
		m.mu.Unlock()
		return fmt.Errorf("server %s: %w", key, ErrNotActive)
	}
	if s.State == Queued {
		m.note(m.transition(s, stopAsked))
		m.mu.Unlock()
		return nil
	}
	if s.State != Stopping {
		m.note(m.transition(s, stopAsked))
		s.progress.add(Progress{Percent: 100, Failed: true, Message: "Server stopped"})
	}
	if s.cancel != nil {
		s.cancel()
	}
	m.mu.Unlock()
	result := make(chan error, 1)
	m.wg.Go(func() { result <- m.stop(key) })
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *Manager) stop(key ident.Key) error {
	ctx, cancel := context.WithTimeout(m.ctx, m.cfg.StopTimeout)
	defer cancel()
	err := m.cfg.Backend.Stop(ctx, key)
	var lerr *backend.Error
	if errors.As(err, &lerr) && lerr.Code == backend.NotFound {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("server %s: cannot stop %s: %w", key, m.cfg.Backend.Name(key), err)
		if syncErr := m.Sync(m.ctx); syncErr != nil {
			err = errors.Join(err, syncErr)
		}
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note(m.transition(m.entry(key), unitEnded))
	return nil
}

// Handle takes a launcher's event.
func (m *Manager) Handle(e backend.Event) {
	switch e.State {
	case backend.Running, backend.Starting, backend.Stopping:
		m.adopt(e.Server)
	case backend.Stopped, backend.Failed:
		m.ended(e)
	}
}

// ended takes the end of a unit that nobody here asked for, or the echo of a stop.
func (m *Manager) ended(e backend.Event) {
	m.mu.Lock()
	s, ok := m.servers[e.Key]
	if !ok || !s.State.Active() || s.State == Queued {
		m.mu.Unlock()
		return
	}
	state, since := s.State, s.Started
	if s.cancel != nil && !s.launching {
		s.cancel() // nothing will answer any more; launch() hears of its own failure itself
	}
	if state == Ready && e.State == backend.Stopped {
		// It ended well by itself: the user shut it down from within.
		m.note(m.transition(s, stopAsked))
		m.note(m.transition(s, unitEnded))
		m.mu.Unlock()
		return
	}
	if state == Stopping {
		m.note(m.transition(s, unitEnded))
		m.mu.Unlock()
		return
	}
	if s.launching {
		if s.end == nil {
			s.end = &e // the launcher's answer to Start, which knows more, is under way
		}
		m.mu.Unlock()
		return
	}
	explain := m.markFailed(e.Key, unitEnded, e.Why.String(), since, e.State == backend.Failed)
	m.mu.Unlock()
	if explain != nil {
		m.wg.Go(explain)
	}
}

// Sync brings the whole table in line with what the launcher says runs. A server
// whose socket answers at once has its route when Sync returns.
func (m *Manager) Sync(ctx context.Context) error {
	list, err := m.cfg.Backend.List(ctx)
	if err != nil {
		return fmt.Errorf("cannot list what runs: %w", err)
	}
	seen := map[ident.Key]bool{}
	var probes sync.WaitGroup // one hung server must not hold up the others
	for _, u := range list {
		seen[u.Key] = true
		probes.Go(func() { m.adoptReady(ctx, u) })
	}
	probes.Wait()
	m.mu.Lock()
	var gone []ident.Key
	for key, s := range m.servers {
		if s.State.Active() && s.State != Queued && !s.launching && !seen[key] {
			gone = append(gone, key)
		}
	}
	m.mu.Unlock()
	for _, key := range gone {
		m.ended(backend.Event{Server: backend.Server{Key: key, State: backend.Stopped}})
	}
	return nil
}

// syncProbe bounds how long a start of the hub waits for one running server.
const syncProbe = 300 * time.Millisecond

// adoptReady adopts a unit and, where it answers at once, skips the waiting.
func (m *Manager) adoptReady(ctx context.Context, u backend.Server) {
	if u.State == backend.Running && m.Get(u.Key).State == Stopped {
		ctx, cancel := context.WithTimeout(ctx, syncProbe)
		defer cancel()
		if m.cfg.Prober.Probe(ctx, u.Address, m.cfg.Env.Prefix(u.Key)+"api") == nil {
			m.mu.Lock()
			defer m.mu.Unlock()
			s := m.entry(u.Key)
			s.take(u)
			m.note(m.transition(s, unitActive))
			m.note(m.transition(s, answered))
			s.progress = newBroadcast()
			s.progress.add(Progress{Percent: 100, Ready: true, Message: "Server ready at " + m.cfg.Env.Prefix(u.Key)})
			return
		}
	}
	m.adopt(u)
}
