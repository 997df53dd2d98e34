// Package origins knows under which web origin (RFC 6454) the hub's pages, each member's servers and each service are
// reached: all under one, or each member and service under its own, as JupyterHub's subdomain_host has it. It must
// never take a Host that a client sent for more than a name to compare.
package origins

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// User stands for a member in the pattern of origins.
const User = "{user}"

// Origins are the origins of one hub. The zero Origins have one for all, whose name is not known.
type Origins struct {
	hub    string // "https://hub.example.org"; "" if not known
	suffix string // ".hub.example.org" or ".hub.example.org:8443"; "" where all have one origin
	scheme string
}

// New reads the public URL of the hub ("" if not known) and the pattern of the members' origins, such as
// "https://{user}.hub.example.org" ("" where all have one origin).
func New(publicURL, pattern string) (Origins, error) {
	o := Origins{}
	if publicURL != "" {
		u, err := url.Parse(publicURL)
		if err != nil {
			return o, fmt.Errorf("cannot use the public URL: %w", err)
		}
		o.hub, o.scheme = u.Scheme+"://"+canonical(u.Scheme, u.Host), u.Scheme
	}
	if pattern == "" {
		return o, nil
	}
	if o.hub == "" {
		return o, errors.New("needs http.public_url, where the hub itself is reached")
	}
	rest, ok := strings.CutPrefix(pattern, o.scheme+"://"+User+".")
	if !ok {
		return o, fmt.Errorf(`must begin with "%s://%s.", as in "%[1]s://%[2]s.hub.example.org"`, o.scheme, User)
	}
	u, err := url.Parse(o.scheme + "://" + rest)
	if err != nil || u.Host != rest || u.Hostname() == "" || strings.ContainsAny(rest, "{}") {
		return o, errors.New("must be an origin: scheme, {user}, domain and, where it is not the usual one, a port")
	}
	if net.ParseIP(u.Hostname()) != nil {
		return o, errors.New("must end in a domain: an address has no names below it")
	}
	o.suffix = "." + canonical(o.scheme, u.Host)
	return o, nil
}

// Separate reports whether each member has an origin of their own.
func (o Origins) Separate() bool { return o.suffix != "" }

// Hub returns the origin of the hub's pages and of its API, "" if it is not known.
func (o Origins) Hub() string { return o.hub }

// Server returns the origin of a member's servers.
func (o Origins) Server(u ident.User) string {
	if !o.Separate() {
		return o.hub
	}
	at := o.scheme + "://" + label(u.String()) + o.suffix
	if at == o.hub { // an account "hub" beside https://hub.example.org, with https://{user}.example.org
		at = o.scheme + "://" + hashed(u.String()) + o.suffix
	}
	return at
}

// Service returns the origin of a service that the hub proxies.
func (o Origins) Service(name string) string {
	if !o.Separate() {
		return o.hub
	}
	return o.scheme + "://" + label(name) + ofService + o.suffix
}

// ofService ends the label of a service. No member's ends so: what is after their "--" is a hash.
const ofService = "--service"

// Trusted reports whether an origin is the hub's or a service's, whose pages no member writes.
func (o Origins) Trusted(scheme, host string) bool {
	host = canonical(o.scheme, host)
	return scheme == o.scheme && (o.Is(o.hub, host) || o.Below(host) &&
		strings.HasSuffix(strings.TrimSuffix(host, o.suffix), ofService))
}

// Is reports whether the Host of a request is that of an origin.
func (o Origins) Is(origin, host string) bool {
	return origin != "" && origin == o.scheme+"://"+canonical(o.scheme, host)
}

// Below reports whether a Host has the form of a member's or a service's; whose it is shows in a request's path.
func (o Origins) Below(host string) bool {
	name, ok := strings.CutSuffix(canonical(o.scheme, host), o.suffix)
	return o.Separate() && ok && name != "" && !strings.Contains(name, ".")
}

// canonical returns a host in lower case and without its scheme's usual port.
func canonical(scheme, host string) string {
	host = strings.ToLower(host)
	usual := ":443"
	if scheme == "http" {
		usual = ":80"
	}
	return strings.TrimSuffix(host, usual)
}

const (
	maxLabel = 63 // RFC 1035, 2.3.4
	stub     = 8  // characters of a name that cannot be a label, for people
	digest   = 7  // hexadecimal digits
)

// label returns the DNS label of a name: the name itself where it is one, else a stub of it and a hash. The rule is
// that of JupyterHub 5 (subdomain_hook_idna), so that addresses stay the same. "--" is kept for such labels. DNS knows
// no case, so a name with capital letters is no label.
func label(name string) string {
	if isLabel(name) && !strings.Contains(name, "--") {
		return name
	}
	return hashed(name)
}

// hashed is a label that no other name has.
func hashed(name string) string {
	sum := sha256.Sum256([]byte(name))
	short := ""
	for _, c := range strings.ToLower(name) {
		if len(short) < stub && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9') {
			short += string(c)
		}
	}
	if short == "" {
		short = "x"
	}
	return "u-" + short + "--" + hex.EncodeToString(sum[:])[:digest]
}

// isLabel reports whether a name is a DNS label that no address is mistaken for.
func isLabel(name string) bool {
	if name == "" || len(name) > maxLabel || name[0] == '-' || name[len(name)-1] == '-' {
		return false
	}
	digits := true
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
		digits = digits && c >= '0' && c <= '9'
	}
	return !digits
}
