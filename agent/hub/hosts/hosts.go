// Package hosts knows by which names browsers reach the hub. It is the one place for them: a page of another name that
// leads to the hub's address (DNS rebinding) is none of the hub's, and its script must get nothing. It must never ask a
// name service, nor believe a name because a request has it.
package hosts

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Set is the names of one hub. The zero value has none. It does not change.
type Set struct {
	public string // the URL that people type, for messages
	below  func(string) bool
	names  map[string]bool
}

// Config is what a Set is made of.
type Config struct {
	PublicURL string   // the hub's own; "" when it is not known
	Others    []string // names and addresses by which it is reached as well, without ports
	// Below reports whether a Host has the form of a member's or service's origin. Optional.
	Below func(host string) bool
}

// New returns the names of a hub.
func New(c Config) Set {
	s := Set{public: c.PublicURL, below: c.Below, names: map[string]bool{}}
	if u, err := url.Parse(c.PublicURL); err == nil && u.Hostname() != "" {
		s.names[canonical(u.Hostname())] = true
	}
	for _, name := range c.Others {
		s.names[canonical(name)] = true
	}
	return s
}

// Public returns the URL that people type.
func (s Set) Public() string { return s.public }

// Has reports whether the value of a Host header (RFC 9110, 7.2) names this hub. The port may be any: another host's
// page has another name, and firewalls and balancers change ports. A hub without a name is reached by all.
func (s Set) Has(host string) bool {
	if len(s.names) == 0 {
		return true
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), ""
	}
	return strings.Trim(port, "0123456789") == "" && s.names[canonical(name)] || s.below != nil && s.below(host)
}

// canonical is a name in lower case, or an address in its one form.
func canonical(name string) string {
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.Unmap().String()
	}
	return strings.ToLower(name)
}
