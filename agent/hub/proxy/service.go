package proxy

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// Upstream is a service, which the hub does not run itself.
type Upstream struct {
	Name string
	// URL is where it listens: http://HOST:PORT, https://HOST:PORT or unix:/PATH.
	URL string
	// Dial connects to it; network is "tcp" or "unix". Optional.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Unavailable answers when it does not. Required.
	Unavailable func(w http.ResponseWriter, r *http.Request, status int)
}

// Service passes requests on to one service. Make it with ForService.
type Service struct {
	proxy       *Proxy
	route       *route
	unavailable unavailable
}

// ForService returns a handler that passes requests on to a service as the proxy does to servers: path, query and Host
// as they came, forwarding headers from what the hub itself knows, both ways as a stream, WebSockets included. What is
// open to the service counts and ends with what is open to the servers.
func (p *Proxy) ForService(u Upstream) (*Service, error) {
	to, err := url.Parse(u.URL)
	if err != nil {
		return nil, fmt.Errorf("service %q: %w", u.Name, err)
	}
	if u.Dial == nil {
		u.Dial = new(net.Dialer).DialContext
	}
	r := &route{service: u.Name, prefix: p.cfg.BaseURL + "services/" + u.Name + "/",
		slots: make(chan struct{}, p.cfg.MaxOpen)}
	r.transport = p.newTransport(func(ctx context.Context, network, addr string) (net.Conn, error) {
		if to.Scheme == "unix" {
			network, addr = "unix", to.Path
		}
		return u.Dial(ctx, network, addr)
	})
	r.handler = p.newHandler(r, func(pr *httputil.ProxyRequest) {
		p.rewrite(pr)
		if to.Scheme != "unix" {
			pr.Out.URL.Scheme, pr.Out.URL.Host = to.Scheme, to.Host
		}
	})
	return &Service{p, r, u.Unavailable}, nil
}

// ServeHTTP passes a request on.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.proxy.pass(w, r, s.route, nil, s.unavailable)
}

// Close ends everything that is open to the service, for a service that is gone or has moved.
func (s *Service) Close() {
	s.proxy.mu.Lock()
	s.route.closed = true
	s.proxy.mu.Unlock()
	s.proxy.retire(s.route)
}
