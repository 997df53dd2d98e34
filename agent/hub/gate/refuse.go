package gate

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/fetchmeta"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// onlyOwnersWorkers refuses a service worker: it would answer for pages that the browser then does not confine.
const onlyOwnersWorkers = "a service worker of a server runs in its owner's browser alone"

// forged returns why a request with a good cookie is refused all the same, "" for most. Browsers say of each request
// which page made it (Fetch Metadata), and on one origin others' pages send the cookie as well.
func (g *Gate) forged(r *http.Request, key ident.Key, owner bool) string {
	shown := navigates(r)
	switch site := r.Header.Get("Sec-Fetch-Site"); {
	case !owner && g.takesOver(r):
		return onlyOwnersWorkers
	case site == "cross-site" && !shown:
		return "this request came from another site"
	case site == "same-site" && !shown && g.cfg.Origins.Separate() && !g.fromHub(r):
		return "this request came from another origin of the hub"
	case site == "same-origin" && !shown && !g.cfg.Origins.Separate() && g.fromAnother(r.Header.Get("Referer"), key):
		return "this request came from the page of another member's server"
	}
	return ""
}

// takesOver reports whether the answer would be a service worker on an origin that servers share.
func (g *Gate) takesOver(r *http.Request) bool {
	return r.Header.Get("Service-Worker") != "" && !g.cfg.Origins.Separate()
}

// fromHub reports whether a request was made by a page of the hub's own or of a service. The origins of members are one
// site, so browsers send the cookies of each with requests of all. A page can hide its address, but not have another
// host's.
func (g *Gate) fromHub(r *http.Request) bool {
	from := r.Header.Get("Origin")
	if from == "" {
		from = r.Header.Get("Referer")
	}
	u, err := url.Parse(from)
	return err == nil && g.cfg.Origins.Trusted(u.Scheme, u.Host)
}

// fromAnother reports whether a Referer is a page of another member's server. A page can leave the header out or change
// it within the origin, so it proves nothing else.
func (g *Gate) fromAnother(referer string, key ident.Key) bool {
	_, rest, ok := strings.Cut(referer, "://")
	if !ok {
		return false
	}
	_, path, _ := strings.Cut(rest, "/")
	path, ok = strings.CutPrefix("/"+path, g.cfg.BaseURL+"user/")
	if !ok {
		return false
	}
	if end := strings.IndexAny(path, "/?#"); end >= 0 {
		path = path[:end]
	}
	name, err := url.PathUnescape(path)
	return err != nil || name != key.User.String()
}

// navigates reports whether a person goes to a page in a window of its own, which then has the address of the request.
func navigates(r *http.Request) bool {
	dest := r.Header.Get("Sec-Fetch-Dest")
	return fetchmeta.Navigates(r) && (dest == "document" || dest == "")
}

// refuse answers a request that nothing lets through: who goes to a page is redirected to the hub, which knows whom to
// ask what.
func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, key ident.Key, v verdict) {
	switch {
	case v == unknown:
		w.Header().Set("Retry-After", "5")
		answer(w, r, http.StatusServiceUnavailable, "the hub cannot find out now whether you may open this server; "+
			"try again in a moment")
	case navigates(r):
		g.toHub(w, r)
	default:
		answer(w, r, http.StatusForbidden, fmt.Sprintf("this needs a browser in which %s was opened through the hub, "+
			"or a token with the scope access:servers for it", g.name(key).path))
	}
}

// refuseFor answers a request that is refused for a reason of its own.
func (g *Gate) refuseFor(w http.ResponseWriter, r *http.Request, key ident.Key, why string) {
	g.cfg.Log.Warn("refused a request to a server", "event", "request-refused", "user", key.User.String(), "server",
		key.Server.String(), "reason", why)
	answer(w, r, http.StatusForbidden, why)
}

// toHub redirects to the same path and query below hub/.
func (g *Gate) toHub(w http.ResponseWriter, r *http.Request) {
	rest := strings.TrimPrefix(r.URL.EscapedPath(), g.cfg.BaseURL)
	hub := ""
	if g.cfg.Origins.Separate() {
		hub = g.cfg.Origins.Hub()
	}
	httpx.Redirect(w, http.StatusFound, httpx.WithQuery(hub+g.cfg.BaseURL+"hub/"+rest, r.URL.RawQuery))
}

// answer says in words why a request is refused: to programs in JSON as JupyterHub does, in a frame as text.
func answer(w http.ResponseWriter, r *http.Request, status int, words string) {
	w.Header().Set("Cache-Control", "no-store")
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "document", "iframe", "frame", "embed", "object":
		httpx.Words(w, words, status)
		return
	}
	httpx.JSONWords(w, words, status)
}
