package scopes

import (
	"slices"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func key(t *testing.T, user, server string) ident.Key {
	t.Helper()
	k, err := ident.ParseKey(user, server)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAllows(t *testing.T) {
	alice, bob := key(t, "alice", ""), key(t, "bob", "")
	aliceX := key(t, "alice", "x")
	tests := map[string]struct {
		set   Set
		scope string
		on    ident.Key
		want  bool
	}{
		"own server":                       {ForUser(alice.User, false), AccessServers, alice, true},
		"own named server":                 {ForUser(alice.User, false), AccessServers, aliceX, true},
		"another's server":                 {ForUser(alice.User, false), AccessServers, bob, false},
		"admin on another's":               {ForUser(alice.User, true), AccessServers, bob, true},
		"server on itself":                 {ForServer(alice), AccessServers, alice, true},
		"server on its owner's other":      {ForServer(alice), AccessServers, aliceX, false},
		"server may not start":             {ForServer(alice), Servers, alice, false},
		"name that begins like another's":  {ForUser(key(t, "al", "").User, false), AccessServers, alice, false},
		"identify does not open the doors": {Identify(alice.User), AccessServers, alice, false},
		"an empty set allows nothing":      {nil, ReadUsers, alice, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.set.AllowsServer(tt.scope, tt.on); got != tt.want {
				t.Errorf("%v allows %s on %v = %v, want %v", tt.set, tt.scope, tt.on, got, tt.want)
			}
		})
	}
	if !ForServer(alice).AllowsUser(UsersActivity, alice.User) || ForServer(alice).AllowsUser(UsersActivity, bob.User) {
		t.Error("a server may report activity of its owner and of nobody else")
	}
}

// TestNarrowNeverWidens tries every pair of sets: what is left is in the token and
// covered by the owner.
func TestNarrowNeverWidens(t *testing.T) {
	alice, bob := key(t, "alice", ""), key(t, "bob", "gpu")
	sets := []Set{nil, ForUser(alice.User, false), ForUser(alice.User, true), ForUser(bob.User, false),
		ForServer(alice), ForServer(bob), Identify(alice.User), {AccessServers}}
	for _, token := range sets {
		for _, owner := range sets {
			got := token.Narrow(owner)
			for _, scope := range got {
				if !slices.Contains(token, scope) || !owner.covers(scope) {
					t.Errorf("Narrow(%v, %v) holds %s", token, owner, scope)
				}
			}
			if again := got.Narrow(owner); !slices.Equal(again, got) {
				t.Errorf("narrowing twice gave %v, then %v", got, again)
			}
		}
	}
	if got := (Set{"access:servers!server=alice/"}).Narrow(ForUser(alice.User, false)); len(got) != 1 {
		t.Errorf("alice's token for her own server was narrowed to %v", got)
	}
	if got := (Set{AccessServers}).Narrow(ForUser(alice.User, false)); len(got) != 0 {
		t.Errorf("an unfiltered scope outlived its filtered owner: %v", got)
	}
}
