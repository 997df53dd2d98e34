package cull

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// directory knows who is in which group, until it is down.
type directory struct {
	groups map[string]string // of one member each
	down   error
	asked  int
}

func (d *directory) MemberOf(_ context.Context, user ident.User, group string) (bool, error) {
	d.asked++
	return d.groups[group] == user.String(), d.down
}

func TestRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eight := 8 * time.Hour
		d := &directory{groups: map[string]string{"staff": "alice", "gpu": "bob"}}
		var hubDown error
		hub := func(_ context.Context, user ident.User) ([]string, error) {
			if user.String() == "dora" {
				return []string{"staff", "cgs"}, hubDown // by the provider's claim or the API
			}
			return nil, hubDown
		}
		ordinary := Policy{Idle: time.Hour, Notice: time.Minute}
		r := NewRules(Policies{Default: ordinary,
			Groups: map[string]Override{"staff": {Idle: &eight}, "gpu": {Exempt: true}}}, d, hub)
		for name, want := range map[string]Policy{
			"alice": {Idle: eight, Notice: time.Minute}, "dora": {Idle: eight, Notice: time.Minute},
			"bob": {Idle: time.Hour, Notice: time.Minute, Exempt: true}, "carol": ordinary,
		} {
			user, err := ident.ParseUser(name)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				got, err := r.Policy(t.Context(), user)
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					t.Errorf("%s: error %v, policy (-want +got):\n%s", name, err, diff)
				}
			}
		}
		if d.asked != 8 {
			t.Errorf("the name service was asked %d times for four people and two groups", d.asked)
		}
		time.Sleep(knownFor - time.Nanosecond)
		d.down = errors.New("no answer")
		alice, _ := ident.ParseUser("alice")
		if _, err := r.Policy(t.Context(), alice); err != nil {
			t.Errorf("what is known is asked for again: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if p, err := r.Policy(t.Context(), alice); !errors.Is(err, d.down) {
			t.Errorf("without the name service the policy is %+v, %v", p, err)
		}
		d.down, hubDown = nil, errors.New("database is locked")
		if p, err := r.Policy(t.Context(), alice); !errors.Is(err, hubDown) {
			t.Errorf("without the hub's groups the policy is %+v, %v", p, err)
		}
	})
}
