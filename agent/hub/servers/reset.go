package servers

import (
	"context"
	"errors"
	"fmt"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// ErrNothingKept says that no persistent profile has kept anything of a server.
var ErrNothingKept = errors.New("nothing is kept of this server")

// Reset removes what persistent profiles have kept of a stopped server, so that its next
// start makes a fresh container. It fails with ErrActive where the server is not stopped,
// and with ErrNothingKept. A start that comes meanwhile waits at the launcher.
func (m *Manager) Reset(ctx context.Context, key ident.Key) error {
	if state := m.Get(key).State; state.Active() {
		return fmt.Errorf("server %s is %s: %w", key, state, ErrActive)
	}
	err := m.cfg.Backend.Reset(ctx, key)
	var refused *backend.Error
	if errors.As(err, &refused) {
		switch refused.Code {
		case backend.NotFound:
			return fmt.Errorf("server %s: %w", key, ErrNothingKept)
		case backend.AlreadyExists:
			return fmt.Errorf("server %s: %w", key, ErrActive)
		}
	}
	return err
}
