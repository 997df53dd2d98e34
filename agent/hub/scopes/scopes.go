// Package scopes is JupyterHub's permission language: the table of scopes with their subscopes,
// scopes with filters such as "access:servers!server=alice/", roles, and sets of expanded scopes,
// which decide whether an action on a user, server, group or service is allowed.
//
// It is pure: it must never look anything up. Callers pass the groups of a user as a function or
// an argument. It must never grant what JupyterHub would not: a scope that is unknown or cannot be
// resolved grants nothing.
//
// The meaning of every scope and filter is JupyterHub's (jupyterhub/scopes.py, roles.py
// and docs/source/rbac of version 5.5, with start:servers of version 6).
package scopes

// The names of all scopes, as tokens, roles and answers contain them.
const (
	NoScope           = "(no_scope)"
	Self              = "self"
	Inherit           = "inherit"
	AdminUI           = "admin-ui"
	AdminUsers        = "admin:users"
	AdminAuthState    = "admin:auth_state"
	Users             = "users"
	DeleteUsers       = "delete:users"
	ListUsers         = "list:users"
	ReadUsers         = "read:users"
	ReadUsersName     = "read:users:name"
	ReadUsersGroups   = "read:users:groups"
	ReadUsersActivity = "read:users:activity"
	UsersActivity     = "users:activity"
	ReadRoles         = "read:roles"
	ReadRolesUsers    = "read:roles:users"
	ReadRolesServices = "read:roles:services"
	ReadRolesGroups   = "read:roles:groups"
	AdminServers      = "admin:servers"
	AdminServerState  = "admin:server_state"
	Servers           = "servers"
	ReadServers       = "read:servers"
	StartServers      = "start:servers"
	DeleteServers     = "delete:servers"
	AccessServers     = "access:servers"
	Tokens            = "tokens"
	ReadTokens        = "read:tokens"
	AdminGroups       = "admin:groups"
	Groups            = "groups"
	ListGroups        = "list:groups"
	ReadGroups        = "read:groups"
	ReadGroupsName    = "read:groups:name"
	DeleteGroups      = "delete:groups"
	AdminServices     = "admin:services"
	ListServices      = "list:services"
	ReadServices      = "read:services"
	ReadServicesName  = "read:services:name"
	AccessServices    = "access:services"
	Shares            = "shares"
	ReadShares        = "read:shares"
	UsersShares       = "users:shares"
	ReadUsersShares   = "read:users:shares"
	GroupsShares      = "groups:shares"
	ReadGroupsShares  = "read:groups:shares"
	ReadHub           = "read:hub"
	ReadMetrics       = "read:metrics"
	Proxy             = "proxy"
	Shutdown          = "shutdown"
)

const (
	customPrefix   = "custom:"
	readUserPrefix = "read:user" // what JupyterHub drops under a filter by server
	formerInherit  = "all"       // what JupyterHub's drafts called "inherit"
)
