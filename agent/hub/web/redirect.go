package web

import (
	"net/http"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
)

// safeNext returns next where that is a path on this host, else "".
func safeNext(next string) string { return login.SafeNext(next, "") }

// public is the URL of a path for use outside of this browser. host stands for the hub's host where the settings do not
// name it.
func (s *Web) public(path, host string) string {
	if s.cfg.PublicURL == "" {
		return host + path
	}
	return s.cfg.PublicURL + strings.TrimPrefix(path, s.cfg.BaseURL)
}

// addSlash redirects hub to hub/.
func (s *Web) addSlash(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	httpx.Redirect(w, http.StatusFound, httpx.WithQuery(s.hub, r.URL.RawQuery))
	return nil
}

// prefixRedirect redirects every path outside of hub/ to the same path below hub/ (JupyterHub's PrefixRedirectHandler).
func (s *Web) prefixRedirect(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	if !navigation(s.cfg.BaseURL, r) {
		return errNotFound()
	}
	path := r.URL.EscapedPath()
	rest, below := strings.CutPrefix(path, s.cfg.BaseURL)
	if !below && path+"/" == s.cfg.BaseURL {
		rest = ""
	}
	httpx.Redirect(w, http.StatusFound, httpx.WithQuery(s.hub+strings.TrimLeft(rest, "/"), r.URL.RawQuery))
	return nil
}
