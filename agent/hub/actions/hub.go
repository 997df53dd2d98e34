package actions

import (
	"context"
	"errors"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Activity is a report of when a user and their servers were last active.
type Activity struct {
	User    time.Time // zero: nothing is reported
	Servers map[ident.Key]time.Time
}

// ReportActivity notes when a user and their servers were last active. Times only move forward. There is one every few
// minutes of each server, so none is in the journal. It takes the scope "users:activity" on the user.
//
// Refusals: LacksScope; NoUser for a user whom the hub does not know and who has no server; NoServer (Invalid).
func (a *Actions) ReportActivity(ctx context.Context, s access.Subject, u ident.User, r Activity) error {
	if err := needUser(s, u, scopes.UsersActivity); err != nil {
		return err
	}
	if _, err := a.user(ctx, u); err != nil && len(a.cfg.Servers.Of(u)) == 0 {
		return err // servers may outlive the hub's database, and report
	}
	for k := range r.Servers {
		err := a.server(ctx, k)
		var refused *Refusal
		if errors.As(err, &refused) || err == nil && k.User != u {
			return invalid("servers", NoServer, k.String(), "%s has no server named %q", u, k.Server)
		}
		if err != nil {
			return err
		}
	}
	for k, t := range r.Servers {
		if err := a.touch(ctx, k, t); err != nil {
			return err
		}
	}
	if r.User.IsZero() {
		return nil
	}
	return a.cfg.Records.TouchUser(ctx, u, r.User)
}

// touch notes a server's activity. A hub that lost its database makes the server's record again.
func (a *Actions) touch(ctx context.Context, k ident.Key, t time.Time) error {
	a.cfg.Servers.Touch(k, t)
	err := a.cfg.Records.TouchServer(ctx, k, t)
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	v := a.cfg.Servers.Get(k)
	return a.cfg.Records.UpsertServer(ctx, store.Server{Key: k, LastActivity: t, Profile: v.Profile,
		Started: v.Started})
}

// PullImage begins to fetch an image that all servers share. begin reports whether a pull began; it does not where one
// goes on. It takes an administrator.
//
// Refusals: AdminsOnly.
func (a *Actions) PullImage(ctx context.Context, s access.Subject, image string, begin func() bool) error {
	if !s.Admin() {
		return refuse(Forbidden, AdminsOnly, "", "only administrators fetch images")
	}
	if begin() {
		return a.recordOn(ctx, ImagePullRequested, s, nil, Detail{keyImage, image})
	}
	return nil
}

// Shutdown ends the hub's process once open requests are answered; servers run on. It takes the scope "shutdown".
//
// Refusals: LacksScope; SwitchedOff.
func (a *Actions) Shutdown(ctx context.Context, s access.Subject) error {
	if !s.Everywhere(scopes.Shutdown) {
		return lacks(s, scopes.Shutdown)
	}
	if a.cfg.Shutdown == nil {
		return refuse(Forbidden, SwitchedOff, "", "this hub is not shut down through its API")
	}
	err := a.recordOn(ctx, ShutdownRequested, s, nil)
	a.cfg.Shutdown()
	return err
}
