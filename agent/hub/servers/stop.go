package servers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// ErrNotActive says that a server that was to be stopped does not run.
var ErrNotActive = errors.New("the server does not run")

// Stop stops a server, or cancels its start, and waits until it is gone or ctx ends. The stop continues in the
// background when ctx ends first. It fails with ErrNotActive where there is nothing to stop.
func (m *Manager) Stop(ctx context.Context, key ident.Key) error {
	wait, err := m.askStop(key)
	if err != nil || !wait {
		return err
	}
	result := make(chan error, 1)
	m.wg.Go(func() { result <- m.stop(key) })
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// askStop makes a server Stopping and ends its start. wait is false for one in the queue for devices, of which the
// backend does not know.
func (m *Manager) askStop(key ident.Key) (wait bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.servers[key]
	if !ok || !s.State.Active() {
		return false, fmt.Errorf("server %s: %w", key, ErrNotActive)
	}
	if s.queuedHere() {
		m.must(s, leftQueue)
		return false, nil
	}
	if s.State != Stopping {
		m.must(s, stopAsked)
		s.progress.add(Progress{Percent: 100, Failed: true, Message: "Server stopped"})
	}
	if s.cancel != nil {
		s.cancel()
	}
	return true, nil
}

// stop stops a server after all earlier requests to the backend have been sent. Otherwise a start that reaches the
// backend after the stop would win.
func (m *Manager) stop(key ident.Key) error {
	m.mu.Lock()
	launched, hash := m.entry(key).launched, m.entry(key).tokenHash
	m.mu.Unlock()
	if launched != nil {
		select {
		case <-launched:
		case <-time.After(m.cfg.StopTimeout):
		}
	}
	if err := m.stopAtBackend(key); err != nil {
		err = fmt.Errorf("server %s: cannot stop %s: %w", key, m.cfg.Backend.Name(key), err)
		return errors.Join(err, m.Sync(m.ctx))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// Somebody else's stop may have been faster, and the next run have begun.
	if s := m.entry(key); s.tokenHash == hash {
		m.must(s, ended)
	}
	return nil
}

// stopGivenUp stops a server that the table abandons.
func (m *Manager) stopGivenUp(key ident.Key) {
	if err := m.stopAtBackend(key); err != nil {
		m.log(slog.LevelError, key, "cannot stop a failed server", "stop-failed", "error", err.Error())
	}
}

// stopAtBackend has the backend stop a server. An unknown server counts as stopped.
func (m *Manager) stopAtBackend(key ident.Key) error {
	ctx, cancel := context.WithTimeout(m.ctx, m.cfg.StopTimeout)
	defer cancel()
	m.mu.Lock()
	hash := m.entry(key).tokenHash
	m.mu.Unlock()
	if err := m.cfg.Backend.Stop(ctx, key); err != nil && !backend.Is(err, backend.NotFound) {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.entry(key); s.tokenHash == hash {
		s.over = true
	}
	return nil
}
