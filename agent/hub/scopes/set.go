package scopes

import (
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Set is a set of expanded scopes: it has an entry for every subscope, with what it covers. The
// zero value grants nothing. A Set never changes and is safe for concurrent use.
type Set struct{ scopes map[string]cover }

// cover is what one scope of a set applies to: everything, or what the filters name. The filters
// are sorted, without repetitions, and none of them is bare.
type cover struct {
	all     bool
	filters []Filter
}

func (c cover) has(f Filter) bool {
	if len(c.filters) == 1 { // by far the most frequent: one user
		return c.filters[0] == f
	}
	_, found := slices.BinarySearchFunc(c.filters, f, compare)
	return found
}

func (c cover) hasGroup(groups []string) bool {
	if !c.hasKind(KindGroup) {
		return false
	}
	return slices.ContainsFunc(groups, func(g string) bool { return c.has(Filter{kind: KindGroup, name: g}) })
}

func (c cover) hasKind(k Kind) bool {
	return slices.ContainsFunc(c.filters, func(f Filter) bool { return f.kind == k })
}

// AllowsUser reports whether s grants the scope on a user who is in the given groups.
func (s Set) AllowsUser(scope string, u ident.User, groupsOfUser []string) bool {
	c := s.scopes[scope]
	return c.all || c.has(ByUser(u)) || c.hasGroup(groupsOfUser)
}

// AllowsServer reports whether s grants the scope on a server of a user who is in the
// given groups.
func (s Set) AllowsServer(scope string, k ident.Key, groupsOfUser []string) bool {
	c := s.scopes[scope]
	return c.all || c.has(ByServer(k)) || c.has(ByUser(k.User)) || c.hasGroup(groupsOfUser)
}

// AllowsGroup reports whether s grants the scope on a group itself.
func (s Set) AllowsGroup(scope, group string) bool {
	c := s.scopes[scope]
	return c.all || c.has(Filter{kind: KindGroup, name: group})
}

// AllowsService reports whether s grants the scope on a service.
func (s Set) AllowsService(scope, name string) bool {
	c := s.scopes[scope]
	return c.all || c.has(Filter{kind: KindService, name: name})
}

// Everywhere reports whether s grants the scope on everything.
func (s Set) Everywhere(scope string) bool { return s.scopes[scope].all }

// Has reports whether s grants the scope on anything at all, whatever the filter.
func (s Set) Has(scope string) bool {
	_, ok := s.scopes[scope]
	return ok
}

// Reach is what one scope of a set applies to. When All is set, the lists are empty.
type Reach struct {
	All      bool
	Users    []ident.User // and their servers
	Groups   []string     // and their members, and the members' servers
	Servers  []ident.Key
	Services []string
}

// Filters returns what s grants the scope on, for answers that are lists.
func (s Set) Filters(scope string) Reach {
	c := s.scopes[scope]
	r := Reach{All: c.all}
	for _, f := range c.filters {
		switch f.kind {
		case KindUser:
			r.Users = append(r.Users, f.key.User)
		case KindGroup:
			r.Groups = append(r.Groups, f.name)
		case KindServer:
			r.Servers = append(r.Servers, f.key)
		case KindService:
			r.Services = append(r.Services, f.name)
		}
	}
	return r
}

// Sorted returns the scopes as JupyterHub lists them: in order, without repetitions, and
// with no filtered one whose unfiltered one is there.
func (s Set) Sorted() []string {
	list := make([]string, 0, len(s.scopes))
	for name, c := range s.scopes {
		if c.all {
			list = append(list, name)
		}
		for _, f := range c.filters {
			list = append(list, Scope{name, f}.String())
		}
	}
	slices.Sort(list)
	return list
}
