package actions

import (
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
)

// TestForgetIdentity checks that root alone changes whose a name is, administrators of the hub do not, and that the
// sessions under the name end.
func TestForgetIdentity(t *testing.T) {
	b := newBench(t)
	alice := user(t, "alice")
	want := store.Identity{User: alice, Issuer: "https://id", Subject: "1", Bound: time.Unix(1, 0)}
	if have, err := b.db.BindIdentity(t.Context(), want); err != nil || have.Subject != "1" {
		t.Fatal(have, err)
	}
	for by, outcomes := range map[string]string{"alice": "forbidden admins-only", "dora": "forbidden admins-only"} {
		if got := outcome(b.ForgetIdentity(t.Context(), b.as(t, by), alice)); got != outcomes {
			t.Errorf("%s: %s", by, got)
		}
	}
	if all, err := b.db.Identities(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("after refusals: %v, %v", all, err)
	}
	if got := outcome(b.ForgetIdentity(t.Context(), b.as(t, "root"), user(t, "bob"))); got != "not found no-user" {
		t.Errorf("a name that is not bound: %s", got)
	}
	if err := b.ForgetIdentity(t.Context(), b.as(t, "root"), alice); err != nil {
		t.Fatal(err)
	}
	if all, err := b.db.Identities(t.Context()); err != nil || len(all) != 0 || len(b.ended) != 1 {
		t.Errorf("left %v, ended %v, %v", all, b.ended, err)
	}
	if got := b.journal.all(); len(got) != 1 || !strings.Contains(got[0], string(IdentityForgotten)) {
		t.Errorf("the journal has %q", got)
	}
}
