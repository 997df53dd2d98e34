package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// pollInterval is how often a starting server is asked whether it answers.
const pollInterval = 100 * time.Millisecond

// awaitAnswer starts to ask a server that is Waiting until it answers. m.mu is held.
func (m *Manager) awaitAnswer(s *server) {
	key, address, since, name := s.Key, s.address, s.Started, m.cfg.Backend.Name(s.Key)
	ctx, cancel := context.WithTimeout(m.ctx, m.cfg.HTTPTimeout)
	s.cancel = cancel
	s.progress.add(Progress{Percent: 50, Message: name + " is active, waiting for Jupyter to answer"})
	m.readOutput(s, time.Now())
	m.wg.Go(func() {
		defer cancel()
		err := m.poll(ctx, address, m.cfg.Env.Prefix(key)+"api")
		switch {
		case err == nil:
			m.answers(key)
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			m.giveUp(key, fmt.Sprintf("%s is active but its server did not answer within %s: %v", name,
				m.cfg.HTTPTimeout, err), since)
		}
	})
}

// poll asks until an answer comes or ctx ends; then it returns the last reason.
func (m *Manager) poll(ctx context.Context, address backend.Address, path string) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	last := errors.New("it was not asked")
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

// answers makes the server ready, its route first.
func (m *Manager) answers(key ident.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.servers[key]
	if s == nil || s.State != Waiting {
		return // stopped or ended meanwhile
	}
	m.ready(s)
}

// ready takes a server's first answer. m.mu is held.
func (m *Manager) ready(s *server) {
	m.must(s, answered)
	s.progress.add(Progress{Percent: 100, Ready: true, Message: "Server ready at " + m.cfg.Env.Prefix(s.Key)})
}

// newToken makes a server's token: 128 random bits in base 32 (crypto/rand.Text).
func newToken() string { return rand.Text() }
