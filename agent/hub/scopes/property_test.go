package scopes

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// dice makes lists of scopes at random, the same ones for the same seed.
type dice struct {
	*rand.Rand
	names []string
}

var filters = []string{"", "", "!user=alice", "!user=bob", "!user=carol", "!group=cgs", "!group=all", "!group=none",
	"!server=alice/",
	"!server=alice/gpu", "!server=bob/", "!server=carol/gpu", "!service=culler", "!service=nbgrader", "!user",
	"!server", "!service"}

// list returns some scopes. They are taken from few names, so that two lists often have
// something in common.
func (d dice) list() []string {
	list := make([]string, d.IntN(7))
	for i := range list {
		list[i] = d.names[d.IntN(len(d.names))] + filters[d.IntN(len(filters))]
	}
	return list
}

// owner returns a user, with or without an OAuth client, or a service.
func (d dice) owner(t testing.TB) Owner {
	o := Owner{User: user(t, []string{"alice", "bob", "carol"}[d.IntN(3)])}
	switch d.IntN(4) {
	case 0:
		return Owner{Service: "culler"}
	case 1:
		o.Service = "nbgrader"
	case 2:
		k := key(t, "alice", "gpu")
		o.Server = &k
	}
	return o
}

// forAll runs a property for many seeds, each with four scopes of the table and what
// contains them.
func forAll(t *testing.T, property func(t *testing.T, d dice)) {
	tab := table(t)
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 0))
		d := dice{Rand: r, names: []string{Self}}
		for range 4 {
			name := tab.defs[r.IntN(len(tab.defs))].Name
			d.names = append(d.names, name)
			d.names = append(d.names, tab.byName[name].all[1:]...)
		}
		if property(t, d); t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

// subset reports what a grants and b does not.
func subset(t *testing.T, what string, a, b Set, all []thing) {
	t.Helper()
	for _, d := range table(t).All() {
		for _, name := range granted(a, d.Name, all) {
			if !slices.Contains(granted(b, d.Name, all), name) {
				t.Errorf("%s: %s on %s", what, d.Name, name)
			}
		}
	}
}

// without leaves out "inherit", which makes a token its owner's whole set.
func without(list []string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s == Inherit })
}

// TestEffectiveIsBoth: a token may do what both its list and its owner may. It may do
// less in one case only, when each of the two grants it by groups alone, as JupyterHub
// does not compare the members of groups.
func TestEffectiveIsBoth(t *testing.T) {
	tab, all := table(t), things(t)
	var some, less int
	forAll(t, func(t *testing.T, d dice) {
		list, roles, o := without(d.list()), d.list(), d.owner(t)
		owner, _ := tab.Expand(roles, o)
		asked, _ := tab.Expand(list, o)
		got := tab.Effective(list, o, owner, groupsOf)
		for _, def := range tab.All() {
			for _, x := range all {
				may, both := x.allows(got, def.Name), x.allows(asked, def.Name) && x.allows(owner, def.Name)
				groupsOnly := x.name != "everything" && !x.allows(ungrouped(asked), def.Name) &&
					!x.allows(ungrouped(owner), def.Name)
				switch {
				case may && !both, both && !may && !groupsOnly:
					t.Errorf("token %q, owner %q: %s on %s: %v, want %v", list, roles, def.Name, x.name, may, both)
				case may:
					some++
				case both:
					less++
				}
			}
		}
	})
	if some == 0 || less == 0 {
		t.Errorf("the lists had little in common: %d times allowed, %d times less than both", some, less)
	}
}

// ungrouped is s without its filters by group.
func ungrouped(s Set) Set {
	b := builder{}
	for name, c := range s.scopes {
		c.filters = slices.DeleteFunc(slices.Clone(c.filters), func(f Filter) bool { return f.kind == KindGroup })
		b[name] = c
	}
	return Set{b}
}

