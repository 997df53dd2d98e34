package scopes

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func TestSorted(t *testing.T) {
	tests := map[string]struct{ list, want []string }{
		"nothing": {nil, []string{}},
		"order":   {[]string{"shutdown", "proxy"}, []string{"proxy", "shutdown"}},
		"repetitions": {[]string{"tokens!user=a", "read:tokens!user=a", "tokens!user=a"},
			[]string{"read:tokens!user=a", "tokens!user=a"}},
		"covered without a filter": {[]string{"read:tokens!user=a", "tokens"}, []string{"read:tokens", "tokens"}},
		"covered, the other way":   {[]string{"tokens", "tokens!user=a"}, []string{"read:tokens", "tokens"}},
		"several filters": {[]string{"read:tokens!user=b", "read:tokens!group=b", "read:tokens!user=a"},
			[]string{"read:tokens!group=b", "read:tokens!user=a", "read:tokens!user=b"}},
		"a user and one's own server": {[]string{"delete:servers!server=a/", "delete:servers!user=a"},
			[]string{"delete:servers!server=a/", "delete:servers!user=a"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, expand(t, Owner{}, tt.list...).Sorted()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnion(t *testing.T) {
	a := expand(t, Owner{}, "tokens!user=a", "proxy", "servers!server=a/x")
	b := expand(t, Owner{}, "tokens!user=b", "read:tokens", "servers!server=a/x", "tokens!group=g")
	before := [2][]string{a.Sorted(), b.Sorted()}
	want := expand(t, Owner{}, "tokens!user=a", "proxy", "servers!server=a/x", "tokens!user=b", "read:tokens",
		"tokens!group=g").Sorted()
	for name, got := range map[string]Set{"a and b": a.Union(b), "b and a": b.Union(a),
		"from nothing": Set{}.Union(a, b, a, Set{})} {
		if diff := cmp.Diff(want, got.Sorted()); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(before, [2][]string{a.Sorted(), b.Sorted()}); diff != "" {
		t.Errorf("Union changed its sets:\n%s", diff)
	}
}

func TestFilters(t *testing.T) {
	s := expand(t, Owner{}, "tokens!user=b", "tokens!user=a", "tokens!group=g", "servers!server=a/x",
		"access:services!service=c", "proxy")
	tests := map[string]Reach{
		Tokens:         {Users: []ident.User{user(t, "a"), user(t, "b")}, Groups: []string{"g"}},
		Servers:        {Servers: []ident.Key{key(t, "a", "x")}},
		AccessServices: {Services: []string{"c"}},
		Proxy:          {All: true},
		Shutdown:       {},
	}
	for scope, want := range tests {
		if diff := cmp.Diff(want, s.Filters(scope), cmp.AllowUnexported(ident.User{}, ident.Server{})); diff != "" {
			t.Errorf("%s:\n%s", scope, diff)
		}
	}
}

// TestSharedFilters grows one of several scopes that were granted together: the others
// must not change.
func TestSharedFilters(t *testing.T) {
	o := Owner{User: user(t, "b")}
	got := expand(t, o, "tokens!user=c", "read:tokens!user=a", "read:tokens!user", "tokens!user=d",
		"read:tokens!user=a").Sorted()
	want := []string{"read:tokens!user=a", "read:tokens!user=b", "read:tokens!user=c", "read:tokens!user=d",
		"tokens!user=c", "tokens!user=d"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestGrants(t *testing.T) {
	alice, gpu := key(t, "alice", ""), key(t, "alice", "gpu")
	member, admin, server := forUser(alice.User, false), forUser(alice.User, true), forServer(alice)
	bob := key(t, "bob", "")
	tests := map[string]struct{ got, want bool }{
		"own server":                  {member.AllowsServer(AccessServers, alice, nil), true},
		"own named server":            {member.AllowsServer(AccessServers, gpu, nil), true},
		"another's server":            {member.AllowsServer(AccessServers, bob, nil), false},
		"admin on another's":          {admin.AllowsServer(AccessServers, bob, nil), true},
		"sharing is for admins":       {member.Has(Shares), false},
		"an admin shares":             {admin.Everywhere(Shares), true},
		"server on itself":            {server.AllowsServer(AccessServers, alice, nil), true},
		"server on its owner's other": {server.AllowsServer(AccessServers, gpu, nil), false},
		"server may not start":        {server.Has(Servers) || server.Has(StartServers), false},
		"server reports activity":     {server.AllowsUser(UsersActivity, alice.User, nil), true},
		"only of its owner":           {server.AllowsUser(UsersActivity, bob.User, nil), false},
		"a prefix is not the user":    {forUser(user(t, "al"), false).AllowsServer(AccessServers, alice, nil), false},
		"identify opens no door":      {expand(t, Owner{}, Identify(alice.User)...).Has(AccessServers), false},
		"identify tells the name": {expand(t, Owner{}, Identify(alice.User)...).AllowsUser(ReadUsersName,
			alice.User, nil), true},
		"a service identifies": {expand(t, Owner{}, IdentifyService("c")...).AllowsService(ReadServicesName,
			"c"), true},
		"one server opened": {expand(t, Owner{}, AccessServer(gpu)).AllowsServer(AccessServers, gpu, nil),
			true},
		"one service opened": {expand(t, Owner{}, AccessService("c")).AllowsService(AccessServices, "c"),
			true},
		"the empty set":          {Set{}.AllowsUser(ReadUsers, alice.User, []string{""}), false},
		"the user who is nobody": {member.AllowsUser(ReadUsers, ident.User{}, nil), false},
	}
	for name, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %v, want %v", name, tt.got, tt.want)
		}
	}
}
