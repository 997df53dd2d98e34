// Package accounting counts the hours that servers use: time of GPUs and processors, memory and running time, by user
// and calendar month. It asks the backend what runs and who holds which device, reads the counters that its caller
// supplies, and adds up in the database. It must never count the same time twice, even when two processes count. It
// must never decide anything: no server starts or ends because of what it finds.
package accounting

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// runner is the backend. It knows what runs and who holds which device.
type runner interface {
	List(ctx context.Context) ([]backend.Server, error)
	GPUs(ctx context.Context) (backend.GPUs, error)
}

// records is the database with the sums.
type records interface {
	Account(ctx context.Context, key ident.Key, next func(last store.Reading, ok bool) (*store.Reading,
		[]store.Spent)) error
	Readings(ctx context.Context) ([]store.Reading, error)
	DropReading(ctx context.Context, key ident.Key, started time.Time) error
}

// Config is what an Accountant needs. All fields are required except where noted.
type Config struct {
	Backend runner
	Records records
	// Counters reads the counters of a server's processes; ok is false when they are gone.
	Counters func(ctx context.Context, key ident.Key) (c Counters, ok bool)
	// Every is how often servers that run are accounted for. Optional: 30 seconds.
	Every time.Duration
	Now   func() time.Time // optional: time.Now
	Log   *slog.Logger
}

// Bounds of the accountant's work.
const (
	defaultEvery = 30 * time.Second
	// maxNews is how many changes of servers may wait. The next turn handles any others.
	maxNews = 256
	// lost is the age of a reading whose server no longer runs and whose end was not seen.
	lost = 5 * time.Minute
)

// news is a change of a server that must be accounted for at once.
type news struct {
	run
	at    time.Time
	ended bool
}

// run is one run of a server.
type run struct {
	key     ident.Key
	started time.Time
	devices []string // qualified CDI names of the devices that it holds
}

// Accountant accounts for servers. Make it with New.
type Accountant struct {
	cfg  Config
	news chan news
	// Used by Run alone:
	mute   bool               // the failure to account has been logged
	shares map[string]float64 // what holding a device counts, by its name, for devices seen so far
}

// New makes an Accountant.
func New(cfg Config) (*Accountant, error) {
	if cfg.Backend == nil || cfg.Records == nil || cfg.Counters == nil || cfg.Log == nil {
		return nil, errors.New("cannot make the accountant: backend, records, counters and log are required")
	}
	if cfg.Every <= 0 {
		cfg.Every = defaultEvery
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Accountant{cfg: cfg, news: make(chan news, maxNews), shares: map[string]float64{}}, nil
}

// Changed takes a server's change of state. It returns at once and calls nobody, as servers.Config.OnTransition must.
// Run reads what it recorded.
func (a *Accountant) Changed(s servers.Server, from servers.State) {
	n := news{run: run{s.Key, s.Started, s.Devices}, at: s.Since}
	switch {
	case s.State == servers.Waiting, s.State == servers.Ready && from != servers.Waiting, s.State == servers.Stopping:
	case !s.State.Active() && from.Active():
		n.ended = true
	default:
		return
	}
	select {
	case a.news <- n:
	default:
	}
}

// Run accounts for the servers until ctx ends.
func (a *Accountant) Run(ctx context.Context) {
	a.turn(ctx)
	tick := time.NewTicker(a.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.turn(ctx)
		case n := <-a.news:
			a.take(ctx, n)
		}
	}
}

// take accounts for a server that has just begun, begins to end, or has ended. Its work does not grow with the number
// of servers.
func (a *Accountant) take(ctx context.Context, n news) {
	if n.ended {
		a.trouble(ctx, a.close(ctx, n))
		return
	}
	counters := a.counters(ctx, n.key) // read first: the counters of an ending server vanish soon
	gpus, known := a.known(n.devices)
	if !known {
		gpus = held(a.holders(ctx, true), n.run)
	}
	a.trouble(ctx, a.account(ctx, n.run, gpus, counters))
}

// known returns what holding the devices counts; it is false where one of them was never seen.
func (a *Accountant) known(devices []string) (sum float64, ok bool) {
	for _, name := range devices {
		one, ok := a.shares[name]
		if !ok {
			return 0, false
		}
		sum += one
	}
	return sum, true
}

