package login

import (
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
)

// TestIdentity checks that a name belongs to the account that signed in under it first, and an account to its name,
// until root forgets it.
func TestIdentity(t *testing.T) {
	s := newSite(t, nil)
	account := func(sub, name string) {
		claim("sub", sub)(s)
		claim("preferred_username", name)(s)
	}
	s.browser().signIn().want(t, 303)
	s.browser().signIn().want(t, 303) // the same again

	account("sub-thief", "alice")
	b := s.browser()
	b.signIn().want(t, 403, "belongs to another account", "gifford-hub identities forget alice")
	b.get("/jhub/hub/home").want(t, 401)
	s.wantEvent("login-refused")

	account("sub-alice", "bob")
	b.signIn().want(t, 403, "belongs to alice here", "gifford-hub identities forget alice")
	b.get("/jhub/hub/home").want(t, 401)

	alice := users(t, "alice")[0]
	if err := s.store.ForgetIdentity(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	account("sub-new", "alice")
	s.browser().signIn().want(t, 303)
	account("sub-alice", "alice")
	s.browser().signIn().want(t, 403, "belongs to another account")
}

// TestIdentityOfAnotherIssuer checks that a subject counts within its issuer alone.
func TestIdentityOfAnotherIssuer(t *testing.T) {
	s := newSite(t, nil)
	alice := users(t, "alice")[0]
	if _, err := s.store.BindIdentity(t.Context(), store.Identity{User: alice, Issuer: "https://old.example",
		Subject: "sub-alice", Bound: s.clock.now()}); err != nil {
		t.Fatal(err)
	}
	s.browser().signIn().want(t, 403, "belongs to another account")
}

// TestIdentityIsBoundByThoseWhoMayEnter checks that somebody who is refused takes no name.
func TestIdentityIsBoundByThoseWhoMayEnter(t *testing.T) {
	s := newSite(t, claimGroups)
	groups := s.provider.claims["groups"]
	claim("groups", []string{"others"})(s)
	claim("sub", "sub-thief")(s)
	s.browser().signIn().want(t, 403, "no group")
	claim("groups", groups)(s)
	claim("sub", "sub-alice")(s)
	s.browser().signIn().want(t, 303)
}

// TestIdentityOnAFullDisk checks that nobody signs in whose name cannot be bound.
func TestIdentityOnAFullDisk(t *testing.T) {
	s := newSite(t, nil)
	s.full(t, "INSERT ON identities")
	b := s.browser()
	b.signIn().want(t, 500)
	b.get("/jhub/hub/home").want(t, 401)
}
