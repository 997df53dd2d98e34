package api

import "slices"

// routes is the whole API (JupyterHub 5.5, docs/source/_static/rest-api.yml, and the
// server models of version 6).
func routes() []route {
	return slices.Concat(hubRoutes(), userRoutes(), tokenRoutes(), groupRoutes(), shareRoutes(), serviceRoutes())
}

// hubRoutes are those of the hub itself and of its OAuth provider.
func hubRoutes() []route {
	return []route{
		{"GET", "", anyone, onAny, "", (*API).root},
		{"GET", "/{$}", anyone, onAny, "", (*API).root},
		{"GET", "/health", anyone, onAny, "", (*API).health},
		{"GET", "/info", scoped, onAll, "read:hub", (*API).info},
		{"POST", "/shutdown", scoped, onAll, "shutdown", (*API).shutdown},
		{"GET", "/proxy", scoped, onAll, "proxy", (*API).routingTable},
		{"POST", "/proxy", scoped, onAll, "proxy", (*API).checkRoutes},
		{"PATCH", "/proxy", scoped, onAll, "proxy", (*API).moveProxy},

		{"GET", "/oauth2/authorize", browser, onAny, "", (*API).authorize},
		{"POST", "/oauth2/authorize", browser, onAny, "", (*API).authorize},
		{"POST", "/oauth2/token", browser, onAny, "", (*API).token},
		{"GET", "/authorizations/token/{token}", caller, onAny, "", (*API).tokenWhoami},
		{"GET", "/authorizations/token", caller, onAny, "", (*API).tokenWhoami},
	}
}

// userRoutes are those of users and their servers.
func userRoutes() []route {
	const anyUser = "read:users read:users:name read:servers read:users:groups read:users:activity read:roles:users"
	return []route{
		{"GET", "/user", caller, onAny, "", (*API).whoami},
		{"GET", "/users", scoped, onAny, "list:users", (*API).listUsers},
		{"POST", "/users", scoped, onAll, "admin:users", (*API).createUsers},
		{"GET", "/users/{user}", scoped, onUser, anyUser, (*API).user},
		{"POST", "/users/{user}", scoped, onUser, "admin:users", (*API).createUser},
		{"PATCH", "/users/{user}", scoped, onUser, "admin:users", (*API).changeUser},
		{"DELETE", "/users/{user}", scoped, onUser, "delete:users", (*API).deleteUser},
		{"POST", "/users/{user}/activity", scoped, onUser, "users:activity", (*API).activity},

		{"POST", "/users/{user}/server", scoped, onServer, "start:servers", (*API).start},
		{"DELETE", "/users/{user}/server", scoped, onServer, "delete:servers", (*API).stop},
		{"GET", "/users/{user}/server", scoped, onServer, "read:servers", (*API).showServer},
		{"PUT", "/users/{user}/server", scoped, onServer, "start:servers", (*API).createServer},
		{"PATCH", "/users/{user}/server", scoped, onServer, "start:servers", (*API).changeServer},
		{"GET", "/users/{user}/server/progress", scoped, onServer, "read:servers", (*API).progress},
		{"POST", "/users/{user}/servers/{server...}", scoped, onServer, "start:servers", (*API).start},
		{"DELETE", "/users/{user}/servers/{server...}", scoped, onServer, "delete:servers", (*API).stop},
		{"GET", "/users/{user}/servers/{server...}", scoped, onServer, "read:servers", (*API).showServer},
		{"PUT", "/users/{user}/servers/{server...}", scoped, onServer, "start:servers", (*API).createServer},
		{"PATCH", "/users/{user}/servers/{server...}", scoped, onServer, "start:servers", (*API).changeServer},
		{"GET", "/users/{user}/servers/{server}/progress", scoped, onServer, "read:servers", (*API).progress},
	}
}

