package servers

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend/fake"
)

// TestTwoStops checks that the second of two stops does not end the run that began after the first.
func TestTwoStops(t *testing.T) {
	inWorld(t, fake.Config{Halt: boot / 4}, func(t *testing.T, w *world, m *Manager) {
		alice := key(t, "alice")
		if err := m.Start(alice, "", Options{}); err != nil {
			t.Fatal(err)
		}
		follow(t, m, alice)
		var calls atomic.Int32
		w.stopped = func() {
			if calls.Add(1) == 2 {
				time.Sleep(boot / 2)
			}
		}
		stops := make(chan error, 2)
		for range 2 {
			go func() { stops <- m.Stop(t.Context(), alice) }()
		}
		if err := <-stops; err != nil {
			t.Fatal(err)
		}
		if err := m.Start(alice, "", Options{}); err != nil {
			t.Fatal(err)
		}
		if err := <-stops; err != nil {
			t.Error(err)
		}
		if got := m.Get(alice).State; got != Starting {
			t.Errorf("the next run is %s, want starting", got)
		}
		follow(t, m, alice)
	})
}
