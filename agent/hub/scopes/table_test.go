package scopes

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCustomScopes(t *testing.T) {
	one := func(name string) []Custom { return []Custom{{name, "text", nil}} }
	tests := map[string]struct {
		custom []Custom
		wrong  string
	}{
		"none":            {nil, ""},
		"shortest":        {one("custom:abc"), ""},
		"all characters":  {one("custom:0a-_:*"), ""},
		"underscore last": {one("custom:ab_"), ""},
		"subscope after": {[]Custom{{"custom:one", "text", []string{"custom:two"}}, {"custom:two", "text", nil}},
			""},
		"too short":           {one("custom:ab"), "at least three"},
		"no name":             {one("custom:"), "at least three"},
		"no prefix":           {one("grades"), "at least three"},
		"capital":             {one("custom:Grades"), "at least three"},
		"sign first":          {one("custom:*grades"), "at least three"},
		"colon last":          {one("custom:grades:"), "at least three"},
		"hyphen last":         {one("custom:grades-"), "at least three"},
		"dot":                 {one("custom:gra.des"), "at least three"},
		"newline last":        {one("custom:grades\n"), "at least three"},
		"filter":              {one("custom:grades!user"), "at least three"},
		"one of the hub's":    {one("users"), "it is there twice"},
		"twice":               {append(one("custom:abc"), one("custom:abc")...), "it is there twice"},
		"no description":      {[]Custom{{"custom:abc", "", nil}}, "needs a description"},
		"subscope of the hub": {[]Custom{{"custom:abc", "text", []string{"users"}}}, "make a role"},
		"unknown subscope": {[]Custom{{"custom:abc", "text", []string{"custom:xyz"}}},
			`"custom:xyz" is not defined`},
		"contains itself": {[]Custom{{"custom:abc", "text", []string{"custom:abc"}}}, "contains itself"},
		"contains its subject": {[]Custom{{"custom:abc", "text", []string{"custom:xyz"}},
			{"custom:xyz", "text", []string{"custom:abc"}}}, "contains itself"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tab, err := NewTable(tt.custom)
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("NewTable: %v; want %q", err, tt.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, want := len(tab.All()), len(definitions)+len(tt.custom); got != want {
				t.Errorf("%d scopes, want %d", got, want)
			}
			for _, c := range tt.custom {
				if d, ok := tab.Lookup(c.Name); !ok || d.Description != c.Description {
					t.Errorf("Lookup(%q) = %v, %v", c.Name, d, ok)
				}
			}
		})
	}
	if _, ok := Default().Lookup("custom:abc"); ok {
		t.Error("a custom scope reached the table without custom scopes")
	}
}

func TestCustomExpands(t *testing.T) {
	got := expand(t, Owner{}, "custom:grades:*!group=cgs", "custom:grades:write!server=alice/").Sorted()
	want := []string{"custom:grades:*!group=cgs", "custom:grades:read!group=cgs", "custom:grades:read!server=alice/",
		"custom:grades:write!group=cgs", "custom:grades:write!server=alice/"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// filterOf is one filter of each kind, and what it covers of the tests' things.
var filterOf = map[string]struct {
	kind   Kind
	covers []string
}{
	"":            {KindNone, nil}, // all of them
	"!user=alice": {KindUser, []string{"server=alice/", "server=alice/gpu", "user=alice"}},
	"!group=cgs": {KindGroup, []string{"group=cgs", "server=alice/", "server=alice/gpu", "server=bob/",
		"server=bob/gpu", "user=alice", "user=bob"}},
	"!group=none":       {KindGroup, []string{"group=none"}},
	"!server=alice/":    {KindServer, []string{"server=alice/"}},
	"!server=alice/gpu": {KindServer, []string{"server=alice/gpu"}},
	"!service=culler":   {KindService, []string{"service=culler"}},
	"!user":             {KindUser, []string{"server=carol/", "server=carol/gpu", "user=carol"}},
	"!server":           {KindServer, []string{"server=bob/gpu"}},
	"!service":          {KindService, []string{"service=nbgrader"}},
}

// TestEveryScopeUnderEveryFilter goes through the whole table: what a filter covers is
// granted for the scope and its subscopes, and nothing else is.
func TestEveryScopeUnderEveryFilter(t *testing.T) {
	tab, all := table(t), things(t)
	server := key(t, "bob", "gpu")
	o := Owner{User: user(t, "carol"), Service: "nbgrader", Server: &server}
	for _, d := range tab.All() {
		for filter, want := range filterOf {
			t.Run(d.Name+filter, func(t *testing.T) {
				s, unusable := tab.Expand([]string{d.Name + filter}, o)
				admitted := want.kind == KindNone || d.Filters.Has(want.kind)
				if _, err := tab.Parse(d.Name + filter); (err == nil) != admitted {
					t.Errorf("Parse: %v", err)
				}
				if tab.byName[d.Name].accepts.Has(want.kind) != (len(unusable) == 0) && want.kind != KindNone {
					t.Errorf("Expand: %q", unusable)
				}
				if d.Name == Self || d.Name == Inherit || len(unusable) > 0 {
					return // their own tests
				}
				covers := want.covers
				if want.kind == KindNone {
					covers = granted(expand(t, o, d.Name), d.Name, all)
					if len(covers) != len(all) {
						t.Errorf("without a filter it only covers %q", covers)
					}
				}
				for _, other := range tab.All() {
					var expected []string
					if slices.Contains(tab.byName[d.Name].all, other.Name) &&
						!(want.kind == KindServer && strings.HasPrefix(other.Name, "read:user")) {
						expected = covers
					}
					if diff := cmp.Diff(expected, granted(s, other.Name, all)); diff != "" {
						t.Errorf("%s:\n%s", other.Name, diff)
					}
					if s.Has(other.Name) != (expected != nil) ||
						s.Everywhere(other.Name) != (expected != nil && filter == "") {
						t.Errorf("%s: Has %v, Everywhere %v", other.Name, s.Has(other.Name), s.Everywhere(other.Name))
					}
				}
			})
		}
	}
}

// TestUnfiltered names the scopes that hold for the hub as a whole.
func TestUnfiltered(t *testing.T) {
	var got []string
	for _, d := range Default().All() {
		if d.Filters == none {
			got = append(got, d.Name)
		}
	}
	want := []string{NoScope, Self, Inherit, AdminUI, ReadHub, ReadMetrics, Proxy, Shutdown}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
