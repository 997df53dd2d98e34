package metrics

import (
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// spans remembers when starts and stops under way began.
type spans struct {
	mu       sync.Mutex // guards both maps
	starting map[ident.Key]time.Time
	stopping map[ident.Key]time.Time
}

func newSpans() *spans {
	return &spans{starting: map[ident.Key]time.Time{}, stopping: map[ident.Key]time.Time{}}
}

// Changed takes a server's change of state and observes the start or stop that it ends. A start lasts from the request
// to the first answer. A cancelled start counts as neither success nor failure. A server that ran before the hub counts
// as no start.
func (m *Metrics) Changed(s servers.Server, from servers.State) {
	started, stopped := m.spans.change(s, from)
	if started != nil {
		m.ServerStarted(started.status, started.took)
	}
	if stopped > 0 {
		m.ServerStopped(StopSuccess, stopped)
	}
}

type start struct {
	status SpawnStatus
	took   time.Duration
}

// change returns the start or the stop that has just ended, nil and 0 when none has.
func (sp *spans) change(s servers.Server, from servers.State) (ended *start, stop time.Duration) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if s.State == servers.Starting {
		sp.starting[s.Key] = s.Since
		return nil, 0
	}
	if s.State == servers.Waiting {
		return nil, 0 // still under way
	}
	begun, ours := sp.starting[s.Key]
	delete(sp.starting, s.Key)
	switch {
	case s.State == servers.Ready && ours:
		ended = &start{SpawnSuccess, s.Since.Sub(begun)}
	case s.State == servers.Failed && ours:
		ended = &start{SpawnFailure, s.Since.Sub(begun)}
	case s.State == servers.Stopping:
		sp.stopping[s.Key] = s.Since
	case s.State == servers.Stopped && from == servers.Stopping:
		stop = max(s.Since.Sub(sp.stopping[s.Key]), 1)
	}
	if s.State != servers.Stopping {
		delete(sp.stopping, s.Key)
	}
	return ended, stop
}
