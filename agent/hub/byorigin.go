package hub

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/fetchmeta"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// byOrigin stands before routing.public where each member has an origin. A path that belongs to another origin than the
// one asked is redirected there, if a person navigates, and else refused in words: what is answered under an origin can
// be read by all pages of that origin.
type byOrigin struct {
	at   origins.Origins
	base string
	next http.Handler
}

// ServeHTTP answers one request.
func (b byOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	want := b.origin(r)
	switch {
	case b.at.Is(want, r.Host):
		b.next.ServeHTTP(w, r)
	case want != b.at.Hub() && b.at.Is(b.at.Hub(), r.Host) && byToken(r):
		b.next.ServeHTTP(w, r) // a program that knows only the hub's address; no page can be made to send this
	case fetchmeta.Navigates(r):
		httpx.Redirect(w, http.StatusFound, want+r.URL.RequestURI())
	default:
		httpx.JSONWords(w, "this address is answered at "+want+" alone", http.StatusMisdirectedRequest)
	}
}

// origin returns under which origin a path is answered: a member's for that member's servers, a service's, or the
// hub's.
func (b byOrigin) origin(r *http.Request) string {
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), b.base)
	if !ok {
		return b.at.Hub()
	}
	kind, rest, _ := strings.Cut(path, "/")
	escaped, _, _ := strings.Cut(rest, "/")
	name, err := url.PathUnescape(escaped)
	if err != nil || name == "" {
		return b.at.Hub()
	}
	switch kind {
	case "user":
		if u, err := ident.ParseUser(name); err == nil {
			return b.at.Server(u)
		}
	case "services":
		return b.at.Service(name)
	}
	return b.at.Hub()
}

// byToken reports whether a request shows a token in its header. A token in the query does not count: a link can have
// one, and its page would be shown under the hub's origin.
func byToken(r *http.Request) bool {
	return r.Header.Get("Authorization") != "" && r.Header.Get("Sec-Fetch-Mode") != "navigate"
}
