package actions

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// CreateUsers makes users known to the hub before they sign in. known are those that were known before; they stay as
// they are. It takes the scope "admin:users" on each, and to make administrators takes one.
//
// Refusals: LacksScope; AdminsOnly. At any other error, made holds those that were made before it.
func (a *Actions) CreateUsers(ctx context.Context, s access.Subject, users []ident.User, admin bool) (
	made []store.User, known []ident.User, err error) {
	for _, u := range users {
		if err := needUser(s, u, scopes.AdminUsers); err != nil {
			return nil, nil, err
		}
	}
	if admin && !s.Admin() {
		return nil, nil, refuse(Forbidden, AdminsOnly, "", "only administrators make administrators")
	}
	for _, u := range users {
		err := a.cfg.Records.CreateUser(ctx, store.User{Name: u, Admin: admin, Created: a.cfg.Now()})
		if errors.Is(err, store.ErrExists) {
			known = append(known, u)
			continue
		}
		if a.record(ctx, UserCreated, s, ident.Key{User: u}, err, Detail{keyAdmin, strconv.FormatBool(admin)}) != nil {
			return made, known, err
		}
		rec, err := a.cfg.Records.UserByName(ctx, u)
		if err != nil {
			return made, known, err
		}
		made = append(made, rec)
	}
	return made, known, nil
}

// SetAdmin makes a user an administrator or ends that. Where nothing changes nothing is written. It takes the scope
// "admin:users" on the user; and an administrator, to make one or to change one.
//
// Refusals: LacksScope; NoUser; AdminsOnly.
func (a *Actions) SetAdmin(ctx context.Context, s access.Subject, u ident.User, admin bool) error {
	if err := needUser(s, u, scopes.AdminUsers); err != nil {
		return err
	}
	rec, err := a.user(ctx, u)
	if err != nil {
		return err
	}
	if err := MayModify(s, rec); err != nil {
		return err
	}
	if admin && !s.Admin() {
		return refuse(Forbidden, AdminsOnly, "", "only administrators make administrators")
	}
	if admin == rec.Admin {
		return nil
	}
	return a.record(ctx, UserAdmin, s, ident.Key{User: u}, a.cfg.Records.SetAdmin(ctx, u, admin),
		Detail{keyAdmin, strconv.FormatBool(admin)})
}

// MayModify refuses (AdminsOnly) to let anybody but an administrator modify an administrator.
func MayModify(s access.Subject, u store.User) error {
	if u.Admin && !s.Admin() {
		return refuse(Forbidden, AdminsOnly, u.Name.String(), "only administrators modify administrators")
	}
	return nil
}

// DeleteUser ends the sessions of a user and forgets the user with all that is theirs in the hub's database; the Unix
// account and its files stay. With stop it stops their servers before, and waits for that. It takes the scope
// "delete:users" on the user, and an administrator for an administrator.
//
// Refusals: LacksScope; NoUser; Oneself; AdminsOnly; Stopping where a server is stopping already; without stop, Running
// and Starting as well.
func (a *Actions) DeleteUser(ctx context.Context, s access.Subject, u ident.User, stop bool) error {
	if err := needUser(s, u, scopes.DeleteUsers); err != nil {
		return err
	}
	rec, err := a.user(ctx, u)
	if err != nil {
		return err
	}
	if u == s.User {
		return refuse(Conflict, Oneself, u.String(), "nobody can delete themselves")
	}
	if err := MayModify(s, rec); err != nil {
		return err
	}
	for _, server := range a.cfg.Servers.Of(u) {
		if server.State == servers.Stopping || server.State.Active() && !stop {
			return active(server.Key, server.State)
		}
	}
	return a.record(ctx, UserDeleted, s, ident.Key{User: u}, a.deleteUser(ctx, u))
}

// deleteUser is DeleteUser without its checks.
func (a *Actions) deleteUser(ctx context.Context, u ident.User) error {
	for _, server := range a.cfg.Servers.Of(u) {
		if !server.State.Active() {
			continue
		}
		if err := a.cfg.Servers.Stop(ctx, server.Key); err != nil && !errors.Is(err, servers.ErrNotActive) {
			return fmt.Errorf("cannot stop server %s: %w", server.Key, err)
		}
	}
	if err := a.cfg.EndSessions(ctx, u); err != nil {
		return err
	}
	err := a.cfg.Records.DeleteUser(ctx, u)
	if errors.Is(err, store.ErrNotFound) {
		return nil // deleted by another request at the same moment
	}
	return err
}
