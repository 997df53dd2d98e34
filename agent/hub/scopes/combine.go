package scopes

import (
	"maps"
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// builder is an unfinished Set, whose filters are in any order and may be repeated.
type builder map[string]cover

// add grants scopes on what a filter names. All of them share the slice of the one filter, whose
// capacity is 1: appending to one of them copies it.
func (b builder) add(names []string, f Filter) {
	one := cover{all: f.kind == KindNone}
	if !one.all {
		one.filters = []Filter{f}
	}
	for _, name := range names {
		if had := b[name]; !had.all {
			b[name] = had.plus(one)
		}
	}
}

// plus returns the union of two covers, with the filters unsorted.
func (c cover) plus(d cover) cover {
	switch {
	case c.all || d.all:
		return cover{all: true}
	case len(c.filters) == 0:
		return d
	}
	return cover{filters: append(c.filters, d.filters...)}
}

// set sorts the filters and returns the Set. The builder must not be used afterwards.
func (b builder) set() Set {
	for name, c := range b {
		if len(c.filters) > 1 { // never a shared slice: those hold one
			slices.SortFunc(c.filters, compare)
			b[name] = cover{filters: slices.Compact(c.filters)}
		}
	}
	return Set{b}
}

// Union returns the set of what s or any of the others grants.
func (s Set) Union(others ...Set) Set {
	b := builder(maps.Clone(s.scopes))
	if b == nil {
		b = builder{}
	}
	for _, other := range others {
		for name, c := range other.scopes {
			b[name] = b[name].join(c)
		}
	}
	return Set{b}
}

// join is plus for covers whose filters are sorted and belong to other sets.
func (c cover) join(d cover) cover {
	switch {
	case c.all || d.all:
		return cover{all: true}
	case slices.Equal(c.filters, d.filters), len(d.filters) == 0:
		return c
	case len(c.filters) == 0:
		return d
	}
	return inOrder(slices.Concat(c.filters, d.filters))
}

func inOrder(filters []Filter) cover {
	slices.SortFunc(filters, compare)
	return cover{filters: slices.Compact(filters)}
}

// Intersect returns the set of what both sets grant (jupyterhub/scopes.py:
// _intersect_expanded_scopes): a filter by user covers the user's servers, and one by
// group the members and their servers. As in JupyterHub, two different groups have
// nothing in common, even where they share members.
func (s Set) Intersect(other Set, m Membership) Set {
	groups := remember(m)
	both := make(map[string]cover, min(len(s.scopes), len(other.scopes)))
	for name, c := range s.scopes {
		d, ok := other.scopes[name]
		if !ok {
			continue
		}
		if common := c.meet(d, groups); common.all || len(common.filters) > 0 {
			both[name] = common
		}
	}
	return Set{both}
}

// meet returns the intersection of two covers.
func (c cover) meet(d cover, groups Membership) cover {
	switch {
	case c.all:
		return d
	case d.all, slices.Equal(c.filters, d.filters):
		return c
	}
	var common []Filter
	for _, f := range c.filters {
		if d.covers(f, groups) {
			common = append(common, f)
		}
	}
	for _, f := range d.filters {
		if c.covers(f, groups) {
			common = append(common, f)
		}
	}
	return inOrder(common)
}

// covers reports whether c includes everything that f names.
func (c cover) covers(f Filter, groups Membership) bool {
	switch {
	case c.has(f):
		return true
	case f.kind == KindServer && c.has(ByUser(f.key.User)):
		return true
	case f.kind == KindServer, f.kind == KindUser:
		return c.hasKind(KindGroup) && c.hasGroup(groups(f.key.User))
	}
	return false
}

// remember returns m with a cache, so that each user is looked up once.
func remember(m Membership) Membership {
	if m == nil {
		return func(ident.User) []string { return nil }
	}
	var known map[ident.User][]string
	return func(u ident.User) []string {
		groups, ok := known[u]
		if !ok {
			if known == nil {
				known = map[ident.User][]string{}
			}
			groups = m(u)
			known[u] = groups
		}
		return groups
	}
}
