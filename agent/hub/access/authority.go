// Package access finds out who asks and what they may do now: Authenticator makes a Subject of
// credentials or of a browser's session, and Authority combines roles, groups, shares and tokens.
// The language of permissions is package scopes'. It must never grant a token more than its owner
// has when the token is used, and no other package may make a Subject that has rights.
package access

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// records reads groups and shares from the database.
type records interface {
	GroupsOf(ctx context.Context, u ident.User) ([]string, error)
	SharesFor(ctx context.Context, u ident.User, groups []string) ([]store.Share, error)
}

// Role is a role of the settings and who has it.
type Role struct {
	scopes.Role
	Users    []ident.User
	Groups   []string
	Services []string
}

// Config is what an Authority needs.
type Config struct {
	Table *scopes.Table // required
	// Roles are those of the settings: new ones, and changed ones of "user", "server" and "token". These keep their
	// default scopes where Scopes is nil; an empty list takes every scope away, as in JupyterHub (roles.py).
	Roles   []Role
	Records records      // required
	Log     *slog.Logger // required
}

// Authority computes what users, services and tokens may do. It is safe for concurrent use.
type Authority struct {
	table   *scopes.Table
	records records
	log     *slog.Logger
	roles   map[string]Role
	order   []string // names of the roles: the default ones, then those of the settings in their order
}

// New makes an Authority. Its error names the first role that is not valid.
func New(c Config) (*Authority, error) {
	a := &Authority{table: c.Table, records: c.Records, log: c.Log, roles: map[string]Role{}}
	for _, r := range scopes.DefaultRoles() {
		a.add(Role{Role: r})
	}
	for _, r := range c.Roles {
		if err := c.Table.CheckRole(r.Role); err != nil {
			return nil, fmt.Errorf("role %q: %w", r.Name, err)
		}
		if known, ok := a.roles[r.Name]; ok && r.Scopes == nil {
			r.Role = known.Role // assigns a default role and leaves its scopes
		}
		a.add(r)
	}
	return a, nil
}

func (a *Authority) add(r Role) {
	if _, known := a.roles[r.Name]; !known {
		a.order = append(a.order, r.Name)
	}
	a.roles[r.Name] = r
}

// Table returns the table of all scopes.
func (a *Authority) Table() *scopes.Table { return a.table }

// Groups returns the groups that a user is in.
func (a *Authority) Groups(ctx context.Context, u ident.User) ([]string, error) {
	return a.records.GroupsOf(ctx, u)
}

// Membership returns a function that looks up a user's groups, once for each user. It logs an
// error of the database and returns no groups then. It must not be used by several goroutines.
func (a *Authority) Membership(ctx context.Context) scopes.Membership {
	known := map[ident.User][]string{}
	return func(u ident.User) []string {
		if groups, ok := known[u]; ok {
			return groups
		}
		groups, err := a.records.GroupsOf(ctx, u)
		if err != nil {
			a.log.Error("cannot look up a user's groups", "event", "groups-unreadable", "user", u.String(), "error",
				err.Error())
		}
		known[u] = groups
		return groups
	}
}

// UserRoles returns the names of a user's own roles, without those of groups (the model's
// "roles" in JupyterHub).
func (a *Authority) UserRoles(u ident.User, admin bool) []string {
	return a.named(func(r Role) bool {
		return r.Name == scopes.UserRole || r.Name == scopes.AdminRole && admin || slices.Contains(r.Users, u)
	})
}

// GroupRoles returns the names of a group's roles.
func (a *Authority) GroupRoles(group string) []string {
	return a.named(func(r Role) bool { return slices.Contains(r.Groups, group) })
}

// ServiceRoles returns the names of a service's roles.
func (a *Authority) ServiceRoles(name string, admin bool) []string {
	return a.named(func(r Role) bool {
		return r.Name == scopes.AdminRole && admin || slices.Contains(r.Services, name)
	})
}

func (a *Authority) named(has func(Role) bool) []string {
	names := []string{}
	for _, name := range a.order {
		if has(a.roles[name]) {
			names = append(names, name)
		}
	}
	return names
}

// Role returns the scopes of a role by its name.
func (a *Authority) Role(name string) (Role, bool) {
	r, ok := a.roles[name]
	return r, ok
}

// User returns the scopes of a user who is in the given groups: those of the user's roles, of
// the groups' roles, and of shares with the user or a group.
func (a *Authority) User(ctx context.Context, u ident.User, admin bool, groups []string) (scopes.Set, error) {
	owner := scopes.Owner{User: u}
	set := a.expand(a.UserRoles(u, admin), owner)
	for _, g := range groups {
		set = set.Union(a.expand(a.GroupRoles(g), owner))
	}
	shares, err := a.records.SharesFor(ctx, u, groups)
	if err != nil {
		return scopes.Set{}, err
	}
	for _, s := range shares {
		granted, _ := a.table.Expand(s.Scopes, scopes.Owner{User: u, Server: &s.Key})
		set = set.Union(granted)
	}
	return set, nil
}

// Service returns the scopes of a service: those of its roles, and those that the settings grant
// it directly (own).
func (a *Authority) Service(name string, admin bool, own []string) scopes.Set {
	owner := scopes.Owner{Service: name}
	set := a.expand(a.ServiceRoles(name, admin), owner)
	extra, _ := a.table.Expand(append(scopes.IdentifyService(name), own...), owner)
	return set.Union(extra)
}

// Server returns the scopes of a server's own token: those of the role "server", limited to the
// owner's scopes.
func (a *Authority) Server(k ident.Key, ownerSet scopes.Set) scopes.Set {
	return a.Token(a.roles[scopes.ServerRole].Scopes, scopes.Owner{User: k.User, Server: &k}, ownerSet, nil)
}

// Token returns the scopes that a user's token has now: those of its list, limited to the owner's.
// Every token may read its owner's name, as in JupyterHub.
func (a *Authority) Token(list []string, owner scopes.Owner, ownerSet scopes.Set, m scopes.Membership) scopes.Set {
	return a.table.Effective(append(scopes.Identify(owner.User), list...), owner, ownerSet, m)
}

func (a *Authority) expand(roles []string, owner scopes.Owner) scopes.Set {
	var set scopes.Set
	for _, name := range roles {
		granted, _ := a.table.Expand(a.roles[name].Scopes, owner)
		set = set.Union(granted)
	}
	return set
}
