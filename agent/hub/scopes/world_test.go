package scopes

import (
	"slices"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func user(t testing.TB, name string) ident.User {
	t.Helper()
	u, err := ident.ParseUser(name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func key(t testing.TB, name, server string) ident.Key {
	t.Helper()
	k, err := ident.ParseKey(name, server)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// members is who is in which group in all tests.
var members = map[string][]string{"alice": {"cgs", "all"}, "bob": {"cgs"}, "carol": {"all"}}

func groupsOf(u ident.User) []string { return members[u.String()] }

// thing is something that a scope may be held on, named as in a filter.
type thing struct {
	name   string
	allows func(s Set, scope string) bool
}

// things is at least one of each kind that each filter of the tests covers, and one
// that it does not.
func things(t testing.TB) []thing {
	list := []thing{{"everything", Set.Everywhere}}
	for name := range members {
		u := user(t, name)
		list = append(list, thing{"user=" + name, func(s Set,
			scope string) bool {
			return s.AllowsUser(scope, u, groupsOf(u))
		}})
		for _, server := range []string{"", "gpu"} {
			k := key(t, name, server)
			list = append(list, thing{"server=" + ServerFilter(k),
				func(s Set, scope string) bool { return s.AllowsServer(scope, k, groupsOf(u)) }})
		}
	}
	for _, g := range []string{"cgs", "all", "none"} {
		list = append(list, thing{"group=" + g, func(s Set, scope string) bool { return s.AllowsGroup(scope, g) }})
	}
	for _, name := range []string{"culler", "nbgrader"} {
		list = append(list, thing{"service=" + name, func(s Set,
			scope string) bool {
			return s.AllowsService(scope, name)
		}})
	}
	return list
}

// granted returns the names of the things on which s grants the scope, sorted.
func granted(s Set, scope string, all []thing) []string {
	var names []string
	for _, x := range all {
		if x.allows(s, scope) {
			names = append(names, x.name)
		}
	}
	slices.Sort(names)
	return names
}

// custom is the settings' scopes of all tests.
var custom = []Custom{
	{"custom:grades:read", "Read grades", nil},
	{"custom:grades:write", "Write grades", []string{"custom:grades:read"}},
	{"custom:grades:*", "All of the grades", []string{"custom:grades:write"}},
}

func table(t testing.TB) *Table {
	t.Helper()
	tab, err := NewTable(custom)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// expand expands a list that must be right.
func expand(t testing.TB, o Owner, list ...string) Set {
	t.Helper()
	s, unusable := table(t).Expand(list, o)
	if len(unusable) > 0 {
		t.Fatalf("Expand(%q): %q", list, unusable)
	}
	return s
}

// forUser returns what a user may do by the default roles.
func forUser(u ident.User, isAdmin bool) Set {
	list := defaultRole(UserRole)
	if isAdmin {
		list = append(list, defaultRole(AdminRole)...)
	}
	s, _ := Default().Expand(list, Owner{User: u})
	return s
}

// forServer returns what a server's own token may do by the default roles.
func forServer(k ident.Key) Set {
	s, _ := Default().Expand(defaultRole(ServerRole), Owner{User: k.User, Server: &k})
	return s
}

// defaultRole returns the scopes of a role that is always there.
func defaultRole(name string) []string {
	roles := DefaultRoles()
	return roles[slices.IndexFunc(roles, func(r Role) bool { return r.Name == name })].Scopes
}
