package proxy

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// Upstream is a service, which somebody else runs.
type Upstream struct {
	Name string
	// URL is where it listens: http://HOST:PORT, https://HOST:PORT or unix:/PATH.
	URL string
	// Unavailable answers when it does not. Required.
	Unavailable func(w http.ResponseWriter, r *http.Request, status int)
}

// ForService gives a handler that passes requests on to a service the way requests for
// servers go: path, query and Host as they came, forwarding headers from our own
// knowledge, both ways as a stream, WebSockets included. What is open over it counts and
// ends with what is open to the servers.
func (p *Proxy) ForService(u Upstream) (http.Handler, error) {
	to, err := url.Parse(u.URL)
	if err != nil {
		return nil, fmt.Errorf("service %q: %w", u.Name, err)
	}
	r := &route{service: u.Name, unavailable: u.Unavailable}
	r.transport = p.newTransport(func(ctx context.Context, network, addr string) (net.Conn, error) {
		if to.Scheme == "unix" {
			network, addr = "unix", to.Path
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	})
	r.handler = p.newHandler(r, func(pr *httputil.ProxyRequest) {
		p.rewrite(pr)
		if to.Scheme != "unix" {
			pr.Out.URL.Scheme, pr.Out.URL.Host = to.Scheme, to.Host
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { p.pass(w, req, r) }), nil
}
