package servers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Handle takes an event of the backend.
func (m *Manager) Handle(e backend.Event) {
	switch e.State {
	case backend.Stopped, backend.Failed:
		m.takeEnd(e)
	default:
		if !m.isOld(e.Server) {
			m.adopt(e.Server)
		}
	}
}

// isOld reports whether an event is of a run that is known to be over: events may come after the answer to a stop.
func (m *Manager) isOld(u backend.Server) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.servers[u.Key]
	return ok && s.over && u.TokenHash != "" && u.TokenHash == s.tokenHash
}

// adopt brings the table in line with a server that the backend has: one that this process started, one that another
// process of the hub started, or one that ran before the hub did.
func (m *Manager) adopt(u backend.Server) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.entry(u.Key)
	s.take(u)
	switch u.State {
	case backend.Queued:
		m.adoptQueued(s, u)
	case backend.Starting:
		m.adoptStarting(s)
	case backend.Running:
		m.adoptRunning(s)
	case backend.Stopping:
		// A unit that fails is "deactivating" before it is failed; the event of its end says which it was.
		if !s.State.Active() {
			m.must(s, running)
			m.must(s, stopAsked)
		}
	}
}

func (m *Manager) adoptQueued(s *server, u backend.Server) {
	if s.State == Waiting || s.State == Ready || s.State == Stopping {
		return // it was queued before
	}
	if !s.State.Active() {
		s.requested()
	}
	m.leaveQueue(s)
	m.must(s, accepted)
	s.stopReading()
	q := Queue{Since: u.Queue.Since, Position: u.Queue.Position, Of: u.Queue.Of, Estimate: u.Queue.Estimate,
		Reason: u.Reason}
	if q.Since.IsZero() {
		q.Since = s.Since
	}
	if text := q.words(); text != s.wait.words() {
		s.progress.add(Progress{Percent: 5, Queued: true, Message: text})
	}
	s.wait = q
}

func (m *Manager) adoptStarting(s *server) {
	switch {
	case s.State == Queued && !s.queuedHere():
		m.must(s, turnCame)
		m.readOutput(s, time.Now())
	case !s.State.Active():
		m.must(s, startAsked)
		s.progress = newBroadcast()
	}
}

func (m *Manager) adoptRunning(s *server) {
	was := s.State
	m.must(s, running)
	if s.State != Waiting || was == Waiting {
		return
	}
	if !was.Pending() {
		s.progress = newBroadcast()
	}
	m.awaitAnswer(s)
}

// take records the backend's state of a server. Manager.mu is held.
func (s *server) take(u backend.Server) {
	s.run = run{address: u.Address, tokenHash: u.TokenHash}
	s.Profile, s.Devices, s.Where, s.Ends = u.Profile, u.Devices, u.Where, u.Ends
	if !u.Started.IsZero() {
		s.Started = u.Started
	}
}

// ending is the meaning of the event of a server's end.
type ending int

const (
	isNoNews    ending = iota // nothing: it is not active, or the news is of another run
	isAnswered                // the answer to the start is under way and knows more
	isEndOfStop               // the stop is done
	isShutDown                // it ended as it should and nobody here asked: its user shut it down from within
	isBreakdown               // it failed
)

// endVerdict decides what the event of an end means for a server. It has no effects.
func endVerdict(s State, launching bool, end backend.State) ending {
	switch {
	case !s.Active():
		return isNoNews
	case s == Ready && end == backend.Stopped:
		return isShutDown
	case s == Stopping:
		return isEndOfStop
	case launching:
		return isAnswered
	}
	return isBreakdown
}

// takeEnd handles the end of a server that nobody here requested, or the echo of a stop.
func (m *Manager) takeEnd(e backend.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.servers[e.Key]
	if !ok || s.queuedHere() || e.TokenHash != "" && s.tokenHash != "" && e.TokenHash != s.tokenHash {
		return
	}
	verdict := endVerdict(s.State, s.launching, e.State)
	if verdict == isNoNews {
		return
	}
	s.over = true
	if s.cancel != nil && !s.launching {
		s.cancel() // nothing will answer any more; launch hears of its own failure itself
	}
	switch verdict {
	case isAnswered:
		if s.end == nil {
			s.end = &e
		}
	case isShutDown:
		m.must(s, stopAsked)
		m.must(s, ended)
	case isEndOfStop:
		m.must(s, ended)
	case isBreakdown:
		m.wg.Go(m.fail(e.Key, ended, failure{e.Why, s.Started, e.State == backend.Failed}))
	}
}

// Sync brings the whole table in line with the backend's list. A server that answers at once has its route when Sync
// returns. After an error the table is unchanged: what runs is unknown.
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
	for _, s := range m.missing(seen) {
		if err := m.takeGone(ctx, s); err != nil {
			return fmt.Errorf("cannot ask for %s: %w", m.cfg.Backend.Name(s.Key), err)
		}
	}
	return nil
}

// takeGone handles the end of a server that the list lacked, unless it was started since: s has the hash of the run
// that is gone.
func (m *Manager) takeGone(ctx context.Context, s backend.Server) error {
	u, err := m.cfg.Backend.Get(ctx, s.Key)
	var gone *backend.Error
	switch {
	case err == nil:
		m.adopt(u)
		return nil
	case !errors.As(err, &gone) || gone.Code != backend.NotFound:
		return err
	}
	m.takeEnd(backend.Event{Server: s,
		Why: backend.Why{Message: m.cfg.Backend.Name(s.Key) + " ended by itself before it answered", Hint: gone.Hint}})
	return nil
}

// missing returns the servers in the table that the backend lacks, as ones that ended.
func (m *Manager) missing(seen map[ident.Key]bool) (gone []backend.Server) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, s := range m.servers {
		if s.State.Active() && !s.queuedHere() && !s.launching && !seen[key] {
			gone = append(gone, backend.Server{Key: key, State: backend.Stopped, TokenHash: s.tokenHash})
		}
	}
	return gone
}

// syncProbe bounds how long a start of the hub waits for one running server.
const syncProbe = 300 * time.Millisecond

// adoptReady adopts a server and, where it answers at once, skips the waiting.
func (m *Manager) adoptReady(ctx context.Context, u backend.Server) {
	if u.State != backend.Running || m.Get(u.Key).State != Stopped {
		m.adopt(u)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, syncProbe)
	defer cancel()
	if m.cfg.Prober.Probe(ctx, u.Address, m.cfg.Env.Prefix(u.Key)+"api") != nil {
		m.adopt(u)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.entry(u.Key)
	if s.State != Stopped { // an event was faster
		return
	}
	s.take(u)
	m.must(s, running)
	s.progress = newBroadcast()
	m.ready(s)
}
