package cull

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/servers"
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
	// Policy gives what holds for a person. On an error nothing of theirs is stopped.
	Policy func(ctx context.Context, user ident.User) (Policy, error)
	// Every is how often the servers are looked at.
	Every time.Duration
	// Usage gives the processor time that a server has used since it started; ok is false
	// where nobody knows. It is the hosts' matter how it is found out. Optional.
	Usage func(ctx context.Context, key ident.Key) (cpu time.Duration, ok bool)
	// BusyCPU is the share of one core, 0.05 for 5 %, from which on a server is busy
	// whatever it says; 0: Usage is not asked.
	BusyCPU float64
	// Traffic gives when data last passed to a server, for those that have never reported
	// activity. Optional.
	Traffic func(key ident.Key) time.Time
	// Touch records that a person wanted a server kept. Optional.
	Touch func(key ident.Key, at time.Time)
	// OnCull is called with the reason of each server stopped, for counters. Optional.
	OnCull func(reason string)
	Log    *slog.Logger
}

// Notice is the end that a server's people were told.
type Notice struct {
	At     time.Time
	Reason string // ReasonIdle or ReasonMaxAge
}

// Culler looks after idle servers. Make it with New. It holds nothing that would be
// missed after a restart: an end that was announced is then announced anew.
type Culler struct {
	cfg Config

	mu      sync.Mutex // guards all below
	watched map[ident.Key]*watch
}

// watch is what the Culler knows of one run of a server.
type watch struct {
	started time.Time
	alive   time.Time // last seen busy, active or wanted
	notice  Notice    // zero: none
	cpu     sample
	mute    bool // it was said already that the server cannot be asked
	unruled bool // it was said already that no rule for it is known
}

// New makes a Culler.
func New(cfg Config) (*Culler, error) {
	if cfg.Servers == nil || cfg.Ask == nil || cfg.Policy == nil || cfg.Log == nil || cfg.Every <= 0 {
		return nil, errors.New("cannot make the culler: servers, asker, policy, log and a time above zero between looks are required")
	}
	if cfg.BusyCPU <= 0 {
		cfg.Usage = nil
	}
	return &Culler{cfg: cfg, watched: map[ident.Key]*watch{}}, nil
}

// Notices gives the ends that stand announced.
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

// Notice gives the end announced for one server.
func (c *Culler) Notice(key ident.Key) (n Notice, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.watched[key]; w != nil {
		n = w.notice
	}
	return n, !n.At.IsZero()
}

// Keep takes a person's wish to keep a server as activity now. It does not help against
// its age.
func (c *Culler) Keep(key ident.Key) {
	now := time.Now()
	c.mu.Lock()
	if w := c.watched[key]; w != nil {
		w.alive = now
		if w.notice.Reason == ReasonIdle {
			w.notice = Notice{}
		}
	}
	c.mu.Unlock()
	if c.cfg.Touch != nil {
		c.cfg.Touch(key, now)
	}
}

// Run looks at the servers until ctx ends.
func (c *Culler) Run(ctx context.Context) {
	tick := time.NewTicker(c.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.look(ctx)
		}
	}
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
			c.watched[key] = &watch{started: started}
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
	busy := c.processor(ctx, s.Key)
	if busy == No && c.peek(policy, s).Act != Keep {
		busy = c.ask(ctx, s.Key)
	}
	if ctx.Err() != nil {
		return // an answer that was cut off says nothing
	}
	if d := c.settle(policy, s, busy); d.Act == Cull {
		c.stop(ctx, s.Key, d.Reason)
	}
}

// ruleless tells whether there is no rule for a server, and says it once.
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
	o := Observation{Started: s.Started, LastActivity: s.LastActivity, Busy: busy, Announced: w.notice.At}
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
	switch {
	case d.Act == Announce && before != w.notice:
		c.event(s.Key, "a server will be stopped", "server-cull-notice", d.Reason, "at", d.At.UTC().Format(time.RFC3339))
	case d.Act == Keep && before != w.notice:
		c.event(s.Key, "a server will not be stopped after all", "server-cull-withdrawn", before.Reason)
	}
	return d
}

// stop stops a server. The next look tries again what failed.
func (c *Culler) stop(ctx context.Context, key ident.Key, reason string) {
	err := c.cfg.Servers.Stop(ctx, key)
	switch {
	case errors.Is(err, servers.ErrNotActive), err != nil && ctx.Err() != nil:
		return
	case err != nil:
		c.warn(key, "cannot stop an idle server", "server-cull-failed", err)
		return
	}
	c.event(key, "stopped a server", "server-culled", reason)
	if c.cfg.OnCull != nil {
		c.cfg.OnCull(reason)
	}
}

func (c *Culler) event(key ident.Key, message, event, reason string, more ...any) {
	c.cfg.Log.Info(message, append([]any{"event", event, "user", key.User.String(), "unit", key.Unit(), "reason", reason}, more...)...)
}

func (c *Culler) warn(key ident.Key, message, event string, err error) {
	c.cfg.Log.Warn(message, "event", event, "user", key.User.String(), "unit", key.Unit(), "error", err.Error())
}
