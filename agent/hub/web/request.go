package web

import (
	"net/http"
	"slices"
	"strings"
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

// apiPath reports whether a path is one of the hub's API or of a server's API: BASE/[hub/]user/NAME/[SERVER/]api/…. The
// OAuth provider's authorize is below the API but is a page, to which servers redirect browsers (RFC 6749, 4.1.1).
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
		return (r.Method == http.MethodGet || r.Method == http.MethodHead) && !wantsJSON(base, r)
	}
	return false
}

// deliberate reports whether a GET may change something because the user meant it (Fetch Metadata): a link of this
// site, a bookmark or a typed address, but no other site's link, no picture and no frame. Browsers without these
// headers may.
func deliberate(r *http.Request) bool {
	in := func(header string, allowed ...string) bool {
		return slices.Contains(append(allowed, ""), r.Header.Get(header))
	}
	return r.Method == http.MethodGet && in("Sec-Fetch-Site", "same-origin", "none") &&
		in("Sec-Fetch-Mode", "navigate") && in("Sec-Fetch-Dest", "document") &&
		r.Header.Get("Sec-Purpose") == "" // nobody has asked for a prefetch
}
