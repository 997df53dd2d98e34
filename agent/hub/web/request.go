package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
)

// wantsJSON reports whether a program asks, not a person: a path of an API, a WebSocket,
// or a client that takes JSON and no HTML.
func wantsJSON(base string, r *http.Request) bool {
	accept := r.Header.Get("Accept")
	switch {
	case r.Header.Get("Upgrade") != "", apiPath(base, r.URL.EscapedPath()):
		return true
	case strings.Contains(accept, "text/html"):
		return false
	}
	return strings.Contains(accept, "application/json") || r.Header.Get("Sec-Fetch-Dest") == "empty"
}

// apiPath reports whether a path is one of the hub's API or of a server's:
// BASE/[hub/]user/NAME/[SERVER/]api/…. The OAuth provider's authorize lies below the API
// but is a page: browsers are sent there by servers (RFC 6749, 4.1.1).
func apiPath(base, path string) bool {
	rest := strings.TrimPrefix(strings.TrimPrefix(path, base), "hub/")
	parts := strings.SplitN(rest, "/", 5)
	if parts[0] == "user" {
		return slices.Contains(parts[min(2, len(parts)):min(4, len(parts))], "api")
	}
	return parts[0] == "api" && rest != "api/oauth2/authorize" && len(rest) < len(path)-len(base)
}

// navigation reports whether a browser asks for a page to show, and so may be sent to
// another one.
func navigation(base string, r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "", "document", "iframe", "frame", "embed", "object":
		return (r.Method == http.MethodGet || r.Method == http.MethodHead) && !wantsJSON(base, r)
	}
	return false
}

// deliberate reports whether a GET may change something because its person meant it: a
// link of this site, a bookmark or a typed address, but no other site's link and no
// picture or frame (Fetch Metadata). Browsers without these headers count as meaning it.
func deliberate(r *http.Request) bool {
	in := func(header string, allowed ...string) bool {
		return slices.Contains(append(allowed, ""), r.Header.Get(header))
	}
	return r.Method == http.MethodGet && in("Sec-Fetch-Site", "same-origin", "none") &&
		in("Sec-Fetch-Mode", "navigate") && in("Sec-Fetch-Dest", "document") &&
		r.Header.Get("Sec-Purpose") == "" // a prefetch is nobody's wish yet
}

// safeNext is the path on this host to which a request asks to be sent on, "" when it
// asks for none or for one that is not safe.
func safeNext(next string) string { return login.SafeNext(next, "") }

// redirect leaves the target as it is; http.Redirect would tidy double slashes in the
// path of a notebook. Callers make it from a fixed prefix or from safeNext.
func redirect(w http.ResponseWriter, status int, target string) {
	var b strings.Builder
	for i := range len(target) { // a header holds ASCII alone
		if c := target[i]; c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	w.Header().Set("Location", b.String())
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
}

// withQuery appends a request's query as it came.
func withQuery(target string, r *http.Request) string {
	if r.URL.RawQuery == "" {
		return target
	}
	return target + "?" + r.URL.RawQuery
}

// public is the address of a path for use elsewhere than in this browser. host stands
// for the hub's where that is not known.
func (s *Web) public(path, host string) string {
	if s.cfg.PublicURL == "" {
		return host + path
	}
	return s.cfg.PublicURL + strings.TrimPrefix(path, s.cfg.BaseURL)
}

// addSlash sends hub to hub/.
func (s *Web) addSlash(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	redirect(w, http.StatusFound, withQuery(s.hub, r))
	return nil
}

// prefixRedirect sends every path that is not the hub's to the same path below hub/
// (JupyterHub's PrefixRedirectHandler).
func (s *Web) prefixRedirect(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	if !navigation(s.cfg.BaseURL, r) {
		return errNotFound()
	}
	path := r.URL.EscapedPath()
	rest, below := strings.CutPrefix(path, s.cfg.BaseURL)
	if !below && path+"/" == s.cfg.BaseURL {
		rest = ""
	}
	redirect(w, http.StatusFound, withQuery(s.hub+strings.TrimLeft(rest, "/"), r))
	return nil
}
