package cull

import (
	"context"
	"errors"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// departures knows who may not be here any more.
type departures interface {
	// LostSince returns since when, as last told; zero for somebody who may be here.
	LostSince(ctx context.Context, user ident.User) (time.Time, error)
	// ConfirmLost asks now. It is true only if that is certain.
	ConfirmLost(ctx context.Context, user ident.User) bool
}

// leave is Decide for a server whose owner may not be here any more. It ends at o.Leaves, announced from the loss on,
// which may have been in an earlier process; or before, where the policy says so without a new start.
func leave(now time.Time, p Policy, o Observation) Decision {
	p.GPUIdle = 0
	if d := decide(now, p, o); d.Act != Leave && !d.At.After(o.Leaves) {
		return d
	}
	d := Decision{Act: Announce, At: o.Leaves, Reason: ReasonAccessLost}
	if !now.Before(d.At) {
		d.Act = Cull
	}
	return d
}

// Wake makes Run poll the servers now: somebody has lost or regained the right to be here. It never waits.
func (c *Culler) Wake() {
	select {
	case c.wake <- struct{}{}:
	default: // it is about to
	}
}

// leaves returns when the servers of a person end because they may not be here any more; zero: they may, or that is not
// known.
func (c *Culler) leaves(ctx context.Context, user ident.User) time.Time {
	if c.cfg.Departures == nil {
		return time.Time{}
	}
	since, err := c.cfg.Departures.LostSince(ctx, user)
	if err != nil && ctx.Err() == nil {
		c.cfg.Log.Warn("cannot read whether the owner of a server may still be here", "event", "database-error", "user",
			user.String(), "error", err.Error())
	}
	if err != nil || since.IsZero() {
		return time.Time{}
	}
	return since.Add(c.cfg.Leaving)
}

// mayEnd reports whether a decision to end a server may be carried out now. That its owner may not be here is asked
// once more: an answer that is not known ends nothing, and the next poll asks again.
func (c *Culler) mayEnd(ctx context.Context, s servers.Server, d Decision) bool {
	return d.Reason != ReasonAccessLost || c.cfg.Departures.ConfirmLost(ctx, s.Key.User)
}

// await makes Run poll again soon for a start, or a server that is found again, whose owner may not be here any more.
func (c *Culler) await(ctx context.Context, s servers.Server) {
	if !c.leaves(ctx, s.Key.User).IsZero() {
		time.AfterFunc(awaitEvery, c.Wake)
	}
}

// awaitEvery is how often such a start is polled.
const awaitEvery = 10 * time.Second

// unqueue takes a start out of the queue for devices whose owner may not be here any more.
func (c *Culler) unqueue(ctx context.Context, s servers.Server) {
	if c.leaves(ctx, s.Key.User).IsZero() {
		return
	}
	err := c.cfg.Servers.Stop(ctx, s.Key)
	switch {
	case err == nil:
		c.event(s.Key, "cancelled a start", "server-culled", ReasonAccessLost)
	case !errors.Is(err, servers.ErrNotActive) && ctx.Err() == nil:
		c.warn(s.Key, "cannot cancel a start", "server-cull-failed", err)
	}
}
