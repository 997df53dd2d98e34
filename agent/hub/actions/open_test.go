package actions

import (
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
)

// TestAgree has who is asked before they open a server, and what the journal has of it.
func TestAgree(t *testing.T) {
	b := newBench(t)
	bob := b.as(t, "bob")
	login := store.Login{SessionID: bob.SessionID, User: bob.User, Created: time.Now(),
		Expires: time.Now().Add(time.Hour), Seen: time.Now(), Checked: time.Now(), Attempted: time.Now()}
	if err := b.db.CreateLogin(t.Context(), login); err != nil {
		t.Fatal(err)
	}
	agreed := func(server string) bool {
		t.Helper()
		ok, err := b.Agreed(t.Context(), bob, key(t, server))
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if agreed("alice:x") || !agreed("bob") {
		t.Fatal("before anything")
	}
	if got := outcome(b.Agree(t.Context(), bob, key(t, "alice"))); got != "hidden lacks-scope" {
		t.Errorf("a server that is not shared with bob: %s", got)
	}
	for range 2 {
		if err := b.Agree(t.Context(), bob, key(t, "alice:x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Agree(t.Context(), bob, key(t, "bob")); err != nil {
		t.Fatal(err)
	}
	if !agreed("alice:x") || agreed("alice") {
		t.Error("the wrong server")
	}
	got := strings.Join(b.journal.all(), "\n")
	if strings.Count(got, "shared-server-opened") != 1 || !strings.Contains(got, "user=bob owner=alice server=x") {
		t.Errorf("the journal has %s", got)
	}
	if _, err := b.db.EndLogin(t.Context(), bob.SessionID); err != nil {
		t.Fatal(err)
	}
	if agreed("alice:x") {
		t.Error("it outlasts the session")
	}
}
