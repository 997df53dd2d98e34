package servers

import (
	"fmt"
	"log/slog"
	"time"
)

// transition is the only place where a state changes. m.mu is held.
func (m *Manager) transition(s *server, e event) error {
	from := s.State
	if err := m.apply(s, e); err != nil {
		return fmt.Errorf("server %s: %w", s.Key, err)
	}
	if s.State != from {
		m.announce(s, from)
	}
	return nil
}

// apply changes the state and what depends on it in the table. m.mu is held.
func (m *Manager) apply(s *server, e event) error {
	to, err := next(s.State, e)
	if err != nil || to == s.State {
		return err
	}
	m.count[s.State]--
	m.count[to]++
	s.State, s.Since = to, time.Now()
	if !to.Active() {
		m.noteLeases(s)
		s.Started, s.WithoutGPUs, s.Where, s.Ends = time.Time{}, false, "", time.Time{}
	}
	if to != Starting && to != Queued {
		m.leaveQueue(s)
	}
	if to != Failed {
		s.Failure = nil
	}
	return nil
}

// announce passes a new state on: to the router, those who wait for a device or for this start, the log, and who
// counts. m.mu is held.
func (m *Manager) announce(s *server, from State) {
	if s.State == Ready {
		m.cfg.Router.SetRoute(s.Key, s.address)
	} else {
		m.cfg.Router.DeleteRoute(s.Key)
	}
	m.wake() // a device may be free, or somebody have left the queue
	if s.State == Stopped {
		s.progress.add(Progress{Percent: 100, Failed: true, Message: "Server stopped"})
	}
	m.log(slog.LevelInfo, s.Key, "server is "+string(s.State), "server-"+string(s.State), "from", string(from))
	if m.cfg.OnTransition != nil {
		m.cfg.OnTransition(s.Server, from)
	}
}

// must makes a transition and logs one that must not happen; the state stays as it was then. m.mu is held.
func (m *Manager) must(s *server, e event) {
	if err := m.transition(s, e); err != nil {
		m.cfg.Log.Error("unexpected event for a server", "event", "server-unexpected", "error", err.Error())
	}
}
