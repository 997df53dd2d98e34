package cull

import (
	"context"
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Bounds of what is known of GPUs.
const (
	// gpuEvery is how often the devices of servers that hold some are read. They are measured as often: work in bursts
	// must not fall between two readings.
	gpuEvery = 10 * time.Second
	// gpuStale is how long failed readings are ignored, as while the backend restarts.
	gpuStale = time.Minute
	// gpuGap is the longest time between two readings for which a device counts as unused. After a longer one, as while
	// the hub was stopped, the use of the device is unknown.
	gpuGap = 10 * time.Minute
	// gpuSave is how often the last use of a device is saved.
	gpuSave = 5 * time.Minute
)

// memory saves the last use of GPUs over a restart of the hub.
type memory interface {
	GPUUses(ctx context.Context) ([]store.GPUUse, error)
	SaveGPUUse(ctx context.Context, u store.GPUUse) error
}

// gpuUse is how one server uses the devices.
type gpuUse struct {
	none   bool // it holds no device
	holds  bool // it holds one exclusively
	leased Busy // use of these
	any    Busy // use of all that it holds
}

// useOf returns how a server uses the devices that it holds. share is the load from which a device counts as in use.
func useOf(g backend.GPUs, key ident.Key, share float64) gpuUse {
	u := gpuUse{none: true, leased: No, any: No}
	for _, d := range g.Devices {
		i := slices.IndexFunc(d.Holders, func(h backend.Holder) bool { return h.Key == key })
		if i < 0 {
			continue
		}
		busy := uses(d, d.Holders[i], share)
		u.none, u.any = false, busier(u.any, busy)
		if d.Sharing != backend.Open {
			u.holds, u.leased = true, busier(u.leased, busy)
		}
	}
	return u
}

// uses reports whether a holder uses a device. The load of a device with several holders says only that one of them
// does. Processes show which one, if the vendor's tool reports their owners.
func uses(d backend.Device, h backend.Holder, share float64) Busy {
	switch {
	case !d.Now.Known:
		return Unknown
	case d.Now.Busy < share:
		return No
	case d.Sharing == backend.Exclusive, h.Processes > 0:
		return Yes
	case !processesKnown(d):
		return Unknown
	}
	return No
}

// processesKnown reports whether the processes on a busy device are known with their units.
func processesKnown(d backend.Device) bool {
	seen := len(d.Strangers) > 0
	for _, h := range d.Holders {
		seen = seen || h.Processes > 0
	}
	return seen && !slices.ContainsFunc(d.Strangers, func(p backend.Process) bool { return p.Unit == "" })
}

// busier combines two parts of a server. If one works, the server works. If one is unknown, the server is unknown.
func busier(a, b Busy) Busy {
	switch {
	case a == Yes || b == Yes:
		return Yes
	case a == Unknown || b == Unknown:
		return Unknown
	}
	return No
}

// gpuWatch is the observed use of a server's devices in one run.
type gpuWatch struct {
	now       gpuUse    // as last seen; the zero value: never
	used      time.Time // when it last used, or may have used, its exclusive devices
	seen      time.Time // of the last reading; zero: none
	postponed time.Time // when a person postponed their return; zero: never
	saved     time.Time // when this was saved
}

// take takes a reading.
func (g gpuWatch) take(now time.Time, u gpuUse) gpuWatch {
	if u.leased != No || !g.seen.IsZero() && now.Sub(g.seen) > gpuGap {
		g.used = now
	}
	g.now, g.seen = u, now
	return g
}

// miss takes a failed reading. A server that held no device holds none: its devices do not change in a run.
func (g gpuWatch) miss(now time.Time) gpuWatch {
	if g.now.none || !g.seen.IsZero() && now.Sub(g.seen) < gpuStale {
		return g
	}
	g.now.any, g.now.leased, g.used = Unknown, Unknown, now
	return g
}

// unused returns since when a server's devices are unused; zero: since its start.
func (g gpuWatch) unused() time.Time { return later(g.used, g.postponed) }

// readGPUs updates the observed use of the devices.
func (c *Culler) readGPUs(ctx context.Context) {
	if c.cfg.GPUs == nil {
		return
	}
	g, err := c.cfg.GPUs(ctx)
	if ctx.Err() != nil {
		return
	}
	c.gpuTrouble(err)
	for _, u := range c.takeGPUs(time.Now(), g, err) {
		c.save(ctx, u)
	}
}

// takeGPUs takes a reading, and returns what to save.
func (c *Culler) takeGPUs(now time.Time, g backend.GPUs, failed error) (unsaved []store.GPUUse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.anyGPU = false
	for key, w := range c.watched {
		if failed != nil {
			w.gpu = w.gpu.miss(now)
		} else {
			w.gpu = w.gpu.take(now, useOf(g, key, c.cfg.BusyGPU))
		}
		c.anyGPU = c.anyGPU || w.gpu.now.holds
		if w.gpu.now.holds && now.Sub(w.gpu.saved) >= gpuSave {
			w.gpu.saved = now
			unsaved = append(unsaved, w.record(key))
		}
	}
	return unsaved
}

// record is the row to save of a run. Culler.mu is held.
func (w *watch) record(key ident.Key) store.GPUUse {
	return store.GPUUse{Key: key, Started: w.started, Used: w.gpu.used, Seen: w.gpu.seen, Postponed: w.gpu.postponed}
}

// gpuTrouble logs once that the devices cannot be read.
func (c *Culler) gpuTrouble(err error) {
	c.mu.Lock()
	said := c.gpuMute
	c.gpuMute = err != nil
	c.mu.Unlock()
	if err != nil && !said {
		c.cfg.Log.Warn("cannot read whether GPUs are used; servers that may hold one continue to run", "event",
			"gpu-use-unknown", "error", err.Error())
	}
}

// recall reads what an earlier process of the hub saved.
func (c *Culler) recall(ctx context.Context) {
	if c.cfg.GPUs == nil || c.cfg.Memory == nil {
		return
	}
	uses, err := c.cfg.Memory.GPUUses(ctx)
	if err != nil {
		c.cfg.Log.Warn("cannot read when GPUs were last used; they count as used now", "event", "gpu-use-unreadable",
			"error", err.Error())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range uses {
		c.recalled[u.Key] = u
	}
}

// begin makes the state of a run that this process has not seen before. c.mu is held.
func (c *Culler) begin(key ident.Key, started time.Time) *watch {
	w := &watch{started: started}
	if u, ok := c.recalled[key]; ok && u.Started.Equal(started) {
		w.gpu = gpuWatch{used: u.Used, seen: u.Seen, postponed: u.Postponed, saved: u.Seen}
	} else if c.cfg.GPUs != nil && time.Since(started) > gpuGap {
		w.gpu.used = time.Now() // its earlier use is unknown
	}
	delete(c.recalled, key)
	return w
}

// save saves a server's use of GPUs. What the database refuses is missing only after a restart.
func (c *Culler) save(ctx context.Context, u store.GPUUse) {
	if c.cfg.Memory == nil {
		return
	}
	if err := c.cfg.Memory.SaveGPUUse(ctx, u); err != nil && ctx.Err() == nil {
		c.warn(u.Key, "cannot save when a server last used its GPU", "gpu-use-unwritten", err)
	}
}
