package access

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// book is what the database knows.
type book struct {
	groups map[string][]string
	shares []store.Share
	err    error
	asked  int
}

func (b *book) GroupsOf(_ context.Context, u ident.User) ([]string, error) {
	b.asked++
	return b.groups[u.String()], b.err
}

func (b *book) SharesFor(_ context.Context, u ident.User, groups []string) (found []store.Share, err error) {
	for _, s := range b.shares {
		if s.User == u || slices.Contains(groups, s.Group) {
			found = append(found, s)
		}
	}
	return found, b.err
}

func user(t *testing.T, name string) ident.User {
	t.Helper()
	u, err := ident.ParseUser(name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func role(name string, list ...string) scopes.Role { return scopes.Role{Name: name, Scopes: list} }

func TestUser(t *testing.T) {
	alice, bob := user(t, "alice"), user(t, "bob")
	records := &book{groups: map[string][]string{"bob": {"course"}}, shares: []store.Share{
		{Key: ident.Key{User: alice}, User: bob, Scopes: []string{"access:servers!server=alice/"}},
		{Key: ident.Key{User: alice}, Group: "course", Scopes: []string{"read:servers!server=alice/"}},
	}}
	a, err := New(Config{Table: scopes.Default(), Records: records, Log: slog.New(slog.DiscardHandler), Roles: []Role{
		{Role: role("teacher", "list:users!group=course"), Users: []ident.User{alice}},
		{Role: role("pupil", "read:hub"), Groups: []string{"course"}},
		{Role: role("user", "self", "shares!user")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		user   ident.User
		admin  bool
		groups []string
		has    string // scopes that must be there
		lacks  string
	}{
		"a role by name, and another self": {alice, false, nil,
			"list:users!group=course shares!user=alice servers!user=alice", "read:hub shutdown"},
		"a role and a share by the group": {bob, false, []string{"course"},
			"read:hub access:servers!server=alice/ read:servers!server=alice/ servers!user=bob",
			"shutdown list:users!group=course"},
		"a share by name alone": {bob, false, nil, "access:servers!server=alice/",
			"read:servers!server=alice/ read:hub"},
		"an administrator": {bob, true, nil, "shutdown access:servers admin:users",
			"list:users!group=course"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			set, err := a.User(t.Context(), tt.user, tt.admin, tt.groups)
			if err != nil {
				t.Fatal(err)
			}
			got := set.Sorted()
			for _, want := range strings.Fields(tt.has) {
				if !slices.Contains(got, want) {
					t.Errorf("%s is not in %v", want, got)
				}
			}
			for _, never := range strings.Fields(tt.lacks) {
				if slices.Contains(got, never) {
					t.Errorf("%s is in %v", never, got)
				}
			}
		})
	}
	records.err = errors.New("down")
	if set, err := a.User(t.Context(), bob, false, nil); err == nil || len(set.Sorted()) > 0 {
		t.Errorf("with a database that is down: %v, %v", set.Sorted(), err)
	}
}

func TestRolesOf(t *testing.T) {
	alice := user(t, "alice")
	a, err := New(Config{Table: scopes.Default(), Records: &book{}, Log: slog.New(slog.DiscardHandler), Roles: []Role{
		{Role: role("reader", "list:users"), Users: []ident.User{alice}, Groups: []string{"g"},
			Services: []string{"s"}},
		{Role: scopes.Role{Name: "token"}, Services: []string{"s"}}, // keeps its scopes
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, diff := range map[string]string{
		"user":          cmp.Diff([]string{"user", "reader"}, a.UserRoles(alice, false)),
		"admin":         cmp.Diff([]string{"user", "admin", "reader"}, a.UserRoles(alice, true)),
		"group":         cmp.Diff([]string{"reader"}, a.GroupRoles("g")),
		"other group":   cmp.Diff([]string{}, a.GroupRoles("h")),
		"service":       cmp.Diff([]string{"token", "reader"}, a.ServiceRoles("s", false)),
		"admin service": cmp.Diff([]string{"admin"}, a.ServiceRoles("t", true)),
	} {
		if diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if r, ok := a.Role("token"); !ok || !slices.Equal(r.Scopes, []string{"inherit"}) {
		t.Errorf("the role token is %+v", r)
	}
	if got := a.Service("s", false, []string{"read:hub"}).Sorted(); !slices.Contains(got, "list:users") ||
		!slices.Contains(got, "read:hub") || !slices.Contains(got, "read:services:name!service=s") {
		t.Errorf("the service may %v", got)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, r := range map[string]scopes.Role{"unknown scope": role("reader", "list:userz"),
		"the role admin": role("admin", "self"), "name": role("A", "self")} {
		if _, err := New(Config{Table: scopes.Default(), Records: &book{}, Log: slog.New(slog.DiscardHandler),
			Roles: []Role{{Role: r}}}); err == nil || !strings.Contains(err.Error(), r.Name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestServerToken checks that a server's token opens its own server and nothing else.
func TestServerToken(t *testing.T) {
	a, err := New(Config{Table: scopes.Default(), Records: &book{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ident.ParseKey("alice", "gpu")
	if err != nil {
		t.Fatal(err)
	}
	own, err := a.User(t.Context(), key.User, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"access:servers!server=alice/gpu", "read:users:activity!user=alice",
		"read:users:groups!user=alice", "read:users:name!user=alice", "users:activity!user=alice"}
	if diff := cmp.Diff(want, a.Server(key, own).Sorted()); diff != "" {
		t.Errorf("an administrator's server may (-want +got):\n%s", diff)
	}
}

// TestMembershipAsksOnce checks that one request asks for each user once.
func TestMembershipAsksOnce(t *testing.T) {
	records := &book{groups: map[string][]string{"bob": {"course"}}}
	a, err := New(Config{Table: scopes.Default(), Records: records, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	groups := a.Membership(t.Context())
	for range 3 {
		if got := groups(user(t, "bob")); !slices.Equal(got, []string{"course"}) {
			t.Errorf("bob is in %v", got)
		}
	}
	if records.asked != 1 {
		t.Errorf("asked %d times", records.asked)
	}
}

// TestEmptyRoles checks that an empty list takes every scope away from a default role, as in JupyterHub, and that a
// missing one leaves them.
func TestEmptyRoles(t *testing.T) {
	alice := user(t, "alice")
	key := ident.Key{User: alice}
	for _, empty := range []bool{false, true} {
		var roles []Role
		for _, name := range []string{"user", "server", "token"} {
			r := Role{Role: scopes.Role{Name: name}}
			if empty {
				r.Scopes = []string{}
			}
			roles = append(roles, r)
		}
		a, err := New(Config{Table: scopes.Default(), Records: &book{}, Log: slog.New(slog.DiscardHandler),
			Roles: roles})
		if err != nil {
			t.Fatal(err)
		}
		mine, err := a.User(t.Context(), alice, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		admin, err := a.User(t.Context(), alice, true, nil)
		if err != nil || !admin.Everywhere("admin:users") {
			t.Errorf("empty %v: an administrator may %v, %v", empty, admin.Sorted(), err)
		}
		role, _ := a.Role("token")
		for what, has := range map[string]bool{
			"a user's scopes":      len(mine.Sorted()) > 0,
			"a server's own":       a.Server(key, admin).AllowsServer("access:servers", key, nil),
			"a token's by default": len(role.Scopes) > 0,
		} {
			if has == empty {
				t.Errorf("empty %v: %s: %v", empty, what, has)
			}
		}
	}
}
