package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// wantsJSON reports whether a program asks, not a person: by a path of an API, by a WebSocket, or by a client that
// takes JSON and no HTML.
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

// apiPath reports whether a path is one of the hub's API or of a server's API: BASE/[hub/]user/NAME/[SERVER/]api/….
// The OAuth provider's authorize is below the API but is a page, to which servers redirect browsers (RFC 6749, 4.1.1).
func apiPath(base, path string) bool {
	rest := strings.TrimPrefix(strings.TrimPrefix(path, base), "hub/")
	parts := strings.SplitN(rest, "/", 5)
	if parts[0] == "user" {
		return slices.Contains(parts[min(2, len(parts)):min(4, len(parts))], "api")
	}
	return parts[0] == "api" && rest != "api/oauth2/authorize" && len(rest) < len(path)-len(base)
}

// navigation reports whether a browser asks for a page to show, and so may be redirected.
func navigation(base string, r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "", "document", "iframe", "frame", "embed", "object":
		return !changes(r) && !wantsJSON(base, r)
	}
	return false
}

// typed reports whether no page leads here: a bookmark or a typed address, perhaps by way of redirects. Only such a
// GET may do something by itself; a page of a server can pretend to be any other of its origin
// (history.pushState).
func typed(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return r.Header.Get("Sec-Purpose") == "" && // nobody has asked for a prefetch
		(site == "none" || site == "" && r.Referer() == "")
}

// deliberate reports whether a GET may sign somebody out: a typed address, a link of the hub, or one of a server of
// their own, whose menu has it. Of other people's servers, and of other sites, it believes nothing; a server whose page
// hides that it is one can annoy, as it can by other means.
func (s *Web) deliberate(m access.Subject, r *http.Request) bool {
	from, err := url.Parse(r.Referer())
	switch site := r.Header.Get("Sec-Fetch-Site"); {
	case typed(r):
		return true
	case r.Header.Get("Sec-Purpose") != "":
		return false
	case err == nil && s.cfg.Origins.Separate() && site != "cross-site" &&
		from.Scheme+"://"+from.Host == s.cfg.Origins.Server(m.User):
		return true
	case site != "" && site != "same-origin", err != nil, !s.requests.OfHub(from, r):
		return false
	}
	path := from.EscapedPath()
	return strings.HasPrefix(path, s.hub) || strings.HasPrefix(path, s.prefix(ident.Key{User: m.User}))
}
