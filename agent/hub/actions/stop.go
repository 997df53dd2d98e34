package actions

import (
	"context"
	"errors"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Progress is how far a stop or a removal got before the answer.
type Progress int

// The values of Progress.
const (
	Done       Progress = iota + 1 // the server is stopped, or removed
	WasStopped                     // there was nothing to stop
	Continues                      // it goes on in the background
)

// Stop stops a server, or cancels its start, and waits as long as wait for its end (0: as long as ctx lasts). A stop
// that takes longer continues in the background. It takes the scope "delete:servers" on the server.
//
// Refusals: LacksScope; NoServer.
func (a *Actions) Stop(ctx context.Context, s access.Subject, k ident.Key, wait time.Duration) (Progress, error) {
	if err := needServer(s, k, scopes.DeleteServers); err != nil {
		return 0, err
	}
	if err := a.mustExist(ctx, s, k); err != nil {
		return 0, err
	}
	p, err := a.stop(ctx, k, wait)
	if p == WasStopped {
		return p, err
	}
	r := Record{Event: ServerStopRequested, By: s, User: k.User, Server: k.Server, Later: p == Continues, Err: err}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) { // nobody waits any more, but the stop continues
		r.Later, r.Err = true, nil
	}
	a.audit(ctx, r)
	return p, err
}

// stop is Stop without its checks.
func (a *Actions) stop(ctx context.Context, k ident.Key, wait time.Duration) (Progress, error) {
	bounded, cancel := ctx, func() {}
	if wait > 0 {
		bounded, cancel = context.WithTimeout(ctx, wait)
	}
	defer cancel()
	err := a.cfg.Servers.Stop(bounded, k)
	switch {
	case err == nil:
		return Done, nil
	case errors.Is(err, servers.ErrNotActive):
		return WasStopped, nil
	case errors.Is(err, context.DeadlineExceeded) && bounded.Err() != nil && ctx.Err() == nil:
		return Continues, nil
	}
	return 0, err
}

// RemoveServer deletes a named server with its shares, its share codes and its persistent containers; files stay. With
// stop it stops the server before, for which it waits as long as wait; the removal then continues in the background
// when the stop has ended, and until that the server exists. Nothing is removed of a server that does not stop. It
// takes the scope "delete:servers" on the server.
//
// Refusals: LacksScope; NoServer; NamedServersOff where there is no such server and can be none; DefaultServer;
// Running, Starting and Stopping without stop.
func (a *Actions) RemoveServer(ctx context.Context, s access.Subject, k ident.Key, stop bool, wait time.Duration) (
	Progress, error) {
	if err := needServer(s, k, scopes.DeleteServers); err != nil {
		return 0, err
	}
	if k.Server.IsDefault() {
		return 0, refuse(Invalid, DefaultServer, k.String(), "the default server cannot be deleted")
	}
	if err := a.server(ctx, k); err != nil {
		return 0, err
	}
	if state := a.cfg.Servers.Get(k).State; state.Active() && !stop {
		return 0, active(k, state)
	}
	release, err := a.locks.take(ctx, k, true)
	if beingRemoved(err) {
		return Continues, nil
	}
	if err != nil {
		return 0, err
	}
	if state := a.cfg.Servers.Get(k).State; state.Active() && !stop { // started while this waited for the lock
		release()
		return 0, active(k, state)
	}
	p, err := a.stop(ctx, k, wait)
	if p == Continues {
		a.audit(ctx, Record{Event: ServerDeleted, By: s, User: k.User, Server: k.Server, Later: true})
		a.cfg.Background(func(ctx context.Context) {
			defer release()
			_ = a.record(ctx, ServerDeleted, s, k, a.removeStopping(ctx, k)) // the journal has the error
		})
		return p, nil
	}
	defer release()
	if err == nil {
		err = a.forget(ctx, k)
	}
	return Done, a.record(ctx, ServerDeleted, s, k, err)
}

// beingRemoved reports whether a lock was refused because of a removal.
func beingRemoved(err error) bool {
	var refused *Refusal
	return errors.As(err, &refused) && refused.Reason == Stopping
}

// removeStopping waits for the end of a server that is stopping, and forgets it.
func (a *Actions) removeStopping(ctx context.Context, k ident.Key) error {
	if _, err := a.stop(ctx, k, 0); err != nil {
		return err
	}
	return a.forget(ctx, k)
}

// forget removes all of a stopped server. The persistent containers go first: where they cannot be removed the server
// stays, or the next one of its name would get them.
func (a *Actions) forget(ctx context.Context, k ident.Key) error {
	if err := a.cfg.Servers.Reset(ctx, k); err != nil && !errors.Is(err, servers.ErrNoContainer) {
		return err
	}
	return a.cfg.Records.DeleteServer(ctx, k)
}
