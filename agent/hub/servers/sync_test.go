package servers

import (
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend/fake"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestStartedWhileSyncAsks checks that the end of a run that Sync finds out is not taken for the end of the next run,
// which begins while Sync asks.
func TestStartedWhileSyncAsks(t *testing.T) {
	inWorld(t, fake.Config{}, func(t *testing.T, w *world, m *Manager) {
		alice := key(t, "alice")
		w.Put(backend.Server{Key: alice, State: backend.Running, Address: backend.UnixSocket("/sock/alice", 5001),
			TokenHash: ident.HashToken("earlier")})
		if err := m.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.Lose(alice)
		w.asked = func() {
			if err := m.Stop(t.Context(), alice); err != nil {
				t.Error(err)
			}
			if err := m.Start(alice, "", Options{}); err != nil {
				t.Error(err)
			}
		}
		if err := m.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		follow(t, m, alice)
		if got := m.Get(alice); got.State != Ready {
			t.Errorf("the next run is %s: %+v", got.State, got.Failure)
		}
	})
}
