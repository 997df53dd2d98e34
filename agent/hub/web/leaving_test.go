package web

import (
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestSomebodyWhoLeft checks what pages say of somebody who may not use the hub any more: the page of users, with the
// announced end of their server, and the page of their own tokens.
func TestSomebodyWhoLeft(t *testing.T) {
	h := newHub(t, func(c *setup) {
		c.Cull = func(k ident.Key) (cull.Notice, bool) {
			return cull.Notice{At: now.Add(30 * time.Minute), Reason: cull.ReasonAccessLost}, k == key("alice")
		}
	})
	const row, end = "no access", ", in 30 minutes"
	users := func() string { return textOf(show(t, h.do("GET", "/hub/admin", "dora")).root) }
	tokens := func() string { return textOf(show(t, h.do("GET", "/hub/token", "alice")).root) }
	if text := users(); strings.Contains(text, row) || !strings.Contains(text, end) {
		t.Errorf("before, the page of users says\n%s", text)
	}
	home := textOf(show(t, h.do("GET", "/hub/home", "alice")).root)
	if want := "in 30 minutes, because alice may not use this hub any more."; !strings.Contains(home, want) {
		t.Errorf("the home page does not say %q:\n%s", want, home)
	}
	if text := tokens(); strings.Contains(text, "suspended") {
		t.Errorf("before, the page of tokens says\n%s", text)
	}
	if _, err := h.db.LoseAccess(t.Context(), store.Standing{User: key("alice").User, Lost: now.Add(-3 * time.Hour),
		Reason: string(login.NotInGroup), Detail: "cgs"}); err != nil {
		t.Fatal(err)
	}
	if text := users(); strings.Count(text, row) != 2 || // the tag and its reason
		!strings.Contains(text, "alice is in no group that may use this hub (cgs): no access for 3 hours") {
		t.Errorf("the page of users says\n%s", text)
	}
	if text := tokens(); !strings.Contains(text, "Your tokens are suspended, because you may not use this hub any "+
		"more.") {
		t.Errorf("the page of tokens says\n%s", text)
	}
}
