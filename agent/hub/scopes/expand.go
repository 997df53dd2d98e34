package scopes

import (
	"fmt"
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Owner is the user, service or server that a list of scopes belongs to.
type Owner struct {
	// User has the scopes; "self" and "!user" refer to this user. Zero for a service's own
	// scopes.
	User ident.User
	// Service is the service itself, or the one whose OAuth client a user's token was
	// made for; "!service" is that one.
	Service string
	// Server is the server whose token it is, or whose OAuth client a user's token was
	// made for; "!server" is that one.
	Server *ident.Key
}

// Membership returns the groups that a user is in. It is called only where a filter by group is
// compared with one by user or server, once for each user. Nil means that nobody is in any group.
type Membership func(u ident.User) []string

// Expand returns the set that a list of scopes grants: it contains every subscope, and "self" and
// bare filters are replaced by their owner. It skips scopes that are unknown or cannot be resolved,
// and returns a message for people for each of them. "inherit" is left to Effective.
func (t *Table) Expand(list []string, o Owner) (Set, []string) {
	b := make(builder, t.size(list))
	var unusable []string
	for _, text := range list {
		if err := t.expand(b, text, o); err != nil {
			unusable = append(unusable, err.Error())
		}
	}
	return b.set(), unusable
}

// size estimates how many scopes a list expands to, so that the set is allocated once.
func (t *Table) size(list []string) int {
	n := 0
	for _, text := range list {
		if l := t.byName[text]; l != nil {
			n += len(l.all)
		} else {
			n++
		}
		if text == Self {
			n += len(t.self)
		}
	}
	return min(n, len(t.defs))
}

// expand adds one scope of a list.
func (t *Table) expand(b builder, text string, o Owner) error {
	scope, l, err := t.parse(text)
	if err != nil {
		return err
	}
	names := l.all
	switch {
	case scope.Name == Inherit:
		return nil
	case scope.Name == Self && o.User.IsZero():
		return fmt.Errorf("cannot use scope %q: it is only for users", text)
	case scope.Name == Self:
		names, scope.Filter = t.self, ByUser(o.User)
	case scope.Filter.kind == KindServer:
		names = l.server
	}
	f, ok := scope.Filter.resolve(o)
	if !ok {
		return fmt.Errorf("cannot use scope %.80q: there is no %s that it could mean here", text, scope.Filter.kind)
	}
	b.add(names, f)
	return nil
}

// resolve replaces a bare filter by the owner that it refers to; false when there is none.
func (f Filter) resolve(o Owner) (Filter, bool) {
	if !f.bare {
		return f, true
	}
	switch {
	case f.kind == KindUser && !o.User.IsZero():
		return ByUser(o.User), true
	case f.kind == KindServer && o.Server != nil:
		return ByServer(*o.Server), true
	case f.kind == KindService:
		f, err := ByService(o.Service)
		return f, err == nil
	}
	return Filter{}, false
}

// Effective returns what a token may do now: its expanded scopes, limited to what its owner may
// do. "inherit" is all that the owner may do.
func (t *Table) Effective(token []string, o Owner, ownerSet Set, m Membership) Set {
	if slices.Contains(token, Inherit) {
		return ownerSet
	}
	s, _ := t.Expand(token, o)
	return s.Intersect(ownerSet, m)
}

// Excess returns, sorted, the expanded scopes of a list that the owner lacks. When there are none,
// the owner may make a token with the list. "inherit" never exceeds.
func (t *Table) Excess(list []string, o Owner, ownerSet Set, m Membership) []string {
	s, _ := t.Expand(list, o)
	held := s.Intersect(ownerSet, m).Sorted()
	return slices.DeleteFunc(s.Sorted(), func(scope string) bool {
		_, found := slices.BinarySearch(held, scope)
		return found
	})
}