// close accounts for a server until its end.
func (a *Accountant) close(ctx context.Context, n news) error {
	var started time.Time
	err := a.cfg.Records.Account(ctx, n.key, func(last store.Reading, ok bool) (*store.Reading, []store.Spent) {
		if !ok || last.Started.After(n.at) {
			return nil, nil // there is none, or it belongs to a run that began since
		}
		started = last.Started
		return next(last, ok, observation{key: n.key, started: started, at: n.at, gpus: -1})
	})
	if err != nil || started.IsZero() {
		return err
	}
	return a.cfg.Records.DropReading(ctx, n.key, started)
}

// turn accounts for all servers that run.
func (a *Accountant) turn(ctx context.Context) {
	list, err := a.cfg.Backend.List(ctx)
	if err != nil {
		a.trouble(ctx, err)
		return
	}
	list = slices.DeleteFunc(list, func(s backend.Server) bool { return s.State == backend.Queued })
	gpus := a.holders(ctx, slices.ContainsFunc(list, func(s backend.Server) bool { return len(s.Devices) > 0 }))
	for _, s := range list {
		r := run{s.Key, s.Started, s.Devices}
		err = errors.Join(err, a.account(ctx, r, held(gpus, r), a.counters(ctx, s.Key)))
	}
	a.trouble(ctx, errors.Join(err, a.forget(ctx, list)))
}

// holders returns who holds which device: nil when unknown or when no device is held. Servers are then accounted for
// with the devices that they held before.
func (a *Accountant) holders(ctx context.Context, any bool) *backend.GPUs {
	if !any {
		return nil
	}
	gpus, err := a.cfg.Backend.GPUs(ctx)
	if err != nil {
		return nil
	}
	clear(a.shares)
	for _, d := range gpus.Devices {
		a.shares[d.Name] = share(d)
	}
	return &gpus
}

// counters returns a server's counters; nil when they are gone.
func (a *Accountant) counters(ctx context.Context, key ident.Key) *Counters {
	if c, ok := a.cfg.Counters(ctx, key); ok {
		return &c
	}
	return nil
}

// account accounts for a server that holds gpus devices; below 0: nobody knows now.
func (a *Accountant) account(ctx context.Context, r run, gpus float64, c *Counters) error {
	if r.started.IsZero() {
		return nil
	}
	return a.save(ctx, observation{key: r.key, started: r.started, at: a.cfg.Now(), gpus: gpus, counters: c})
}

// held returns how many devices a server holds, below 0 where nobody knows.
func held(gpus *backend.GPUs, r run) float64 {
	switch {
	case len(r.devices) == 0:
		return 0
	case gpus == nil:
		return -1
	}
	return leased(*gpus, r.key)
}

func (a *Accountant) save(ctx context.Context, o observation) error {
	return a.cfg.Records.Account(ctx, o.key, func(last store.Reading, ok bool) (*store.Reading, []store.Spent) {
		return next(last, ok, o)
	})
}

// leased returns how many devices a server holds so that others cannot have them.
func leased(g backend.GPUs, key ident.Key) float64 {
	n := 0.0
	for _, d := range g.Devices {
		for _, h := range d.Holders {
			if h.Key == key {
				n += share(d)
			}
		}
	}
	return n
}

// share returns what holding a device counts: a device for several servers counts by its places, one that is open to
// all does not count.
func share(d backend.Device) float64 {
	switch {
	case d.Sharing == backend.Open:
		return 0
	case d.Sharing == backend.Shared && d.Places > 1:
		return 1 / float64(d.Places)
	}
	return 1
}

// forget drops the readings of servers whose end nobody saw. What they used after their last reading is not known.
func (a *Accountant) forget(ctx context.Context, list []backend.Server) error {
	now := a.cfg.Now()
	runs := map[ident.Key]bool{}
	for _, s := range list {
		runs[s.Key] = true
	}
	all, err := a.cfg.Records.Readings(ctx)
	for _, r := range all {
		if !runs[r.Key] && now.Sub(r.At) > lost {
			err = errors.Join(err, a.cfg.Records.DropReading(ctx, r.Key, r.Started))
		}
	}
	return err
}

// trouble logs once that servers cannot be accounted for. A failed turn loses nothing: the next one counts from the
// last successful turn.
func (a *Accountant) trouble(ctx context.Context, err error) {
	said := a.mute
	a.mute = err != nil
	if err != nil && !said && ctx.Err() == nil {
		a.cfg.Log.Warn("cannot account for what servers use; trying again", "event", "accounting-failed", "error",
			err.Error())
	}
}
