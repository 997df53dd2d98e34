package access

import (
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Subject is who asks and what they may do now: a user or a service, by a token, a server's
// own token or a browser's session, or the host's operator. Its exported fields only name it;
// the rights are not exported, so that no other package can make a Subject that has any. The
// zero Subject is nobody and may do nothing. A Subject is never changed.
type Subject struct {
	User      ident.User // zero for a service and for the operator
	Service   string     // "" for a user and for the operator
	Groups    []string   // of the user
	SessionID string     // of the browser's session, or the one that the token ends with; "" for none
	TokenID   string     // JupyterHub's "a12"; "" for a browser's session or a server's own token

	operator bool
	admin    bool
	scopes   scopes.Set
	groupsOf scopes.Membership // of any user, asked only where a filter by group stands
}

// operatorName is what the journal calls the host's operator.
const operatorName = "operator"

// Name returns the subject's name as people and the journal know it, "" for nobody.
func (s Subject) Name() string {
	switch {
	case s.operator:
		return operatorName
	case s.Service != "":
		return s.Service
	}
	return s.User.String()
}

// Kind returns JupyterHub's word for what the subject is, "user" or "service", or "operator".
func (s Subject) Kind() string {
	switch {
	case s.operator:
		return operatorName
	case s.Service != "":
		return "service"
	}
	return "user"
}

// Admin reports whether the subject is an administrator. It grants nothing by itself: a token
// of an administrator may have few scopes. It is asked where JupyterHub asks for the mark.
func (s Subject) Admin() bool { return s.admin }

// Scopes returns all that the subject may do.
func (s Subject) Scopes() scopes.Set { return s.scopes }

// Owner returns what "!user" and "!service" mean in a scope that the subject names.
func (s Subject) Owner() scopes.Owner { return scopes.Owner{User: s.User, Service: s.Service} }

// Has reports whether the subject has a scope on anything at all, whatever the filter.
func (s Subject) Has(scope string) bool { return s.scopes.Has(scope) }

// Everywhere reports whether the subject has a scope on everything.
func (s Subject) Everywhere(scope string) bool { return s.scopes.Everywhere(scope) }

// Reach returns what the subject has a scope on, for answers that are lists.
func (s Subject) Reach(scope string) scopes.Reach { return s.scopes.Filters(scope) }

// MayUser reports whether the subject has a scope on a user.
func (s Subject) MayUser(u ident.User, scope string) bool {
	return s.scopes.AllowsUser(scope, u, s.groupsFor(scope, u))
}

// MayServer reports whether the subject has any of the scopes on a server.
func (s Subject) MayServer(k ident.Key, anyOf ...string) bool {
	return slices.ContainsFunc(anyOf, func(scope string) bool {
		return s.scopes.AllowsServer(scope, k, s.groupsFor(scope, k.User))
	})
}

// MayGroup reports whether the subject has a scope on a group.
func (s Subject) MayGroup(name, scope string) bool { return s.scopes.AllowsGroup(scope, name) }

// MayService reports whether the subject has a scope on a service.
func (s Subject) MayService(name, scope string) bool { return s.scopes.AllowsService(scope, name) }

// Administers reports whether the subject sees the administration pages.
func (s Subject) Administers() bool { return s.Has(scopes.AdminUI) }

// HasTokens reports whether the subject is a user who sees their own tokens.
func (s Subject) HasTokens() bool { return !s.User.IsZero() && s.MayUser(s.User, scopes.ReadTokens) }

// Excess returns the scopes of a list that the subject may not hand on, because it lacks them.
// t is the table in which they stand.
func (s Subject) Excess(t *scopes.Table, list []string) []string {
	return t.Excess(list, s.Owner(), s.scopes, s.groupsOf)
}

// groupsFor returns a user's groups if the scope is granted by group at all.
func (s Subject) groupsFor(scope string, u ident.User) []string {
	if s.groupsOf == nil || len(s.scopes.Filters(scope).Groups) == 0 {
		return nil
	}
	return s.groupsOf(u)
}
