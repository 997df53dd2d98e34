package scopes

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func TestUnusable(t *testing.T) {
	alice := Owner{User: user(t, "alice")}
	tests := map[string]struct {
		scope string
		o     Owner
		wrong string
	}{
		"unknown":                    {"fly", alice, "no such scope"},
		"unknown with filter":        {"fly!user=alice", alice, "no such scope"},
		"unknown custom":             {"custom:fly", alice, "no such scope"},
		"former name":                {"all", alice, `called "inherit" now`},
		"no syntax":                  {"users!x", alice, "no such filter"},
		"filter on the hub":          {"shutdown!user=alice", alice, "it takes no filter"},
		"filter on self":             {"self!user=alice", alice, "it takes no filter"},
		"wrong filter":               {"users!server=alice/", alice, "only be filtered by user, group"},
		"server on a subscope":       {"read:users:name!server=alice/", alice, "only be filtered by user, group"},
		"self of a service":          {"self", Owner{Service: "culler"}, "only for users"},
		"self of nobody":             {"self", Owner{}, "only for users"},
		"user of a service":          {"users!user", Owner{Service: "culler"}, "there is no user"},
		"service of a user":          {"access:services!service", alice, "there is no service"},
		"server of a user":           {"access:servers!server", alice, "there is no server"},
		"server of a service":        {"servers!server", Owner{Service: "culler"}, "there is no server"},
		"groups are never the owner": {"groups!group", alice, "!group=NAME"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, unusable := table(t).Expand([]string{tt.scope, "read:hub"}, tt.o)
			if diff := cmp.Diff([]string{"read:hub"}, s.Sorted()); diff != "" {
				t.Error(diff)
			}
			if len(unusable) != 1 || !strings.Contains(unusable[0], tt.wrong) ||
				!strings.Contains(unusable[0], tt.scope) {
				t.Errorf("unusable %q, want %q", unusable, tt.wrong)
			}
		})
	}
}

func TestEffective(t *testing.T) {
	alice := Owner{User: user(t, "alice")}
	member, admin := forUser(alice.User, false), forUser(alice.User, true)
	groupAdmin := expand(t, alice, "admin:servers!group=cgs", "groups!group=cgs")
	tests := map[string]struct {
		token []string
		owner Set
		want  []string
	}{
		"nothing":               {nil, admin, []string{}},
		"inherit":               {[]string{"inherit"}, groupAdmin, groupAdmin.Sorted()},
		"inherit beside others": {[]string{"fly", "read:hub", "inherit"}, member, member.Sorted()},
		"inherit of nothing":    {[]string{"inherit"}, Set{}, []string{}},
		"owner without the scope": {[]string{"shutdown", "shares!user"}, member,
			[]string{"access:servers!user=alice", "read:shares!user=alice", "read:users:shares!user=alice",
				"users:shares!user=alice"}},
		"everything is cut to one": {[]string{"access:servers"}, member, []string{"access:servers!user=alice"}},
		"own server": {[]string{"access:servers!server=alice/gpu"}, member,
			[]string{"access:servers!server=alice/gpu"}},
		"another's server": {[]string{"access:servers!server=bob/"}, member, []string{}},
		"another's server, of an admin": {[]string{"access:servers!server=bob/"}, admin,
			[]string{"access:servers!server=bob/"}},
		"a server of the group": {[]string{"delete:servers!server=bob/gpu"}, groupAdmin,
			[]string{"delete:servers!server=bob/gpu"}},
		"a user of the group": {[]string{"delete:servers!user=bob"}, groupAdmin,
			[]string{"delete:servers!user=bob"}},
		"a user outside of the group": {[]string{"delete:servers!user=carol", "delete:servers!server=carol/"},
			groupAdmin, []string{}},
		"a name that begins alike": {[]string{"tokens!user=al"}, member, []string{}},
		"the group of the token narrows": {[]string{"access:servers!group=cgs"}, member,
			[]string{"access:servers!user=alice"}},
		"another group": {[]string{"groups!group=all"}, groupAdmin, []string{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := table(t).Effective(tt.token, alice, tt.owner, groupsOf)
			if diff := cmp.Diff(tt.want, got.Sorted()); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := table(t).Effective([]string{"delete:servers!user=bob"}, alice, groupAdmin, nil); got.Has(DeleteServers) {
		t.Error("without membership a group covers a user")
	}
}

func TestDescribe(t *testing.T) {
	server := key(t, "bob", "gpu")
	o := Owner{User: user(t, "alice"), Server: &server}
	list := []string{"shutdown", "users!user", "users!user=alice", "users!user=bob", "fly", "servers!group=cgs",
		"access:servers!server", "access:services!service", "access:services!service=culler", "custom:grades:read"}
	want := []string{"shutdown: ", "users!user: only you", "users!user=alice: only you", "users!user=bob: user bob",
		"servers!group=cgs: users in group cgs",
		"access:servers!server: server bob/gpu", "access:services!service: only this service",
		"access:services!service=culler: service culler", "custom:grades:read: "}
	var got []string
	for _, d := range table(t).Describe(list, o) {
		s, err := table(t).Parse(d.Scope)
		if err != nil {
			t.Fatal(err)
		}
		if def, _ := table(t).Lookup(s.Name); d.Text != def.Description || d.Text == "" {
			t.Errorf("%s is described as %q", d.Scope, d.Text)
		}
		got = append(got, d.Scope+": "+d.Filter)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzExpand checks that nothing panics, and that a set comes back from its own list.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"self", "inherit", "shares!user servers!server", "users!group=a users",
		"access:servers!server=alice/ x !", "custom:grades:*!service"} {
		f.Add(s, "alice", "culler", "gpu")
	}
	f.Fuzz(func(t *testing.T, list, name, service, server string) {
		o := Owner{Service: service}
		if k, err := ident.ParseKey(name, server); err == nil {
			o.User, o.Server = k.User, &k
		}
		s, _ := table(t).Expand(strings.Fields(list), o)
		again, unusable := table(t).Expand(s.Sorted(), Owner{})
		if diff := cmp.Diff(s.Sorted(), again.Sorted()); diff != "" || len(unusable) > 0 {
			t.Errorf("Expand(%q) did not come back from its list: %q\n%s", list, unusable, diff)
		}
	})
}

func BenchmarkExpandAdmin(b *testing.B) {
	tab, o := table(b), Owner{User: user(b, "dora")}
	list := append(defaultRole(UserRole), defaultRole(AdminRole)...)
	b.ReportAllocs()
	for b.Loop() {
		tab.Expand(list, o)
	}
}

func BenchmarkExpandUser(b *testing.B) {
	tab, o := table(b), Owner{User: user(b, "alice")}
	list := defaultRole(UserRole)
	b.ReportAllocs()
	for b.Loop() {
		tab.Expand(list, o)
	}
}

func BenchmarkEffectiveUserToken(b *testing.B) {
	tab, o := table(b), Owner{User: user(b, "alice")}
	token, owner := append(Identify(o.User), "access:servers!server=alice/"), forUser(o.User, false)
	b.ReportAllocs()
	for b.Loop() {
		tab.Effective(token, o, owner, groupsOf)
	}
}

func BenchmarkAllowsServer(b *testing.B) {
	s, k := forUser(user(b, "alice"), false), key(b, "alice", "gpu")
	b.ReportAllocs()
	for b.Loop() {
		s.AllowsServer(AccessServers, k, nil)
	}
}
