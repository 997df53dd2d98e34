package cull

import (
	"context"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// window is the shortest time over which CPU time is measured: a single request must not count as work.
const window = 10 * time.Second

// sample is the CPU time used until a moment, and whether the server worked.
type sample struct {
	at   time.Time
	used time.Duration
	busy Busy
}

// next takes another reading. A server that was read only once, as after a restart of the hub, may be working.
func (s sample) next(now time.Time, used time.Duration, share float64) sample {
	switch span := now.Sub(s.at); {
	case s.at.IsZero(), used < s.used:
		return sample{now, used, Unknown}
	case span < window:
		return s
	case float64(used-s.used) >= share*float64(span):
		return sample{now, used, Yes}
	}
	return sample{now, used, No}
}

// processor reports by CPU time whether a server works: a kernel that computes silently, or a program outside all
// kernels. It is No when that is unknown, since the server itself is asked as well.
func (c *Culler) processor(ctx context.Context, key ident.Key) Busy {
	if c.cfg.CPUTime == nil {
		return No
	}
	used, ok := c.cfg.CPUTime(ctx, key)
	if !ok {
		return No
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.watched[key]
	w.cpu = w.cpu.next(time.Now(), used, c.cfg.BusyCPU)
	return w.cpu.busy
}

// ask asks the server itself. It logs a failure once.
func (c *Culler) ask(ctx context.Context, key ident.Key) Busy {
	r, err := c.cfg.Ask.Ask(ctx, key)
	c.mu.Lock()
	w := c.watched[key]
	said := w.mute
	w.mute = err != nil
	if err == nil {
		w.alive = later(w.alive, r.LastActivity)
	}
	c.mu.Unlock()
	switch {
	case err != nil && !said && ctx.Err() == nil:
		c.warn(key, "cannot ask a server whether it is busy; it continues to run", "server-cull-unknown", err)
		return Unknown
	case err != nil:
		return Unknown
	case r.Busy:
		return Yes
	}
	return No
}
