package scopes

import "github.com/gifford-lab/gifford-hub/agent/ident"

// Identify returns the scopes that every token of u has: to read its owner's name and groups
// (jupyterhub/scopes.py: identify_scopes).
func Identify(u ident.User) []string {
	return []string{ReadUsersName + "!user=" + u.String(), ReadUsersGroups + "!user=" + u.String()}
}

// IdentifyService is Identify for a service's own token.
func IdentifyService(name string) []string { return []string{ReadServicesName + "!service=" + name} }

// AccessServer returns the scope that opens one server (jupyterhub/scopes.py:
// access_scopes).
func AccessServer(k ident.Key) string { return Scope{AccessServers, ByServer(k)}.String() }

// AccessService returns the scope that opens one service.
func AccessService(name string) string { return AccessServices + "!service=" + name }
