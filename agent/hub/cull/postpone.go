package cull

import (
	"context"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Notice is the announced end of a server.
type Notice struct {
	At     time.Time
	Reason string // ReasonIdle, ReasonMaxAge, ReasonGPU or ReasonAccessLost
	// Of ReasonGPU alone:
	Restart   bool      // it is not stopped but started again without its devices
	Unused    time.Time // since when the devices were not used
	Postponed bool      // a person postponed it before in this run, so nobody can do so again
}

// MayPostpone reports whether a person can postpone the end.
func (n Notice) MayPostpone() bool {
	return n.Reason == ReasonIdle || n.Reason == ReasonGPU && !n.Postponed
}

// Notice returns the end announced for one server.
func (c *Culler) Notice(key ident.Key) (n Notice, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.watched[key]; w != nil {
		n = w.notice
	}
	return n, !n.At.IsZero()
}

// ErrPostponedBefore says that the end of a server with an unused GPU was already postponed once in this run.
var ErrPostponedBefore = hint.New("the return of the server's unused GPU was postponed already, which is possible "+
	"once between start and stop", "use the GPU, or let the server be started again when you need it")

// Postpone treats a person's request to continue using a server as activity now. It does not affect the server's age
// limit. For an unused GPU it succeeds once in a run; then it fails with ErrPostponedBefore.
func (c *Culler) Postpone(key ident.Key) error {
	now := time.Now()
	use, err := c.postpone(key, now)
	if err != nil {
		return err
	}
	if use != nil {
		c.save(context.Background(), *use)
	}
	if c.cfg.Touch != nil {
		c.cfg.Touch(key, now)
	}
	return nil
}

// postpone withdraws the present notice and returns what to save of it; nil for nothing.
func (c *Culler) postpone(key ident.Key, now time.Time) (*store.GPUUse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.watched[key]
	if w == nil {
		return nil, nil
	}
	var use *store.GPUUse
	if w.notice.Reason == ReasonGPU {
		if !w.gpu.postponed.IsZero() {
			return nil, ErrPostponedBefore
		}
		w.gpu.postponed = now
		record := w.record(key)
		use = &record
	}
	w.alive = now
	if w.notice.MayPostpone() {
		w.notice = Notice{}
	}
	return use, nil
}
