package servers

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// tailLines is how much of a server's log is shown for a failed start.
const tailLines = 20

// failure is what is known of a failure when it is noticed.
type failure struct {
	why      backend.Why
	since    time.Time // from where on its log is read
	byItself bool      // it ended by itself, so that the log gets its last words
}

// fail makes a server failed at once, so that no later event can take it for stopped. It returns the function that
// reads the log and informs those who wait. It does nothing when a stop was requested meanwhile, since the stop handles
// the server, or when the failure is known. m.mu is held.
func (m *Manager) fail(key ident.Key, e event, f failure) (explain func()) {
	s := m.entry(key)
	if s.State == Stopping || s.State == Stopped || s.State == Failed {
		return func() {}
	}
	if s.reason != "" {
		f.why, s.reason = backend.Why{Message: s.reason}, ""
	}
	m.must(s, e)
	known, progress := &Failure{Why: f.why, At: time.Now()}, s.progress
	s.Failure = known
	m.log(slog.LevelError, key, "server failed", "server-failure", "error", f.why.Message, "hint", f.why.Hint)
	return func() {
		lines := m.tail(key, f)
		m.mu.Lock()
		if s.Failure == known { // not started again meanwhile
			s.Failure = &Failure{Why: known.Why, Lines: lines, At: known.At}
		}
		m.mu.Unlock()
		progress.add(Progress{Percent: 100, Failed: true, Message: "Spawn failed: " + firstLine(f.why.Message)})
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// Bounds of reading the log of a server that has ended.
const (
	tailTime  = 2 * time.Second // for the last words, behind which the log may lag
	tailEvery = 100 * time.Millisecond
	tailAge   = time.Hour       // of a server that ran for days
	tailLimit = 5 * time.Second // for all
)

// unreadable is what people see where lines of a log would be.
func unreadable(err error) string { return "(the server's log cannot be shown: " + err.Error() + ")" }

// tail reads the end of the server's log. For a server that failed by itself it waits for the last lines, which the log
// may not have yet.
func (m *Manager) tail(key ident.Key, f failure) []string {
	ctx, cancel := context.WithTimeout(m.ctx, tailLimit)
	defer cancel()
	if oldest := time.Now().Add(-tailAge); f.since.Before(oldest) {
		f.since = oldest
	}
	for end := time.Now().Add(tailTime); ; {
		lines, whole, err := m.cfg.Output.Tail(ctx, key, f.since, tailLines)
		if err != nil {
			m.log(slog.LevelWarn, key, "cannot read the log of a failed server", "journal-unreadable", "error",
				err.Error())
			lines = append(lines, unreadable(err))
		}
		if err != nil || whole || !f.byItself || time.Now().After(end) {
			return lines
		}
		select {
		case <-ctx.Done():
			return lines
		case <-time.After(tailEvery):
		}
	}
}

// giveUp stops a server that runs but cannot be used. The server fails with that reason, whatever its own end reports.
func (m *Manager) giveUp(key ident.Key, reason string, since time.Time) {
	m.mu.Lock()
	m.entry(key).reason = reason
	m.mu.Unlock()
	m.stopGivenUp(key)
	m.mu.Lock()
	explain := m.fail(key, startFailed, failure{why: backend.Why{Message: reason}, since: since})
	m.mu.Unlock()
	explain()
}
