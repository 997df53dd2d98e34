package access

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// subject may what the list says; bob is in the group "course".
func subject(t *testing.T, u ident.User, list ...string) Subject {
	t.Helper()
	set, unknown := scopes.Default().Expand(list, scopes.Owner{User: u})
	if len(unknown) > 0 {
		t.Fatalf("unknown scopes %v", unknown)
	}
	return Subject{User: u, scopes: set, groupsOf: func(u ident.User) []string {
		if u.String() == "bob" {
			return []string{"course"}
		}
		return nil
	}}
}

// TestMay checks each question that can be asked of a subject, with the answer yes and no.
func TestMay(t *testing.T) {
	alice, bob, carol := user(t, "alice"), user(t, "bob"), user(t, "carol")
	s := subject(t, alice, "read:users!user=alice", "list:users!group=course", "access:servers!group=course",
		"delete:servers!user=carol", "read:groups!group=course", "read:services!service=sync", "read:hub",
		"read:tokens!user=alice")
	server := func(u ident.User) ident.Key { return ident.Key{User: u} }
	for name, tt := range map[string]struct{ got, want bool }{
		"a user by name":                  {s.MayUser(alice, "read:users"), true},
		"another user":                    {s.MayUser(bob, "read:users"), false},
		"a user by group":                 {s.MayUser(bob, "list:users"), true},
		"a user of no group":              {s.MayUser(carol, "list:users"), false},
		"a server by its owner's group":   {s.MayServer(server(bob), "access:servers"), true},
		"a server of no group":            {s.MayServer(server(carol), "access:servers"), false},
		"any of two scopes, the second":   {s.MayServer(server(carol), "access:servers", "delete:servers"), true},
		"none of two scopes":              {s.MayServer(server(alice), "access:servers", "delete:servers"), false},
		"no scope at all":                 {s.MayServer(server(bob)), false},
		"a group":                         {s.MayGroup("course", "read:groups"), true},
		"another group":                   {s.MayGroup("staff", "read:groups"), false},
		"a service":                       {s.MayService("sync", "read:services"), true},
		"another service":                 {s.MayService("board", "read:services"), false},
		"has a filtered scope":            {s.Has("list:users"), true},
		"has not":                         {s.Has("shutdown"), false},
		"everywhere":                      {s.Everywhere("read:hub"), true},
		"everywhere, but filtered":        {s.Everywhere("list:users"), false},
		"administers":                     {subject(t, alice, "admin-ui").Administers(), true},
		"does not administer":             {s.Administers(), false},
		"has tokens":                      {s.HasTokens(), true},
		"sees others' tokens alone":       {subject(t, alice, "read:tokens!user=bob").HasTokens(), false},
		"a service that sees all tokens":  {subject(t, ident.User{}, "read:tokens").HasTokens(), false},
		"nobody":                          {Subject{}.MayUser(alice, "read:users") || Subject{}.HasTokens(), false},
		"a group that nobody can look up": {Subject{scopes: s.scopes}.MayUser(bob, "list:users"), false},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %v", name, tt.got)
		}
	}
	if diff := cmp.Diff([]string{"course"}, s.Reach("list:users").Groups); diff != "" {
		t.Errorf("reach (-want +got):\n%s", diff)
	}
}

// TestGroupsAreAskedForLate checks that nobody's groups are looked up where no scope of the
// subject is granted by group.
func TestGroupsAreAskedForLate(t *testing.T) {
	asked := 0
	s := subject(t, user(t, "alice"), "read:users", "list:users!group=course")
	s.groupsOf = func(ident.User) []string { asked++; return nil }
	_ = s.MayUser(user(t, "bob"), "read:users")
	if asked != 0 {
		t.Error("groups were looked up for a scope on everybody")
	}
	_ = s.MayUser(user(t, "bob"), "list:users")
	if asked != 1 {
		t.Errorf("looked up %d times", asked)
	}
}

// TestExcess checks what a subject may not hand on.
func TestExcess(t *testing.T) {
	s := subject(t, user(t, "alice"), "read:users!group=course", "read:servers!user=alice")
	got := s.Excess(scopes.Default(), []string{"read:users!user=bob", "read:servers!user", "read:users:name!user=carol",
		"shutdown"})
	if diff := cmp.Diff([]string{"read:users:name!user=carol", "shutdown"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
