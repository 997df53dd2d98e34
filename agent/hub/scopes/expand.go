package scopes

import (
	"fmt"
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Owner is whom a list of scopes belongs to.
type Owner struct {
	// User is who the scopes are for; "self" and "!user" are this user's. Zero for a
	// service's own.
	User ident.User
	// Service is the service itself, or the one whose OAuth client a user's token was
	// made for; "!service" is that one.
	Service string
	// Server is the server whose token it is, or whose OAuth client a user's token was
	// made for; "!server" is that one.
	Server *ident.Key
}

// Membership returns the groups that a user is in. It is asked only where a filter by
// group meets one by user or server, once for each user. Nil means that nobody is in
// any group.
type Membership func(u ident.User) []string

// Expand resolves a list of scopes to all that it grants: every subscope stands in the
// set by itself, and "self" and bare filters name their owner. What grants nothing,
// because there is no such scope or nothing to resolve it to, is left out and told as
// errors for people. "inherit" is left to Effective.
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

// size guesses how many scopes a list expands to, so that the set is allocated once.
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

// resolve names whom a bare filter means, if there is such a one.
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

// Effective returns what a token may do now: what its scopes expand to, as far as its
// owner may still do that. "inherit" is all that the owner may do.
func (t *Table) Effective(token []string, o Owner, ownerSet Set, m Membership) Set {
	if slices.Contains(token, Inherit) {
		return ownerSet
	}
	s, _ := t.Expand(token, o)
	return s.Intersect(ownerSet, m)
}

// Excess returns the expanded scopes that a list asks for and the owner has not, in
// order; none means that a token may be made with this list. "inherit" never exceeds.
func (t *Table) Excess(list []string, o Owner, ownerSet Set, m Membership) []string {
	s, _ := t.Expand(list, o)
	held := s.Intersect(ownerSet, m).Sorted()
	return slices.DeleteFunc(s.Sorted(), func(scope string) bool {
		_, found := slices.BinarySearch(held, scope)
		return found
	})
}
