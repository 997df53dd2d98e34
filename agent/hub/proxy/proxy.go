// Package proxy passes requests below /user/ on to the servers: HTTP in both directions as a stream, and WebSockets. It
// holds the routes, counts open requests, ends what is open by the hub's own rules, and confines what others than its
// owner get of a server. It must never decide who may open a server: package gate does, and the single-user server asks
// the hub as well. It must never trust a client's claim of where it comes from. It must never send a byte to an address
// before the address itself has checked who listens there.
package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Config is what a Proxy needs.
type Config struct {
	// BaseURL is the path below which the hub lives, with a slash at both ends, as
	// JupyterHub's base_url; "" means "/".
	BaseURL string
	// Origins says whether servers share the hub's origin. The zero value says that they do.
	Origins origins.Origins
	// TrustedProxies are the addresses whose X-Forwarded-* headers are believed. It is empty when clients reach the hub
	// directly.
	TrustedProxies []netip.Prefix
	// Log receives refusals and failures. Required.
	Log *slog.Logger
	// MaxIdle is how many unused connections stay open to each server; 0 means 8.
	MaxIdle int
	// MaxOpen is how many requests to one server or service may be open, WebSockets included. Each has a connection to
	// it. 0 means 1024.
	MaxOpen int
	// MaxWait is how long further requests wait until one of them ends, and are then refused; 0 means ten seconds.
	MaxWait time.Duration
	// IdleTimeout ends an unused connection to a server; 0 means one minute, far below
	// the hour after which Tornado would (so that the two never race).
	IdleTimeout time.Duration
}

// Proxy holds the routes and their open connections. Make it with New. Handler passes requests on.
type Proxy struct {
	cfg     Config
	prefix  []string // the segments of BaseURL, and "user"
	buffers *buffers

	mu     sync.Mutex // guards all below
	routes map[ident.Key]*route
	open   map[*session]struct{}
	// sockets counts the WebSockets in open.
	sockets openCount
}

// New checks cfg and makes a Proxy without routes.
func New(cfg Config) (*Proxy, error) {
	if cfg.Log == nil {
		return nil, errors.New("cannot make the proxy: Log is required")
	}
	if cfg.BaseURL == "" {
		cfg.BaseURL = "/"
	}
	if !strings.HasPrefix(cfg.BaseURL, "/") || !strings.HasSuffix(cfg.BaseURL, "/") {
		return nil, fmt.Errorf("cannot make the proxy: base URL %q must begin and end with a slash", cfg.BaseURL)
	}
	setDefault(&cfg.MaxIdle, 8)
	setDefault(&cfg.MaxOpen, 1024)
	setDefault(&cfg.MaxWait, 10*time.Second)
	setDefault(&cfg.IdleTimeout, time.Minute)
	p := &Proxy{cfg: cfg, buffers: newBuffers(), routes: map[ident.Key]*route{}, open: map[*session]struct{}{}}
	if inner := strings.Trim(cfg.BaseURL, "/"); inner != "" {
		p.prefix = strings.Split(inner, "/")
	}
	p.prefix = append(p.prefix, "user")
	return p, nil
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// SetRoute sends requests for key to an address. The same route again changes nothing; another one replaces the old as
// if it had been deleted.
func (p *Proxy) SetRoute(key ident.Key, to backend.Address) {
	p.mu.Lock()
	old := p.routes[key]
	if old != nil && old.to == to {
		p.mu.Unlock()
		return
	}
	p.routes[key] = p.newRoute(key, to)
	p.mu.Unlock()
	p.retire(old)
}

// DeleteRoute removes the route of key and ends its connections, open requests and WebSockets included. A key without a
// route is no error.
func (p *Proxy) DeleteRoute(key ident.Key) {
	p.mu.Lock()
	old := p.routes[key]
	delete(p.routes, key)
	p.mu.Unlock()
	p.retire(old)
}

// Lookup returns where the requests for key go; ok is false when it has no route.
func (p *Proxy) Lookup(key ident.Key) (backend.Address, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r, ok := p.routes[key]; ok {
		return r.to, true
	}
	return backend.Address{}, false
}

// retire ends everything that runs over a removed route.
func (p *Proxy) retire(old *route) {
	if old == nil {
		return
	}
	for _, s := range p.sessions(func(s *session) bool { return s.route == old }) {
		s.end(errRouteGone)
	}
	old.transport.CloseIdleConnections()
}

// find returns the route for a target's path: the named server's route if there is one, otherwise the default server's.
// The default server's own paths may begin with any segment.
func (p *Proxy) find(t Target) *route {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !t.Server.IsDefault() {
		if r, ok := p.routes[ident.Key{User: t.User, Server: t.Server}]; ok {
			return r
		}
	}
	return p.routes[ident.Key{User: t.User}]
}
