package scopes

// Filters that scopes of one resource admit. A filter by group covers the group's
// members and their servers, so whatever can be filtered by user can be by group.
const (
	none      = Kinds(0)
	ofUser    = 1<<KindUser | 1<<KindGroup
	ofServer  = ofUser | 1<<KindServer
	ofGroup   = Kinds(1 << KindGroup)
	ofService = Kinds(1 << KindService)
)

// self is what "self" stands for, each scope with the filter of the one user
// (jupyterhub/scopes.py: _expand_self_scope). Sharing one's own server ("shares") is
// not in it: JupyterHub leaves that to the administrator to grant.
var self = []string{ReadUsers, UsersShares, ReadShares, UsersActivity, Servers, Tokens, AccessServers}

// definitions is the table of scopes: name, description, filters, direct subscopes
// (jupyterhub/scopes.py: scope_definitions). Descriptions are shown to people who
// choose a token's permissions or are asked by another server for theirs.
var definitions = []Def{
	{NoScope, "Know whose the token is, and nothing else", none, nil},
	{Self, "Everything of your own: your account, servers and tokens", none, nil},
	{Inherit, "Everything that you may do", none, nil},
	{AdminUI, "Open the administration page; what can be done there is granted apart", none, nil},

	{AdminUsers, "Read, create, change and delete users and what is kept of their sign-in; whoever may do this can " +
		"become anybody", ofUser,
		[]string{AdminAuthState, Users, ReadRolesUsers, DeleteUsers}},
	{AdminAuthState, "Read what is kept of users' sign-in", ofUser, nil},
	{Users, "Read and change users, but not their servers, tokens and sign-in", ofUser,
		[]string{ReadUsers, ListUsers, UsersActivity}},
	{DeleteUsers, "Delete users", ofUser, nil},
	{ListUsers, "List users, with their names at least", ofUser, []string{ReadUsersName}},
	{ReadUsers, "Read users: names, groups, when they were active, where their default server is", ofUser,
		[]string{ReadUsersName, ReadUsersGroups, ReadUsersActivity}},
	{ReadUsersName, "Read names of users", ofUser, nil},
	{ReadUsersGroups, "Read which groups users are in", ofUser, nil},
	{ReadUsersActivity, "Read when users were last active", ofUser, nil},
	{UsersActivity, "Report when users were last active", ofUser, []string{ReadUsersActivity}},

	{ReadRoles, "Read who has which role", ofUser | ofService,
		[]string{ReadRolesUsers, ReadRolesServices, ReadRolesGroups}},
	{ReadRolesUsers, "Read which roles users have", ofUser, nil},
	{ReadRolesServices, "Read which roles services have", ofService, nil},
	{ReadRolesGroups, "Read which roles groups have", ofGroup, nil},

	{AdminServers, "Read, start, stop, create and delete servers, with their inner state", ofServer,
		[]string{AdminServerState, Servers}},
	{AdminServerState, "Read and write the inner state of servers", ofServer, nil},
	{Servers, "Start and stop servers", ofServer, []string{ReadServers, StartServers, DeleteServers}},
	{ReadServers, "Read servers and the names of their users", ofServer, []string{ReadUsersName}},
	{StartServers, "Start servers and change their settings", ofServer, nil},
	{DeleteServers, "Stop and delete servers", ofServer, nil},
	{AccessServers, "Open servers and work in them, with all the files there", ofServer, nil},

	{Tokens, "Read, make and delete tokens of users", ofUser, []string{ReadTokens}},
	{ReadTokens, "Read which tokens users have, but not the tokens themselves", ofUser, nil},

	{AdminGroups, "Read, create, change and delete groups", ofGroup, []string{Groups, ReadRolesGroups, DeleteGroups}},
	{Groups, "Read groups, add users to them and remove users, which can change what those users may do", ofGroup,
		[]string{ReadGroups, ListGroups}},
	{ListGroups, "List groups, with their names at least", ofGroup, []string{ReadGroupsName}},
	{ReadGroups, "Read groups and their members", ofGroup, []string{ReadGroupsName}},
	{ReadGroupsName, "Read names of groups", ofGroup, nil},
	{DeleteGroups, "Delete groups", ofGroup, nil},

	{AdminServices, "Create, read, change and delete services, except those from the settings", ofService,
		[]string{ListServices, ReadServices, ReadRolesServices}},
	{ListServices, "List services, with their names at least", ofService, []string{ReadServicesName}},
	{ReadServices, "Read services", ofService, []string{ReadServicesName}},
	{ReadServicesName, "Read names of services", ofService, nil},
	{AccessServices, "Open services", ofService, nil},

	{Shares, "Share servers with others and stop sharing them", ofServer,
		[]string{AccessServers, ReadShares, UsersShares, GroupsShares}},
	{ReadShares, "Read with whom servers are shared", ofServer, nil},
	{UsersShares, "Read and leave what is shared with users", ofUser, []string{ReadUsersShares}},
	{ReadUsersShares, "Read what is shared with users", ofUser, nil},
	{GroupsShares, "Read and leave what is shared with groups", ofGroup, []string{ReadGroupsShares}},
	{ReadGroupsShares, "Read what is shared with groups", ofGroup, nil},

	{ReadHub, "Read details about the hub", none, nil},
	{ReadMetrics, "Read the hub's metrics", none, nil},
	{Proxy, "Read the proxy's routes and have them set again", none, nil},
	{Shutdown, "Shut the hub down", none, nil},
}
