package proxy

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/cookies"
)

// origin is where a request came from, as far as the hub can know.
type origin struct {
	addr  string // the client's IP address
	proto string // "http" or "https"
	host  string // the Host that the client asked for
	port  string // the port that the client asked for
}

// rewrite makes the request for the server: the same path and query to the byte, the same Host, and forwarding headers
// from what the hub itself knows. What opens the hub in the visitor's browser is taken out.
func (p *Proxy) rewrite(pr *httputil.ProxyRequest) {
	out := pr.Out
	out.URL.Scheme, out.URL.Host = "http", "server" // the route's transport dials its own address, whatever this says
	out.URL.Opaque = rawPath(pr.In)
	out.URL.RawQuery = pr.In.URL.RawQuery // ReverseProxy has dropped what Go cannot parse
	out.URL.ForceQuery = pr.In.URL.ForceQuery
	out.Host = pr.In.Host
	cookies.Strip(out.Header)
	from, trusted := p.origin(pr.In)
	withoutClaims(out.Header)
	out.Trailer = nil // ReverseProxy passes on their names without the values
	if fwd, sent := pr.In.Header["Forwarded"]; trusted && sent {
		out.Header["Forwarded"] = fwd
	}
	out.Header.Set("X-Forwarded-For", from.addr)
	out.Header.Set("X-Real-Ip", from.addr)
	out.Header.Set("X-Forwarded-Proto", from.proto)
	out.Header.Set("X-Scheme", from.proto)
	out.Header.Set("X-Forwarded-Host", from.host)
	out.Header.Set("X-Forwarded-Port", from.port)
}

// origin returns where r came from, and whether it came through a trusted proxy.
func (p *Proxy) origin(r *http.Request) (origin, bool) {
	o := origin{addr: peer(r), proto: "http", host: r.Host}
	if r.TLS != nil {
		o.proto = "https"
	}
	trusted := p.trusts(o.addr)
	if trusted {
		o = p.believe(o, r.Header)
	}
	if o.port == "" {
		o.port = portOf(o.host, o.proto)
	}
	return o, trusted
}

// Client returns the IP address from which a request came: that of the connection's other end or, where this is a
// trusted proxy, the one that it states.
func (p *Proxy) Client(r *http.Request) string {
	from, _ := p.origin(r)
	return from.addr
}

// believe applies the headers of a trusted proxy. In a header that is a list, the proxy next to the hub wrote the last
// value. Earlier values may be the client's.
func (p *Proxy) believe(o origin, h http.Header) origin {
	hops := list(h, "X-Forwarded-For")
	for i := len(hops) - 1; i >= 0 && p.trusts(o.addr); i-- {
		addr, err := netip.ParseAddr(hops[i])
		if err != nil {
			break
		}
		o.addr = addr.Unmap().String()
	}
	for _, name := range []string{"X-Forwarded-Proto", "X-Scheme"} {
		if proto := strings.ToLower(last(h, name)); proto == "http" || proto == "https" {
			o.proto = proto
			break
		}
	}
	if host := last(h, "X-Forwarded-Host"); host != "" {
		o.host = host
	}
	o.port = last(h, "X-Forwarded-Port")
	return o
}

// trusts reports whether addr is that of a trusted proxy.
func (p *Proxy) trusts(addr string) bool {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return false
	}
	for _, prefix := range p.cfg.TrustedProxies {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// peer returns the address of the connection's other end, without a zone.
func peer(r *http.Request) string {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return ap.Addr().Unmap().WithZone("").String()
}

// portOf returns the port in a Host header, or the one that its scheme implies.
func portOf(host, proto string) string {
	if _, port, err := net.SplitHostPort(host); err == nil && port != "" {
		return port
	}
	if proto == "https" {
		return "443"
	}
	return "80"
}

// list returns all values of a header that is a comma-separated list.
func list(h http.Header, name string) []string {
	var words []string
	for _, line := range h.Values(name) {
		for word := range strings.SplitSeq(line, ",") {
			words = append(words, strings.TrimSpace(word))
		}
	}
	return words
}

// last returns the last value of such a list, "" if there is none.
func last(h http.Header, name string) string {
	words := list(h, name)
	if len(words) == 0 {
		return ""
	}
	return words[len(words)-1]
}