// tokenRoutes are those of tokens and of what was shared with a user.
func tokenRoutes() []route {
	return []route{
		{"GET", "/users/{user}/tokens", scoped, onUser, "read:tokens", (*API).listTokens},
		{"POST", "/users/{user}/tokens", login, onUser, "tokens", (*API).createToken},
		{"GET", "/users/{user}/tokens/{id}", scoped, onUser, "read:tokens", (*API).showToken},
		{"DELETE", "/users/{user}/tokens/{id}", scoped, onUser, "tokens", (*API).deleteToken},

		{"GET", "/users/{user}/shared", scoped, onUser, "read:users:shares", (*API).userShares},
		{"GET", "/users/{user}/shared/{owner}/{server...}", scoped, onUser, "read:users:shares", (*API).userShare},
		{"DELETE", "/users/{user}/shared/{owner}/{server...}", scoped, onUser, "users:shares", (*API).leaveShare},
	}
}

// groupRoutes are those of groups.
func groupRoutes() []route {
	return []route{
		{"GET", "/groups", scoped, onAny, "list:groups", (*API).listGroups},
		{"POST", "/groups", scoped, onAll, "admin:groups", (*API).createGroups},
		{"GET", "/groups/{group}", scoped, onGroup, "read:groups read:groups:name read:roles:groups", (*API).group},
		{"POST", "/groups/{group}", scoped, onGroup, "admin:groups", (*API).createGroup},
		{"DELETE", "/groups/{group}", scoped, onGroup, "delete:groups", (*API).deleteGroup},
		{"POST", "/groups/{group}/users", scoped, onGroup, "groups", (*API).addMembers},
		{"DELETE", "/groups/{group}/users", scoped, onGroup, "groups", (*API).removeMembers},
		{"PUT", "/groups/{group}/properties", scoped, onGroup, "groups", (*API).setProperties},
		{"GET", "/groups/{group}/shared", scoped, onGroup, "read:groups:shares", (*API).groupShares},
		{"GET", "/groups/{group}/shared/{owner}/{server...}", scoped, onGroup, "read:groups:shares", (*API).groupShare},
		{"DELETE", "/groups/{group}/shared/{owner}/{server...}", scoped, onGroup, "groups:shares",
			(*API).leaveGroupShare},
	}
}

// shareRoutes are those of shares and share codes of servers.
func shareRoutes() []route {
	return []route{
		{"GET", "/shares/{user}", scoped, onUser, "read:shares", (*API).ownerShares},
		{"POST", "/shares/{user}", scoped, onUser, "shares", (*API).needsServer},
		{"PATCH", "/shares/{user}", scoped, onUser, "shares", (*API).needsServer},
		{"DELETE", "/shares/{user}", scoped, onUser, "shares", (*API).needsServer},
		{"GET", "/shares/{user}/{server...}", scoped, onServer, "read:shares", (*API).serverShares},
		{"POST", "/shares/{user}/{server...}", scoped, onServer, "shares", (*API).grantShare},
		{"PATCH", "/shares/{user}/{server...}", scoped, onServer, "shares", (*API).revokeShare},
		{"DELETE", "/shares/{user}/{server...}", scoped, onServer, "shares", (*API).revokeShares},
		{"GET", "/share-codes/{user}", scoped, onUser, "read:shares", (*API).ownerCodes},
		{"POST", "/share-codes/{user}", scoped, onUser, "shares", (*API).needsServer},
		{"DELETE", "/share-codes/{user}", scoped, onUser, "shares", (*API).needsServer},
		{"GET", "/share-codes/{user}/{server...}", scoped, onServer, "read:shares", (*API).serverCodes},
		{"POST", "/share-codes/{user}/{server...}", scoped, onServer, "shares", (*API).createCode},
		{"DELETE", "/share-codes/{user}/{server...}", scoped, onServer, "shares", (*API).deleteCodes},
	}
}

// serviceRoutes are those of services.
func serviceRoutes() []route {
	return []route{
		{"GET", "/services", scoped, onAny, "list:services", (*API).listServices},
		{"GET", "/services/{service}", scoped, onService, "read:services read:services:name read:roles:services",
			(*API).service},
		{"POST", "/services/{service}", scoped, onService, "admin:services", (*API).addService},
		{"DELETE", "/services/{service}", scoped, onService, "admin:services", (*API).removeService},
	}
}
