// Package access tells what a user, a service or a token may do at this moment: it
// puts roles, groups, shares and tokens together and leaves the language to package
// scopes. It must never grant a token more than its owner has when the token is used.
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

// records is what the database knows of groups and shares.
type records interface {
	GroupsOf(ctx context.Context, u ident.User) ([]string, error)
	SharesFor(ctx context.Context, u ident.User, groups []string) ([]store.Share, error)
}

// Role is a role of the settings with those who have it.
type Role struct {
	scopes.Role
	Users    []ident.User
	Groups   []string
	Services []string
}

// Config is what an Authority needs.
type Config struct {
	Table   *scopes.Table // required
	Roles   []Role        // of the settings: new ones, and other scopes for "user", "server" and "token"
	Records records       // required
	Log     *slog.Logger  // required
}

// Authority answers what somebody may do. It is safe for concurrent use.
type Authority struct {
	table   *scopes.Table
	records records
	log     *slog.Logger
	roles   map[string]Role
	order   []string // names of roles as the settings have them, the default ones first
}

// New makes an Authority. Its error names every role that cannot be.
func New(c Config) (*Authority, error) {
	a := &Authority{table: c.Table, records: c.Records, log: c.Log, roles: map[string]Role{}}
	for _, r := range scopes.DefaultRoles() {
		a.add(Role{Role: r})
	}
	for _, r := range c.Roles {
		if err := c.Table.CheckRole(r.Role); err != nil {
			return nil, fmt.Errorf("role %q: %w", r.Name, err)
		}
		if known, ok := a.roles[r.Name]; ok && len(r.Scopes) == 0 {
			r.Role = known.Role // only returns a default role to somebody
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

// Table returns the scopes that there are.
func (a *Authority) Table() *scopes.Table { return a.table }

// Groups returns the groups that a user is in.
func (a *Authority) Groups(ctx context.Context, u ident.User) ([]string, error) {
	return a.records.GroupsOf(ctx, u)
}

// Membership returns the function that looks groups up, each user once. A database that does
// not answer puts nobody into a group.
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

// User returns what a user may do who is in the given groups: the user's roles, those of
// the groups, and what was shared with either.
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

// Service returns what a service may do: its roles, and the scopes that the settings give
// it directly.
func (a *Authority) Service(name string, admin bool, own []string) scopes.Set {
	owner := scopes.Owner{Service: name}
	set := a.expand(a.ServiceRoles(name, admin), owner)
	extra, _ := a.table.Expand(append(scopes.IdentifyService(name), own...), owner)
	return set.Union(extra)
}

// Server returns what a server's own token may do: the role "server" as far as its owner
// may do it.
func (a *Authority) Server(k ident.Key, ownerSet scopes.Set) scopes.Set {
	return a.Token(a.roles[scopes.ServerRole].Scopes, scopes.Owner{User: k.User, Server: &k}, ownerSet, nil)
}

// Token returns what a token of a user may do now. Every token may say whose it is, as in
// JupyterHub.
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
