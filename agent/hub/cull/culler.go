package cull

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// manager knows the servers and stops them.
type manager interface {
	List() []servers.Server
	Stop(ctx context.Context, key ident.Key) error
}

// asker asks a running server how it is.
type asker interface {
	Ask(ctx context.Context, key ident.Key) (Report, error)
}

// Report is a server's own word.
type Report struct {
	Busy         bool      // a kernel works
	LastActivity time.Time // exact, where what servers report by themselves is minutes old
}

// Config is what a Culler needs. All fields are required but where said.
type Config struct {
	Servers manager
	Ask     asker
	// Policy returns what holds for a person. On an error nothing of theirs is stopped.
	Policy func(ctx context.Context, user ident.User) (Policy, error)
	// Every is how often the servers are looked at.
	Every time.Duration
	// Usage returns the processor time that a server has used since it started; ok is false
	// where nobody knows. It is the hosts' matter how it is found out. Optional.
	Usage func(ctx context.Context, key ident.Key) (cpu time.Duration, ok bool)
	// BusyCPU is the share of one core, 0.05 for 5 %, from which on a server is busy
	// whatever it says; 0: Usage is not asked.
	BusyCPU float64
	// Traffic returns when data last passed to a server, for those that have never reported
	// activity. Optional.
	Traffic func(key ident.Key) time.Time
	// Touch records that a person wanted a server kept. Optional.
	Touch func(key ident.Key, at time.Time)
	// GPUs returns the devices of the host and who holds them. Optional.
	GPUs func(ctx context.Context) (backend.GPUs, error)
	// BusyGPU is the share of a device, 0.05 for 5 %, from which on it is in use; 0: GPUs is
	// not asked.
	BusyGPU float64
	// StartWithoutGPUs starts a server that gave its devices back. Required where a policy
	// has GPURestart.
	StartWithoutGPUs func(key ident.Key, profile string) error
	// Memory keeps what is known of the use of devices over a restart of the hub. Optional.
	Memory memory
	// OnCull is called with the reason of each server stopped, for counters. Optional.
	OnCull func(reason string)
	Log    *slog.Logger
}

// Notice is the end that a server's people were told.
type Notice struct {
	At     time.Time
	Reason string // ReasonIdle, ReasonMaxAge or ReasonGPU
	// Of ReasonGPU alone:
	Restart bool      // it is not stopped but started again without its devices
	Unused  time.Time // since when the devices were not used
	Kept    bool      // a person kept it before in this run, and nobody can once more
}

// MayKeep reports whether a person can put the end off.
func (n Notice) MayKeep() bool {
	return n.Reason == ReasonIdle || n.Reason == ReasonGPU && !n.Kept
}

// Culler looks after idle servers. Make it with New. It holds nothing that would be
// missed after a restart: an end that was announced is then announced again, and what must
// not be forgotten is in Config.Memory.
type Culler struct {
	cfg Config

	mu       sync.Mutex // guards all below
	watched  map[ident.Key]*watch
	recalled map[ident.Key]store.GPUUse // what an earlier process knew of runs not seen yet
	anyGPU   bool                       // a server holds a device that others cannot have meanwhile
	gpuMute  bool                       // it was said already that devices cannot be looked at
}

// watch is what the Culler knows of one run of a server.
type watch struct {
	started time.Time
	alive   time.Time // last seen busy, active or wanted
	notice  Notice    // zero: none
	cpu     sample
	gpu     gpuWatch
	mute    bool // it was said already that the server cannot be asked
	unruled bool // it was said already that no rule for it is known
}

// New makes a Culler.
func New(cfg Config) (*Culler, error) {
	if cfg.Servers == nil || cfg.Ask == nil || cfg.Policy == nil || cfg.Log == nil || cfg.Every <= 0 {
		return nil, errors.New("cannot make the culler: servers, asker, policy, log and a time above zero between " +
			"looks are required")
	}
	if cfg.BusyCPU <= 0 {
		cfg.Usage = nil
	}
	if cfg.BusyGPU <= 0 {
		cfg.GPUs = nil
	}
	return &Culler{cfg: cfg, watched: map[ident.Key]*watch{}, recalled: map[ident.Key]store.GPUUse{}}, nil
}

// Notices returns the ends that stand announced.
func (c *Culler) Notices() map[ident.Key]Notice {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[ident.Key]Notice{}
	for key, w := range c.watched {
		if !w.notice.At.IsZero() {
			all[key] = w.notice
		}
	}
	return all
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

// Keep takes a person's wish to keep a server as activity now. It does not help against
// its age. An unused GPU is kept once in a run; then Keep fails with ErrKeptBefore.
func (c *Culler) Keep(key ident.Key) error {
	now := time.Now()
	kept, err := c.keep(key, now)
	if err != nil {
		return err
	}
	if kept != nil {
		c.save(context.Background(), *kept)
	}
	if c.cfg.Touch != nil {
		c.cfg.Touch(key, now)
	}
	return nil
}

// keep withdraws the notice that stands, and gives what is to be written down of it.
func (c *Culler) keep(key ident.Key, now time.Time) (kept *store.GPUUse, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.watched[key]
	if w == nil {
		return nil, nil
	}
	if w.notice.Reason == ReasonGPU {
		if !w.gpu.kept.IsZero() {
			return nil, ErrKeptBefore
		}
		w.gpu.kept = now
		use := w.remember(key)
		kept = &use
	}
	w.alive = now
	if w.notice.MayKeep() {
		w.notice = Notice{}
	}
	return kept, nil
}

// Run looks at the servers until ctx ends.
func (c *Culler) Run(ctx context.Context) {
	c.recall(ctx)
	tick, gpus := time.NewTicker(c.cfg.Every), time.NewTicker(gpuEvery)
	defer tick.Stop()
	defer gpus.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.look(ctx)
		case <-gpus.C:
			if c.holdsGPU() {
				c.lookAtGPUs(ctx)
			}
		}
	}
}

