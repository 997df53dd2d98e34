// Package visitors bounds what one client address may hold open at the hub without a session or token: connections, and
// requests at once. It must never limit people who are signed in, nor an address of a proxy in front of the hub, behind
// which everybody is.
package visitors

import (
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// sayEvery is how often the log says that somebody was refused.
const sayEvery = time.Minute

// Config is what Visitors need.
type Config struct {
	// Max is how many connections, and how many requests at once, an address may have. Below 1 there is no bound.
	Max int
	// Trusted are the addresses of proxies in front of the hub.
	Trusted []netip.Prefix
	// Client returns from which address a request came, as a trusted proxy says. Required.
	Client func(*http.Request) string
	// Known reports whether a request shows a session or token that is good. It is asked only when an address has more
	// than half of what it may have, so it may cost something. Required.
	Known func(*http.Request) bool
	// Log receives refusals. Required.
	Log *slog.Logger
}

// Visitors counts. Make it with New.
type Visitors struct {
	cfg Config

	mu       sync.Mutex // guards all below
	open     map[netip.Prefix]*count
	said     time.Time // when a refusal was logged
	refusals int       // since then
}

// count is what an address has open without a session.
type count struct{ conns, requests int }

// kind is one of the numbers of a count.
type kind func(*count) *int

func conns(c *count) *int    { return &c.conns }
func requests(c *count) *int { return &c.requests }

// New makes Visitors.
func New(cfg Config) (*Visitors, error) {
	if cfg.Client == nil || cfg.Known == nil || cfg.Log == nil {
		return nil, errors.New("cannot bound visitors: Client, Known and Log are required")
	}
	return &Visitors{cfg: cfg, open: map[netip.Prefix]*count{}}, nil
}

// whose returns by what an address is counted: itself, or its network of 64 bits in IPv6, of which every host has all
// addresses. ok is false for what is not counted.
func (v *Visitors) whose(addr netip.Addr) (key netip.Prefix, ok bool) {
	addr = addr.WithZone("").Unmap()
	if v.cfg.Max < 1 || !addr.IsValid() {
		return key, false
	}
	for _, p := range v.cfg.Trusted {
		if p.Contains(addr) {
			return key, false
		}
	}
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	key, err := addr.Prefix(bits)
	return key, err == nil
}

// enter counts one more, and returns whether there may be one more, and whether more than half are in use.
func (v *Visitors) enter(key netip.Prefix, of kind) (may, crowded bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.open[key]
	if c == nil {
		c = &count{}
		v.open[key] = c
	}
	*of(c)++
	return *of(c) <= v.cfg.Max, 2*max(c.conns, c.requests) > v.cfg.Max
}

// leave counts one less.
func (v *Visitors) leave(key netip.Prefix, of kind) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.open[key]
	if *of(c)--; *c == (count{}) {
		delete(v.open, key)
	}
}

// refused logs a refusal, or counts it until the next may be logged.
func (v *Visitors) refused(key netip.Prefix, what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refusals++
	if now := time.Now(); now.Sub(v.said) > sayEvery {
		v.cfg.Log.Warn("an address holds too much open without a session; refused more of it", "event",
			"visitors-refused", "address", key.String(), "what", what, "max", v.cfg.Max, "refusals", v.refusals)
		v.said, v.refusals = now, 0
	}
}
