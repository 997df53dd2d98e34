package actions

import (
	"context"
	"errors"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// CreateServer saves a named server without starting it. displayName is for people ("": the server's name), options
// are for its first start. It takes the scope "start:servers" on the server.
//
// Refusals: LacksScope; NoUser; DefaultServer, ServerExists; NamedServersOff, TooManyServers; TooLong, Unshowable.
func (a *Actions) CreateServer(ctx context.Context, s access.Subject, k ident.Key, displayName string,
	options map[string]any) error {
	if err := needServer(s, k, scopes.StartServers); err != nil {
		return err
	}
	if k.Server.IsDefault() {
		return refuse(Conflict, DefaultServer, k.String(), "%s has a default server already", k.User)
	}
	if err := a.mayHave(ctx, s, k, displayName); err != nil {
		return err
	}
	release, err := a.locks.take(ctx, k, false)
	if err != nil {
		return err
	}
	defer release()
	rec, known, err := a.saved(ctx, k)
	if err != nil {
		return err
	}
	if known {
		return refuse(Conflict, ServerExists, k.String(), "%s has a server %q already", k.User, k.Server)
	}
	rec.UserOptions = options
	err = a.save(ctx, rec, displayName)
	var refused *Refusal
	if errors.As(err, &refused) {
		return err
	}
	return a.record(ctx, ServerCreated, s, k, err)
}

// ServerChange describes changes to a stopped server. A nil field stays as it is.
type ServerChange struct {
	Name        *ident.Server // a new name
	DisplayName *string       // "" leaves it as well
	Options     map[string]any
}

// ChangeServer changes what is saved of a stopped server. A new name takes its shares and share codes along. Since a
// persistent container cannot get another name, a server that has one keeps its own: it must be reset first. It takes
// the scope "start:servers" on the server.
//
// Refusals: LacksScope; NoUser, NoServer; Running, Starting, Stopping; NamedServersOff; DefaultServer, ServerExists and
// Persistent of a new name; TooLong, Unshowable.
func (a *Actions) ChangeServer(ctx context.Context, s access.Subject, k ident.Key, c ServerChange) error {
	if err := needServer(s, k, scopes.StartServers); err != nil {
		return err
	}
	if _, err := a.user(ctx, k.User); err != nil {
		return err
	}
	displayName := ""
	if c.DisplayName != nil {
		displayName = *c.DisplayName
	}
	if c.Name != nil && *c.Name != k.Server {
		return a.rename(ctx, s, k, ident.Key{User: k.User, Server: *c.Name}, displayName, c.Options)
	}
	release, err := a.locks.take(ctx, k, false)
	if err != nil {
		return err
	}
	defer release()
	rec, err := a.stopped(ctx, k)
	if err != nil {
		return err
	}
	if err := a.mayHave(ctx, s, k, displayName); err != nil {
		return err
	}
	if c.Options != nil {
		rec.UserOptions = c.Options
	}
	return a.record(ctx, ServerChanged, s, k, a.save(ctx, rec, displayName))
}

// stopped returns what is saved of a server, which must be stopped. The default one may never have been started.
func (a *Actions) stopped(ctx context.Context, k ident.Key) (store.Server, error) {
	rec, known, err := a.saved(ctx, k)
	if err != nil {
		return rec, err
	}
	if !known && !k.Server.IsDefault() {
		return rec, refuse(NotFound, NoServer, k.String(), "%s has no such server %s", k.User, k.Server)
	}
	if state := a.cfg.Servers.Get(k).State; state.Active() {
		return rec, active(k, state)
	}
	return rec, nil
}

// rename is ChangeServer with a new name.
func (a *Actions) rename(ctx context.Context, s access.Subject, old, k ident.Key, displayName string,
	options map[string]any) error {
	if k.Server.IsDefault() || old.Server.IsDefault() {
		return refuse(Invalid, DefaultServer, old.String(), "the default server of %s has no name and keeps none",
			old.User)
	}
	if !s.MayServer(k, scopes.StartServers) {
		return lacks(s, scopes.StartServers)
	}
	release, err := a.takeBoth(ctx, old, k)
	if err != nil {
		return err
	}
	defer release()
	rec, err := a.stopped(ctx, old)
	if err != nil {
		return err
	}
	if err := a.mayHave(ctx, s, k, displayName); err != nil {
		return err
	}
	if err := a.renamable(ctx, old, k); err != nil {
		return err
	}
	if rec.Key = k; options != nil {
		rec.UserOptions = options
	}
	if displayName == "" && rec.DisplayName == old.Server.String() {
		displayName = k.Server.String() // the name for people was the name
	}
	if displayName != "" {
		rec.DisplayName = displayName
	}
	err = a.cfg.Records.RenameServer(ctx, old, rec)
	if errors.Is(err, store.ErrExists) { // saved by another process of the hub
		return refuse(Conflict, ServerExists, k.String(), "%s has a server %q already", k.User, k.Server)
	}
	return a.record(ctx, ServerRenamed, s, old, err, Detail{keyNewName, k.Server.String()})
}

// takeBoth takes the locks of two servers, in an order of their own, so that two renames cannot wait for each other.
func (a *Actions) takeBoth(ctx context.Context, one, other ident.Key) (release func(), err error) {
	if other.String() < one.String() {
		one, other = other, one
	}
	first, err := a.locks.take(ctx, one, false)
	if err != nil {
		return nil, err
	}
	second, err := a.locks.take(ctx, other, false)
	if err != nil {
		first()
		return nil, err
	}
	return func() { second(); first() }, nil
}

// renamable refuses a name that is taken, and a server with a persistent container: that would stay behind under the
// old name, and the next server of that name would get it.
func (a *Actions) renamable(ctx context.Context, old, k ident.Key) error {
	_, known, err := a.saved(ctx, k)
	if err != nil {
		return err
	}
	if known || a.cfg.Servers.Get(k).State.Active() {
		return refuse(Conflict, ServerExists, k.String(), "%s has a server %q already", k.User, k.Server)
	}
	for _, one := range []ident.Key{old, k} {
		has, err := a.cfg.HasPersistent(ctx, one)
		if err != nil {
			return err
		}
		if has {
			return refuse(Conflict, Persistent, one.String(), "a persistent container exists of server %s and cannot "+
				"get another name: reset the server first", one)
		}
	}
	return nil
}

// Reset removes the persistent containers of a server, so that its next start makes a fresh one; with stop it stops
// the server before. It takes the scope "delete:servers" on the server.
//
// Refusals: LacksScope; NoServer; Running, Starting, Stopping where the server is not stopped; NothingToReset.
func (a *Actions) Reset(ctx context.Context, s access.Subject, k ident.Key, stop bool) error {
	if err := needServer(s, k, scopes.DeleteServers); err != nil {
		return err
	}
	if err := a.mustExist(ctx, s, k); err != nil {
		return err
	}
	var stopped Progress
	if stop {
		var err error
		if stopped, err = a.stop(ctx, k, 0); err != nil {
			return a.record(ctx, ServerReset, s, k, err)
		}
	}
	err := a.cfg.Servers.Reset(ctx, k)
	if stopped == Done && (errors.Is(err, servers.ErrNoContainer) || errors.Is(err, servers.ErrActive)) {
		_ = a.record(ctx, ServerStopRequested, s, k, nil) // the refusal leaves no record, but the stop was done
	}
	switch {
	case errors.Is(err, servers.ErrNoContainer):
		return refuse(NotFound, NothingToReset, k.String(), "no persistent container exists of server %s",
			k).because(err)
	case errors.Is(err, servers.ErrActive):
		return active(k, a.cfg.Servers.Get(k).State).because(err)
	}
	return a.record(ctx, ServerReset, s, k, err)
}

// mustExist is server for all but the operator, who may act on what the hub's database does not know.
func (a *Actions) mustExist(ctx context.Context, s access.Subject, k ident.Key) error {
	if isOperator(s) {
		return nil
	}
	return a.server(ctx, k)
}

// Postpone puts off the announced end of a server that nobody uses. It takes the scope "start:servers" on the server.
//
// Refusals: LacksScope; NoServer; SwitchedOff where no server ends by itself; NotRunning; Postponed where it cannot
// be put off again.
func (a *Actions) Postpone(ctx context.Context, s access.Subject, k ident.Key) error {
	if err := needServer(s, k, scopes.StartServers); err != nil {
		return err
	}
	if err := a.server(ctx, k); err != nil {
		return err
	}
	if a.cfg.Postpone == nil {
		return refuse(Unavailable, SwitchedOff, k.String(), "no server ends by itself here")
	}
	if a.cfg.Servers.Get(k).State != servers.Ready {
		return refuse(Conflict, NotRunning, k.String(), "server %s does not run", k)
	}
	err := a.cfg.Postpone(k)
	if errors.Is(err, cull.ErrPostponedBefore) {
		return refuse(Conflict, Postponed, k.String(), "the end of server %s was postponed once already",
			k).because(err)
	}
	return a.record(ctx, ServerEndPostponed, s, k, err)
}

// OpenServer notes that the subject opens a server. It takes the scope "access:servers" on the server; one's own
// server is opened without a record.
func (a *Actions) OpenServer(ctx context.Context, s access.Subject, k ident.Key) error {
	if err := needServer(s, k, scopes.AccessServers); err != nil || k.User == s.User {
		return err
	}
	return a.record(ctx, ServerOpened, s, k, nil)
}
