package servers

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend/fake"
)

// TestOnTransition listens to a server's life.
func TestOnTransition(t *testing.T) {
	inWorld(t, fake.Config{}, func(t *testing.T, _ *world, m *Manager) {
		var mu sync.Mutex
		var heard []string
		m.cfg.OnTransition = func(s Server, from State) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, s.Key.String()+": "+string(from)+" to "+string(s.State))
			if !s.Since.Equal(time.Now()) {
				t.Errorf("%s since %s, now it is %s", s.State, s.Since, time.Now())
			}
		}
		alice := key(t, "alice")
		if err := m.Start(alice, "", Options{}); err != nil {
			t.Fatal(err)
		}
		follow(t, m, alice)
		if err := m.Stop(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		want := []string{"alice: stopped to starting", "alice: starting to waiting", "alice: waiting to ready",
			"alice: ready to stopping", "alice: stopping to stopped"}
		if diff := cmp.Diff(want, heard); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
