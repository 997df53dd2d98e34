package web

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// TestPersistentIsAskedRarely checks that home pages do not ask the launcher for all persistent containers each time,
// and yet show what has changed.
func TestPersistentIsAskedRarely(t *testing.T) {
	asked, clock := 0, now
	var all []backend.PersistentContainer
	h := newHub(t, func(c *setup) {
		c.NamedServers, c.Now = 2, func() time.Time { return clock }
		c.Persistent = func(context.Context) ([]backend.PersistentContainer, error) { asked++; return all, nil }
	})
	home := func(what string, offers bool, questions int) {
		t.Helper()
		for _, user := range []string{"gail", "alice", "bob", "gail"} {
			text := body(t, h.do("GET", "/hub/home", user))
			if got := strings.Contains(text, `href="/hub/reset/gail"`); got != (offers && user == "gail") {
				t.Errorf("%s: a reset is offered to %s: %v", what, user, got)
			}
		}
		if asked != questions {
			t.Errorf("%s: the launcher was asked %d times, want %d", what, asked, questions)
		}
	}
	home("at first", false, 1)
	clock, all = clock.Add(time.Second), []backend.PersistentContainer{{Key: key("gail"), Profile: "gpu"}}
	h.servers.table[key("gail")] = servers.Server{Key: key("gail"), State: servers.Stopped, Since: clock}
	home("after gail's server has stopped", true, 2)
	all = nil
	if got := answer(h.post("/hub/reset/gail", "gail", nil)); got != "See Other /hub/home" {
		t.Fatal(got)
	}
	home("after a reset", false, 3)
	all = []backend.PersistentContainer{{Key: key("gail"), Profile: "gpu"}}
	clock = clock.Add(freshFor)
	home("later", true, 4)
}
