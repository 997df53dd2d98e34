// Package gpus knows the state of the GPUs: the backend's last answer, read at most every two seconds however many
// pages, scrapes and commands need it, and texts about it for people. It makes texts from a vendor's tool or a member's
// process printable. It must never read the host's files, decide who gets a device, or make a page wait for long or
// fail.
package gpus

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

const (
	fresh = 2 * time.Second // how long an answer is good for, a failure too
	wait  = 2 * time.Second // how long the backend has for one
	slack = time.Second     // how much longer a caller waits, such as for a bus that hangs
)

var errSilent = errors.New("the backend does not answer")

// source knows the devices and who holds them.
type source interface {
	GPUs(ctx context.Context) (backend.GPUs, error)
}

// Config is what a Desk needs. All fields are required except where noted.
type Config struct {
	Backend source
	// UserName returns the name of a Unix uid. Its error means that no name is known.
	UserName func(ctx context.Context, uid uint32) (string, error)
	Log      *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Desk answers questions about the devices. It is safe for concurrent use.
type Desk struct {
	cfg    Config
	flight singleflight.Group // one question to the backend at a time
	users  users

	mu   sync.Mutex // guards all below
	at   time.Time  // when the backend was asked; zero for never
	last backend.GPUs
	err  error
	any  bool // the last good answer had something in it
}

// New makes a Desk; nothing is asked yet.
func New(cfg Config) (*Desk, error) {
	if cfg.Backend == nil || cfg.UserName == nil || cfg.Log == nil {
		return nil, errors.New("cannot report GPUs: a backend, names of users and a log are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Desk{cfg: cfg}, nil
}

// GPUs returns the backend's last answer, at most two seconds old. Callers share the answer and must not change it.
// After an error it is empty.
func (d *Desk) GPUs(ctx context.Context) (backend.GPUs, error) {
	if g, ok, err := d.known(); ok {
		return g, err
	}
	ask := context.WithoutCancel(ctx) // others wait for the answer too
	answer := d.flight.DoChan("", func() (any, error) { d.ask(ask); return nil, nil })
	patience := time.NewTimer(wait + slack)
	defer patience.Stop()
	select {
	case <-answer:
	case <-patience.C:
		d.note(backend.GPUs{}, errSilent)
	case <-ctx.Done():
		return backend.GPUs{}, ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last, d.err
}

// known returns the last answer, and whether it is fresh.
func (d *Desk) known() (g backend.GPUs, ok bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	age := d.cfg.Now().Sub(d.at)
	return d.last, !d.at.IsZero() && age >= 0 && age < fresh, d.err
}

func (d *Desk) ask(ctx context.Context) {
	if _, ok, _ := d.known(); ok {
		return // another caller's question was answered between ours and now
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	d.note(d.cfg.Backend.GPUs(ctx))
}

// note records an answer. It logs once that the backend is silent, not at each page.
func (d *Desk) note(g backend.GPUs, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil && (d.err == nil || d.err.Error() != err.Error()) {
		d.cfg.Log.Warn("cannot read who holds which GPU", "event", "gpus-unknown", "error", err.Error())
	}
	d.at, d.err, d.last = d.cfg.Now(), err, backend.GPUs{}
	if err == nil {
		d.last = harmless(g)
		d.any = len(g.Devices)+len(g.Broken) > 0
	}
}

// Any reports whether the backend's last answer contained devices or broken specifications.
func (d *Desk) Any() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.any
}

// Held returns the devices that a server holds, by name; none while that is unknown.
func (d *Desk) Held(ctx context.Context, key ident.Key) []string {
	g, _ := d.GPUs(ctx)
	return g.Held(key)
}
