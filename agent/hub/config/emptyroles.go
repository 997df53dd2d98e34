package config

import "github.com/gifford-lab/gifford-hub/agent/hub/scopes"

// EmptyRoles says what follows from each default role that the settings leave without scopes, with `scopes = []`. That
// is allowed, as in JupyterHub, and seldom meant.
func (c *Config) EmptyRoles() (follows []string) {
	for _, r := range []struct{ name, follows string }{
		{scopes.UserRole, "nobody may start or open a server, or make a token, but by another role"},
		{scopes.ServerRole, "servers may not report activity, so that they count as idle, nor call themselves"},
		{scopes.TokenRole, "a token that is made without scopes may do nothing"},
	} {
		if role := c.Roles[r.name]; role != nil && role.Scopes != nil && len(role.Scopes) == 0 {
			follows = append(follows, "the role "+r.name+" has no scopes (scopes = []): "+r.follows)
		}
	}
	return follows
}