// holdsGPU reports whether there are devices to look at between two looks at the servers.
func (c *Culler) holdsGPU() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.anyGPU
}

// atOnce is how many servers are looked at at the same time, so that one that hangs does
// not hold up the others.
const atOnce = 8

// look looks once at all servers that are ready.
func (c *Culler) look(ctx context.Context) {
	var ready []servers.Server
	for _, s := range c.cfg.Servers.List() {
		if s.State == servers.Ready {
			ready = append(ready, s)
		}
	}
	c.forget(ready)
	c.lookAtGPUs(ctx)
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, s := range ready {
		group.Go(func() error {
			c.lookAt(ctx, s)
			return nil
		})
	}
	_ = group.Wait() // no function gives an error
}

// forget drops what is known of servers that do not run, or not any more the same run,
// and makes room for the others.
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

// lookAt decides about one server and does it. The server is asked only where its answer
// matters: when it would be announced or stopped if it did not work.
func (c *Culler) lookAt(ctx context.Context, s servers.Server) {
	policy, err := c.cfg.Policy(ctx, s.Key.User)
	if c.ruleless(s.Key, err) {
		return
	}
	busy := busier(c.processor(ctx, s.Key), c.devices(s.Key))
	if busy == No && c.peek(policy, s).Act != Keep {
		busy = c.ask(ctx, s.Key)
	}
	if ctx.Err() != nil {
		return // an answer that was cut off says nothing
	}
	switch d := c.settle(policy, s, busy); d.Act {
	case Cull:
		c.stop(ctx, s.Key, d.Reason)
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

// startAgain starts a server that was stopped to give its devices back.
func (c *Culler) startAgain(s servers.Server) {
	err := errors.New("nothing is set that starts servers")
	if c.cfg.StartWithoutGPUs != nil {
		err = c.cfg.StartWithoutGPUs(s.Key, s.Profile)
	}
	switch {
	case errors.Is(err, servers.ErrActive): // its owner was faster
	case err != nil:
		c.warn(s.Key, "cannot start a server again without GPU", "server-restart-failed", err)
	default:
		c.event(s.Key, "started a server again without GPU", "server-restarted", ReasonGPU)
	}
}

// ruleless reports whether there is no rule for a server, and says it once.
func (c *Culler) ruleless(key ident.Key, err error) bool {
	c.mu.Lock()
	w := c.watched[key]
	said := w.unruled
	w.unruled = err != nil
	c.mu.Unlock()
	if err != nil && !said {
		c.warn(key, "cannot tell which rule holds for a server; it is kept", "server-cull-unruled", err)
	}
	return err != nil
}

// peek is what would be decided if the server did not work.
func (c *Culler) peek(p Policy, s servers.Server) Decision {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.decide(p, s, No)
}

// decide is Decide with what is known now. c.mu is held.
func (c *Culler) decide(p Policy, s servers.Server, busy Busy) Decision {
	w := c.watched[s.Key]
	o := Observation{Started: s.Started, LastActivity: s.LastActivity, Busy: busy, Announced: w.notice.At,
		Reason:   w.notice.Reason,
		HoldsGPU: w.gpu.now.holds, GPUUsed: w.gpu.unused()}
	if !s.LastActivity.After(s.Started) && c.cfg.Traffic != nil {
		o.LastActivity = c.cfg.Traffic(s.Key)
	}
	o.LastActivity = later(o.LastActivity, w.alive)
	return Decide(time.Now(), p, o)
}

// settle decides, and notes what was decided.
func (c *Culler) settle(p Policy, s servers.Server, busy Busy) Decision {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.decide(p, s, busy)
	w := c.watched[s.Key]
	before := w.notice
	if busy == Yes {
		w.alive = time.Now()
	}
	w.notice = Notice{At: d.At, Reason: d.Reason}
	if d.Reason == ReasonGPU {
		w.notice.Restart, w.notice.Unused, w.notice.Kept = p.GPURestart, later(w.started, w.gpu.used),
			!w.gpu.kept.IsZero()
	}
	switch {
	case d.Act == Announce && before != w.notice:
		message := "a server will be stopped"
		if w.notice.Restart {
			message = "a server will be started again without GPU"
		}
		c.event(s.Key, message, "server-cull-notice", d.Reason, "at", d.At.UTC().Format(time.RFC3339))
	case d.Act == Keep && before != w.notice:
		c.event(s.Key, "a server will not be stopped after all", "server-cull-withdrawn", before.Reason)
	}
	return d
}

// stop stops a server and reports whether it did. The next look tries again what failed.
func (c *Culler) stop(ctx context.Context, key ident.Key, reason string) bool {
	err := c.cfg.Servers.Stop(ctx, key)
	switch {
	case errors.Is(err, servers.ErrNotActive), err != nil && ctx.Err() != nil:
		return false
	case err != nil:
		c.warn(key, "cannot stop an idle server", "server-cull-failed", err)
		return false
	}
	c.event(key, "stopped a server", "server-culled", reason)
	if c.cfg.OnCull != nil {
		c.cfg.OnCull(reason)
	}
	return true
}

func (c *Culler) event(key ident.Key, message, event, reason string, more ...any) {
	c.cfg.Log.Info(message, append([]any{"event", event, "user", key.User.String(), "unit", key.Unit(), "reason",
		reason}, more...)...)
}

func (c *Culler) warn(key ident.Key, message, event string, err error) {
	c.cfg.Log.Warn(message, "event", event, "user", key.User.String(), "unit", key.Unit(), "error", err.Error())
}
