package servers

import (
	"context"
	"errors"
	"fmt"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// ErrNoContainer says that a server has no persistent container.
var ErrNoContainer = errors.New("this server has no persistent container")

// Reset removes the persistent containers of a stopped server, so that its next start makes a fresh one. It fails with
// ErrActive where the server is not stopped, and with ErrNoContainer. A start that comes meanwhile waits at the
// backend.
func (m *Manager) Reset(ctx context.Context, key ident.Key) error {
	if state := m.Get(key).State; state.Active() {
		return fmt.Errorf("server %s is %s: %w", key, state, ErrActive)
	}
	err := m.cfg.Backend.Reset(ctx, key)
	switch {
	case backend.Is(err, backend.NotFound):
		return fmt.Errorf("server %s: %w", key, ErrNoContainer)
	case backend.Is(err, backend.AlreadyExists):
		return fmt.Errorf("server %s: %w", key, ErrActive)
	}
	return err
}
