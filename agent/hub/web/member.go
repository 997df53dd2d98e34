package web

import (
	"context"
	"net/http"
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// member is a person who is signed in, with what they may do at this moment. Every
// question of "may they" is answered here, by scopes; the zero value is nobody and may
// nothing.
type member struct {
	login.Member
	scopes   scopes.Set
	groupsOf scopes.Membership // of anybody, asked only where a filter by group stands
}

// member returns who sent r: once a request, since it asks the database.
func (s *Web) member(r *http.Request) (member, error) {
	l, err := s.cfg.Login.Member(r)
	if err != nil {
		return member{}, err
	}
	return s.withScopes(r.Context(), l)
}

// withScopes adds what a person may do: by their roles, by those of the groups that the
// database and the provider know, and by what was shared with them.
func (s *Web) withScopes(ctx context.Context, l login.Member) (member, error) {
	groups, err := s.cfg.Authority.Groups(ctx, l.User)
	if err != nil {
		return member{}, err
	}
	for _, g := range l.Groups {
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	l.Groups = groups
	set, err := s.cfg.Authority.User(ctx, l.User, l.Admin, groups)
	return member{Member: l, scopes: set, groupsOf: s.cfg.Authority.Membership(ctx)}, err
}

func (m member) groupsFor(scope string, u ident.User) []string {
	if m.groupsOf == nil || len(m.scopes.Filters(scope).Groups) == 0 {
		return nil
	}
	return m.groupsOf(u)
}

// mayServer reports whether any of the scopes holds on a server.
func (m member) mayServer(k ident.Key, anyOf ...string) bool {
	return slices.ContainsFunc(anyOf, func(scope string) bool {
		return m.scopes.AllowsServer(scope, k, m.groupsFor(scope, k.User))
	})
}

// mayUser reports whether a scope holds on a user.
func (m member) mayUser(u ident.User, scope string) bool {
	return m.scopes.AllowsUser(scope, u, m.groupsFor(scope, u))
}

// mayGroup reports whether a scope holds on a group.
func (m member) mayGroup(name, scope string) bool { return m.scopes.AllowsGroup(scope, name) }

// Administers reports whether the person sees the administration pages.
func (m member) Administers() bool { return m.scopes.Has(scopes.AdminUI) }

// HasTokens reports whether the person has a page of tokens.
func (m member) HasTokens() bool { return !m.User.IsZero() && m.mayUser(m.User, scopes.ReadTokens) }