func TestEffectiveNeverExceedsTheOwner(t *testing.T) {
	tab, all := table(t), things(t)
	forAll(t, func(t *testing.T, d dice) {
		list, roles, o := d.list(), d.list(), d.owner(t)
		owner, _ := tab.Expand(roles, o)
		got := tab.Effective(list, o, owner, groupsOf)
		subset(t, "more than the owner", got, owner, all)
		// Expanding the list once more can add a filter that a group covers already, so
		// what is compared is what they allow.
		again := tab.Effective(got.Sorted(), o, owner, groupsOf)
		subset(t, "more the second time", again, got, all)
		subset(t, "less the second time", got, again, all)
		if diff := cmp.Diff(got.Sorted(), got.Intersect(owner, groupsOf).Sorted()); diff != "" {
			t.Errorf("token %q, owner %q: cut down twice:\n%s", list, roles, diff)
		}
		subset(t, "more without members", tab.Effective(list, o, owner, nil), got, all)
	})
}

func TestIntersectIsSymmetric(t *testing.T) {
	tab := table(t)
	forAll(t, func(t *testing.T, d dice) {
		o := d.owner(t)
		a, _ := tab.Expand(d.list(), o)
		b, _ := tab.Expand(d.list(), o)
		if diff := cmp.Diff(a.Intersect(b, groupsOf).Sorted(), b.Intersect(a, groupsOf).Sorted()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestExpandIsMonotone(t *testing.T) {
	tab, all := table(t), things(t)
	forAll(t, func(t *testing.T, d dice) {
		few, more, o := d.list(), d.list(), d.owner(t)
		a, _ := tab.Expand(few, o)
		b, _ := tab.Expand(more, o)
		both, _ := tab.Expand(slices.Concat(more, few), o)
		subset(t, "lost by asking for more", a, both, all)
		if diff := cmp.Diff(both.Sorted(), a.Union(b).Sorted()); diff != "" {
			t.Errorf("Expand(%q and %q) is not the union:\n%s", few, more, diff)
		}
		d.Shuffle(len(few), func(i, j int) { few[i], few[j] = few[j], few[i] })
		if again, _ := tab.Expand(few, o); !slices.Equal(a.Sorted(), again.Sorted()) {
			t.Errorf("Expand(%q) depends on the order", few)
		}
	})
}

func TestFilterNeverWidens(t *testing.T) {
	tab, all := table(t), things(t)
	for _, def := range tab.All() {
		for _, filter := range filters {
			if def.Name == Self {
				continue // it takes none
			}
			o := Owner{User: user(t, "alice"), Service: "culler"}
			wide, _ := tab.Expand([]string{def.Name}, o)
			narrow, _ := tab.Expand([]string{def.Name + filter}, o)
			subset(t, def.Name+filter, narrow, wide, all)
			if def.Name != Inherit && strings.Contains(filter, "=") && narrow.Everywhere(def.Name) {
				t.Errorf("%s%s holds everywhere", def.Name, filter)
			}
		}
	}
}

// TestFiltersAreWhatIsAllowed: the lists for handlers and the questions about one thing
// say the same.
func TestFiltersAreWhatIsAllowed(t *testing.T) {
	tab, all := table(t), things(t)
	forAll(t, func(t *testing.T, d dice) {
		s, _ := tab.Expand(d.list(), d.owner(t))
		for _, def := range tab.All() {
			r := s.Filters(def.Name)
			var want []string
			for _, x := range all {
				if r.All || reaches(r, x.name) {
					want = append(want, x.name)
				}
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, granted(s, def.Name, all)); diff != "" {
				t.Errorf("%s of %q:\n%s", def.Name, s.Sorted(), diff)
			}
		}
	})
}

// reaches reports whether a list of what is covered covers the thing of that name.
func reaches(r Reach, name string) bool {
	kind, value, _ := strings.Cut(name, "=")
	owner, _, _ := strings.Cut(value, "/")
	names := map[string][]string{"group": r.Groups, "service": r.Services}
	for _, u := range r.Users {
		names["user"] = append(names["user"], u.String())
	}
	for _, k := range r.Servers {
		names["server"] = append(names["server"], ServerFilter(k))
	}
	if slices.Contains(names[kind], value) || kind == "server" && slices.Contains(names["user"], owner) {
		return true
	}
	return (kind == "server" || kind == "user") && slices.ContainsFunc(members[owner],
		func(g string) bool { return slices.Contains(r.Groups, g) })
}
