// Package cookies has the names of all cookies that the hub sets. It takes them out of what is passed on to servers
// and services, and expires what a browser should not have. It must never read a cookie's value, and never let through
// to a server or service what opens the hub.
package cookies

import (
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"net/http"
	"strings"
)

// SessionID is JupyterHub's name for the cookie that every server and service of the hub reads as the key of its cached
// answers (jupyterhub/services/auth.py). It grants nothing, and its name is the same for every hub.
const SessionID = "jupyterhub-session-id"

// The beginnings of the other names, after the prefix. Everything that begins so is a hub's.
const (
	login   = "jupyterhub-hub-login" // JupyterHub's name
	attempt = login + "-attempt"
	server  = "gifford-server"
)

// prefixes are those to which browsers attach rules (draft-ietf-httpbis-rfc6265bis, 4.1.3). Of them "__Http-" and
// "__Host-Http-" can be set by an answer alone, not by a script. The longer of two that begin alike stands first.
var prefixes = [...]string{"__host-http-", "__host-", "__http-", "__secure-"} // read only

// Names are the names of one hub. Hubs under several base URLs on one host share none but SessionID.
type Names struct {
	base   string
	hub    string // the end of each name; "" for the base URL "/"
	login  string // asked for at each request
	secure bool
}

// New returns the names of the hub at a base URL, a path with a slash at both ends. secure says that browsers reach it
// by https: without that no prefix can be used.
func New(baseURL string, secure bool) Names {
	n := Names{base: baseURL, secure: secure}
	if baseURL != "/" {
		n.hub = "-" + short(baseURL)
	}
	n.login = n.host(login)
	return n
}

// short is a hash for a name. It tells a few names apart and keeps nothing secret.
func short(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}

// Secure reports whether browsers reach the hub by https.
func (n Names) Secure() bool { return n.secure }

// Login returns the name of the hub's session. Browsers take it from an answer of this host alone: no script, no other
// host of the domain and no page below a path can set one that the hub would read.
func (n Names) Login() string { return n.login }

// Attempt returns the name of a sign-in that has begun. The state comes from a URL, so the name has only a hash of it.
func (n Names) Attempt(state string) string { return n.host(attempt) + "-" + short(state) }

// host is a name that belongs to this host as a whole, where browsers can hold to it.
func (n Names) host(name string) string {
	if n.secure {
		return "__Host-Http-" + name + n.hub
	}
	return name + n.hub
}

// HostPath returns the path of the cookies of Login and Attempt: "/" where the prefix of their names asks for it, else
// the path below which they are needed.
func (n Names) HostPath(needed string) string {
	if n.secure {
		return "/"
	}
	return needed
}

// Server returns the name of the cookie that lets a browser through to the server at a path, such as "/user/alice/",
// which is the cookie's Path. Each server has a name of its own, since browsers send the cookie of a default server to
// the owner's other servers too.
func (n Names) Server(path string) string {
	name := server + n.hub + "-" + short(path)
	if n.secure {
		return "__Http-" + name
	}
	return name
}

// Ours reports whether a name is one that a hub sets, this one or another on the host, now or before an upgrade. Case
// makes no difference: browsers apply the rules of prefixes without regard to it.
func Ours(name string) bool {
	return strings.EqualFold(bare(name), SessionID) || opens(name)
}

// opens reports whether a cookie of that name opens anything at a hub.
func opens(name string) bool {
	b := bare(name)
	return hasPrefixFold(b, login) || hasPrefixFold(b, server)
}

// bare is a name without the white space around it and without its prefix.
func bare(name string) string {
	name = strings.TrimFunc(name, func(c rune) bool { return c <= ' ' || c == 0x7f })
	for _, p := range prefixes {
		if hasPrefixFold(name, p) {
			return name[len(p):]
		}
	}
	return name
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// Strip takes the cookies out of a request's headers that open anything at a hub, before it is passed on to a server or
// a service. SessionID stays, and so does every other byte. Cookies end at each semicolon, whatever quotes stand around
// it: programs that read quotes could otherwise take a hub's cookie for the value of one that a page has set.
func Strip(h http.Header) {
	if !Open(h) {
		return
	}
	var kept []string
	for _, line := range h["Cookie"] {
		if line = strip(line); line != "" {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept // a new slice: the request that came in shares the old one
}

// Open reports whether a request's headers have a cookie that opens anything at a hub.
func Open(h http.Header) bool {
	for pair := range Pairs(h) {
		if opens(nameOf(pair)) {
			return true
		}
	}
	return false
}

// Pairs yields the cookies of a request's headers as they came: "NAME=VALUE", with white space around both, and texts
// without "=".
func Pairs(h http.Header) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range h["Cookie"] {
			for pair := range strings.SplitSeq(line, ";") {
				if !yield(pair) {
					return
				}
			}
		}
	}
}

// Size returns how much of cookies a request brings, in bytes.
func Size(h http.Header) (size int) {
	for _, line := range h["Cookie"] {
		size += len(line)
	}
	return size
}

func strip(line string) string {
	var kept []string
	for pair := range strings.SplitSeq(line, ";") {
		if !opens(nameOf(pair)) {
			kept = append(kept, pair)
		}
	}
	return strings.TrimSpace(strings.Join(kept, ";"))
}

// nameOf returns the name in a pair of the Cookie header, with what white space is in it.
func nameOf(pair string) string {
	name, _, _ := strings.Cut(pair, "=")
	return name
}
