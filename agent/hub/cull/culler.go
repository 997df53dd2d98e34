package cull

import (
	"context"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Culler stops idle servers. Make it with New. After a restart it repeats earlier announcements. What it must not
// forget is in Config.Memory.
type Culler struct {
	cfg  Config
	wake chan struct{} // see Wake

	mu       sync.Mutex // guards all below
	watched  map[ident.Key]*watch
	recalled map[ident.Key]store.GPUUse // from an earlier process, for runs not seen yet
	anyGPU   bool                       // a server holds a device exclusively
	gpuMute  bool                       // the failure to read devices has been logged
}

// watch is the Culler's state of one run of a server.
type watch struct {
	started time.Time
	alive   time.Time // when it was last seen busy or active, or its end postponed
	notice  Notice    // zero: none
	cpu     sample
	gpu     gpuWatch
	mute    bool // the failure to ask the server has been logged
	unruled bool // the failure to find its rule has been logged
}

// New makes a Culler.
func New(cfg Config) (*Culler, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	return &Culler{cfg: cfg, wake: make(chan struct{}, 1), watched: map[ident.Key]*watch{},
		recalled: map[ident.Key]store.GPUUse{}}, nil
}

// Run polls the servers until ctx ends.
func (c *Culler) Run(ctx context.Context) {
	c.recall(ctx)
	if c.cfg.Departures != nil {
		c.Wake() // the time of who has left goes on
	}
	tick, gpus := time.NewTicker(c.cfg.Every), time.NewTicker(gpuEvery)
	defer tick.Stop()
	defer gpus.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.poll(ctx)
		case <-c.wake:
			c.poll(ctx)
		case <-gpus.C:
			if c.holdsGPU() {
				c.readGPUs(ctx)
			}
		}
	}
}

// holdsGPU reports whether there are devices to read between two polls of the servers.
func (c *Culler) holdsGPU() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.anyGPU
}

// atOnce is how many servers are examined at the same time, so that one that hangs does not block the others.
const atOnce = 8

// poll examines all ready servers once.
func (c *Culler) poll(ctx context.Context) {
	var ready []servers.Server
	for _, s := range c.cfg.Servers.List() {
		switch s.State {
		case servers.Ready:
			ready = append(ready, s)
		case servers.Queued:
			c.unqueue(ctx, s)
		case servers.Starting, servers.Waiting:
			c.await(ctx, s)
		}
	}
	c.forget(ready)
	c.readGPUs(ctx)
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, s := range ready {
		group.Go(func() error {
			c.examine(ctx, s)
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
}

// forget drops the state of servers that do not run or run again, and makes entries for new ones.
func (c *Culler) forget(ready []servers.Server) {
	runs := map[ident.Key]time.Time{}
	for _, s := range ready {
		runs[s.Key] = s.Started
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.watched, func(key ident.Key, w *watch) bool {
		started, ok := runs[key]
		return !ok || !started.Equal(w.started)
	})
	for key, started := range runs {
		if c.watched[key] == nil {
			c.watched[key] = c.begin(key, started)
		}
	}
}
