package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// announced is a Config.Cull that has announced the ends of bob's servers "ends" and "gpu".
func announced(k ident.Key) (cull.Notice, bool) {
	if k.String() == "bob:gpu" {
		return cull.Notice{At: time.Date(2026, 3, 4, 15, 4, 5, 0, time.UTC), Reason: cull.ReasonGPU, Restart: true,
			Unused: time.Date(2026, 3, 4, 13, 0, 0, 0, time.UTC), Postponed: true}, true
	}
	return cull.Notice{At: time.Date(2026, 3, 4, 15, 4, 5, 0, time.UTC), Reason: cull.ReasonIdle},
		k.String() == "bob:ends"
}

// TestServerModelTellsItsEnd checks that the announced end stands in the model, and that
// the model of other servers is JupyterHub's.
func TestServerModelTellsItsEnd(t *testing.T) {
	srv, f, _ := serve(t)
	f.states = map[string]servers.State{"bob": servers.Ready, "bob:ends": servers.Ready, "bob:gpu": servers.Ready}
	_, body, _ := ask(t, srv, "GET", "/hub/api/users/bob", "", "X-Test-User", "bob")
	var got struct{ Servers map[string]map[string]any }
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"at": "2026-03-04T15:04:05.000000Z", "reason": "idle"}
	if diff := cmp.Diff(want, got.Servers["ends"]["cull"]); diff != "" {
		t.Errorf("cull (-want +got):\n%s", diff)
	}
	want = map[string]any{"at": "2026-03-04T15:04:05.000000Z", "reason": "gpu-idle", "action": "restart-without-gpu",
		"unused_since": "2026-03-04T13:00:00.000000Z", "may_keep": false}
	if diff := cmp.Diff(want, got.Servers["gpu"]["cull"]); diff != "" {
		t.Errorf("cull of an unused GPU (-want +got):\n%s", diff)
	}
	if end := announcedEnd(cull.Notice{Reason: cull.ReasonAccessLost}); end["reason"] != "access-lost" ||
		len(end) != 2 {
		t.Errorf("the end after a loss is %v", end)
	}
	if end, stands := got.Servers[""]["cull"]; stands {
		t.Errorf("the key cull stands where nothing was announced: %v", end)
	}
}

// TestModelsOfSomebodyWhoLeft checks that the model of a user and those of their tokens say that they may not use the
// hub any more, and nothing of it otherwise.
func TestModelsOfSomebodyWhoLeft(t *testing.T) {
	srv, _, db := serve(t)
	bob, err := ident.ParseUser("bob")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.CreateToken(t.Context(), store.Token{Hash: "h", Kind: store.APIToken, User: bob}); err != nil {
		t.Fatal(err)
	}
	for _, left := range []bool{false, true} {
		if left {
			if _, err := db.LoseAccess(t.Context(), store.Standing{User: bob, Reason: "not-in-group",
				Lost: time.Date(2026, 3, 4, 15, 4, 5, 0, time.UTC)}); err != nil {
				t.Fatal(err)
			}
		}
		_, user, _ := ask(t, srv, "GET", "/hub/api/users/bob", "", "X-Test-User", "dora")
		_, tokens, _ := ask(t, srv, "GET", "/hub/api/users/bob/tokens", "", "X-Test-User", "dora")
		if got := strings.Contains(user,
			`"access_lost":{"at":"2026-03-04T15:04:05.000000Z","reason":"not-in-group"}`); got !=
			left {
			t.Errorf("left %v: the user's model is %s", left, user)
		}
		if strings.Contains(tokens, `"suspended":true`) != left {
			t.Errorf("left %v: the tokens' models are %s", left, tokens)
		}
	}
}
