package cull

import (
	"context"
	"errors"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// examine decides about one server and acts on it. It asks the server only where its answer matters: when the end would
// be announced, or the server stopped, if it were idle.
func (c *Culler) examine(ctx context.Context, s servers.Server) {
	leaves := c.leaves(ctx, s.Key.User)
	policy, err := c.cfg.Policy(ctx, s.Key.User)
	if c.ruleless(s.Key, err) {
		if leaves.IsZero() {
			return
		}
		policy = Policy{Exempt: true}
	}
	busy := busier(c.processor(ctx, s.Key), c.devices(s.Key))
	switch {
	case busy != No:
	case !leaves.IsZero():
		busy = Unknown // the server of somebody who left believes no token of theirs, so it cannot be asked
	case c.ifIdle(policy, s).Act != Leave:
		busy = c.ask(ctx, s.Key)
	}
	if ctx.Err() != nil {
		return // the answer may be cut off
	}
	switch d := c.settle(policy, s, busy, leaves); d.Act {
	case Cull:
		if c.mayEnd(ctx, s, d) {
			c.stop(ctx, s.Key, d.Reason)
		}
	case Restart:
		if c.stop(ctx, s.Key, d.Reason) {
			c.startAgain(s)
		}
	}
}

// devices reports whether a server computes on a device that it holds.
func (c *Culler) devices(key ident.Key) Busy {
	if c.cfg.GPUs == nil {
		return No
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watched[key].gpu.now.any
}

// startAgain starts a server that was stopped to release its devices.
func (c *Culler) startAgain(s servers.Server) {
	err := errors.New("StartWithoutGPUs is not set")
	if c.cfg.StartWithoutGPUs != nil {
		err = c.cfg.StartWithoutGPUs(s.Key, s.Profile)
	}
	switch {
	case errors.Is(err, servers.ErrActive): // its owner has started it already
	case err != nil:
		c.warn(s.Key, "cannot start a server again without GPU", "server-restart-failed", err)
	default:
		c.event(s.Key, "started a server again without GPU", "server-restarted", ReasonGPU)
	}
}

// ruleless reports whether no rule for a server is known, and logs the failure once.
func (c *Culler) ruleless(key ident.Key, err error) bool {
	c.mu.Lock()
	w := c.watched[key]
	said := w.unruled
	w.unruled = err != nil
	c.mu.Unlock()
	if err != nil && !said {
		c.warn(key, "cannot read the rule for a server; it continues to run", "server-cull-unruled", err)
	}
	return err != nil
}

// ifIdle is the decision for an idle server.
func (c *Culler) ifIdle(p Policy, s servers.Server) Decision {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.decide(p, s, No, time.Time{})
}

// decide is Decide with the present state. c.mu is held.
func (c *Culler) decide(p Policy, s servers.Server, busy Busy, leaves time.Time) Decision {
	w := c.watched[s.Key]
	o := Observation{Started: s.Started, LastActivity: s.LastActivity, Busy: busy, Announced: w.notice.At,
		Reason: w.notice.Reason, Leaves: leaves, HoldsGPU: w.gpu.now.holds, GPUUsed: w.gpu.unused()}
	if !s.LastActivity.After(s.Started) && c.cfg.Traffic != nil {
		o.LastActivity = c.cfg.Traffic(s.Key)
	}
	o.LastActivity = later(o.LastActivity, w.alive)
	return Decide(time.Now(), p, o)
}

// settle decides, and records and logs the decision.
func (c *Culler) settle(p Policy, s servers.Server, busy Busy, leaves time.Time) Decision {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.decide(p, s, busy, leaves)
	w := c.watched[s.Key]
	if busy == Yes {
		w.alive = time.Now()
	}
	before := w.notice
	w.notice = w.noticeOf(d, p)
	if before == w.notice {
		return d
	}
	switch d.Act {
	case Announce:
		message := "a server will be stopped"
		if w.notice.Restart {
			message = "a server will be started again without GPU"
		}
		if d.Reason == ReasonAccessLost {
			time.AfterFunc(time.Until(d.At), c.Wake) // it may be before the next poll
		}
		c.event(s.Key, message, "server-cull-notice", d.Reason, "at", d.At.UTC().Format(time.RFC3339))
	case Leave:
		c.event(s.Key, "a server will not be stopped after all", "server-cull-withdrawn", before.Reason)
	}
	return d
}

// noticeOf returns the notice for people of a decision. Culler.mu is held.
func (w *watch) noticeOf(d Decision, p Policy) Notice {
	n := Notice{At: d.At, Reason: d.Reason}
	if d.Reason == ReasonGPU {
		n.Restart, n.Unused, n.Postponed = p.GPURestart, later(w.started, w.gpu.used), !w.gpu.postponed.IsZero()
	}
	return n
}

// stop stops a server and reports whether it did. The next poll repeats a failed stop.
func (c *Culler) stop(ctx context.Context, key ident.Key, reason string) bool {
	err := c.cfg.Servers.Stop(ctx, key)
	switch {
	case errors.Is(err, servers.ErrNotActive), err != nil && ctx.Err() != nil:
		return false
	case err != nil:
		c.warn(key, "cannot stop a server", "server-cull-failed", err)
		return false
	}
	c.event(key, "stopped a server", "server-culled", reason)
	if c.cfg.OnCull != nil {
		c.cfg.OnCull(reason)
	}
	return true
}

func (c *Culler) event(key ident.Key, message, event, reason string, more ...any) {
	c.cfg.Log.Info(message, append([]any{"event", event, "user", key.User.String(), "server", key.Server.String(),
		"reason", reason}, more...)...)
}

func (c *Culler) warn(key ident.Key, message, event string, err error) {
	c.cfg.Log.Warn(message, "event", event, "user", key.User.String(), "server", key.Server.String(), "error",
		err.Error())
}
