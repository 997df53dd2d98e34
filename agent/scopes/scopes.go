// Package scopes is JupyterHub's permission language as far as the hub speaks it: a
// scope with an optional filter, such as "access:servers!server=alice/", and sets of
// them. It is pure: it must never look anything up.
//
// The meaning of every scope and filter is JupyterHub's (docs/source/rbac/scopes.md of
// version 5.5).
package scopes

import (
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Scopes that the hub itself asks for.
const (
	ReadUsersName   = "read:users:name"
	ReadUsersGroups = "read:users:groups"
	ReadUsers       = "read:users"
	ListUsers       = "list:users"
	UsersActivity   = "users:activity"
	ReadServers     = "read:servers"
	Servers         = "servers"
	DeleteServers   = "delete:servers"
	AccessServers   = "access:servers"
	AdminUI         = "admin-ui"
)

// Set is a list of expanded scopes: every subscope stands in it by itself.
type Set []string

// self is what "self" gives a user on what is their own.
var self = []string{
	ReadUsers, ReadUsersName, ReadUsersGroups, "read:users:activity", UsersActivity,
	Servers, "start:servers", DeleteServers, ReadServers, "tokens", "read:tokens", AccessServers,
}

// admin is what the role "admin" adds, without a filter. Scopes of resources that the
// hub does not have yet are left out.
var admin = []string{
	AdminUI, ListUsers, ReadUsers, ReadUsersName, ReadUsersGroups, "read:users:activity", UsersActivity,
	Servers, "start:servers", DeleteServers, ReadServers, "tokens", "read:tokens", AccessServers, "read:hub", "read:metrics",
}

// ForUser gives what a member may do through a session of the browser.
func ForUser(u ident.User, isAdmin bool) Set {
	var s Set
	for _, scope := range self {
		s = append(s, scope+"!user="+u.String())
	}
	if isAdmin {
		s = append(s, admin...)
	}
	return s
}

// ForServer gives what a server's own token may do: JupyterHub's role "server".
func ForServer(k ident.Key) Set {
	return Set{
		UsersActivity + "!user=" + k.User.String(),
		"read:users:activity!user=" + k.User.String(),
		AccessServers + "!server=" + ServerFilter(k),
	}
}

// Identify gives what every OAuth token of u may do: say whose it is.
func Identify(u ident.User) Set {
	return Set{ReadUsersName + "!user=" + u.String(), ReadUsersGroups + "!user=" + u.String()}
}

// ServerFilter gives a server as filters name it: "alice/" or "alice/name".
func ServerFilter(k ident.Key) string { return k.User.String() + "/" + k.Server.String() }

// Narrow gives the scopes of s that owner covers, so that a token never exceeds the
// one it belongs to.
func (s Set) Narrow(owner Set) Set {
	var kept Set
	for _, scope := range s {
		if owner.covers(scope) {
			kept = append(kept, scope)
		}
	}
	return kept
}

// covers tells whether s holds the scope itself, or the same scope with a wider
// filter.
func (s Set) covers(scope string) bool {
	if slices.Contains(s, scope) {
		return true
	}
	name, filter, filtered := strings.Cut(scope, "!")
	if !filtered {
		return false
	}
	if slices.Contains(s, name) {
		return true
	}
	server, ok := strings.CutPrefix(filter, "server=")
	user, _, okUser := strings.Cut(server, "/")
	return ok && okUser && slices.Contains(s, name+"!user="+user)
}

// AllowsUser tells whether s grants the scope on a user.
func (s Set) AllowsUser(scope string, u ident.User) bool {
	return s.covers(scope + "!user=" + u.String())
}

// AllowsServer tells whether s grants the scope on a server.
func (s Set) AllowsServer(scope string, k ident.Key) bool {
	return s.covers(scope + "!server=" + ServerFilter(k))
}

// Has tells whether s grants the scope on anything at all, whatever the filter.
func (s Set) Has(scope string) bool {
	return slices.ContainsFunc(s, func(have string) bool {
		name, _, _ := strings.Cut(have, "!")
		return name == scope
	})
}

// Sorted gives a copy in order and without repetitions, as JupyterHub answers it.
func (s Set) Sorted() []string {
	sorted := slices.Sorted(slices.Values(s))
	return slices.Compact(sorted)
}
