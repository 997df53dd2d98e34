package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/login"
	"github.com/gifford-lab/gifford-hub/agent/servers"
)

const (
	// maxRedirects is how often a browser is sent back to a server whose route is not
	// there yet (JupyterHub's user_redirect_limit is alike).
	maxRedirects = 4
	// retryAfter is when clients should ask again for a server on its way, in seconds.
	retryAfter = "5"
)

// userPath is hub/user/NAME/…, where browsers come that asked for a server without a
// route (JupyterHub's UserUrlHandler).
func (s *Web) userPath(m login.Member, w http.ResponseWriter, r *http.Request) error {
	key, err := ident.ParseKey(r.PathValue("user"), "")
	if err != nil || key.User != m.User && !m.Admin {
		return errNotFound() // the same for a user who is not there
	}
	srv := s.cfg.Servers.Get(key)
	if srv.State == servers.Ready && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		return s.backToServer(m, w, r, key)
	}
	if !navigation(s.cfg.BaseURL, r) {
		s.down(w, r, key, srv.State)
		return nil
	}
	asked := withQuery(s.serverPath(r, key), withoutRedirects(r))
	if srv.State != servers.Stopped {
		redirect(w, http.StatusSeeOther, s.pendingURL(key, safeNext(asked)))
		return nil
	}
	return s.notRunning(m, w, r, srv, safeNext(asked))
}

// serverPath is the path on the server that a path below hub/user/ stands for. It
// begins with the server's own prefix, whatever else the request has.
func (s *Web) serverPath(r *http.Request, key ident.Key) string {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.EscapedPath(), s.hub), "/", 3)
	rest := ""
	if len(parts) == 3 {
		rest = strings.TrimLeft(parts[2], "/")
	}
	return s.prefix(key) + rest
}

// withoutRedirects is the request less our own counter.
func withoutRedirects(r *http.Request) *http.Request {
	q := r.URL.Query()
	if !q.Has("redirects") {
		return r
	}
	q.Del("redirects")
	u := *r.URL
	u.RawQuery = q.Encode()
	return &http.Request{URL: &u}
}

// backToServer sends a browser to its server, a little later each time it comes back,
// and gives up when the route does not come.
func (s *Web) backToServer(m login.Member, w http.ResponseWriter, r *http.Request, key ident.Key) error {
	n, err := strconv.Atoi(r.URL.Query().Get("redirects"))
	if err != nil || n < 0 {
		n = 0
	}
	if n > maxRedirects {
		return &httpx.Error{Status: http.StatusInternalServerError, Public: "redirect loop detected: the server is ready but its address leads back to the hub",
			Hint: "stop the server on the home page and start it again"}
	}
	if n > 0 && !sleep(r, 50*time.Millisecond<<n) {
		return nil
	}
	s.audit(r, m, OpenServer, key, nil)
	q := r.URL.Query()
	q.Set("redirects", strconv.Itoa(n+1))
	redirect(w, http.StatusFound, s.serverPath(r, key)+"?"+q.Encode())
	return nil
}

// sleep waits and tells whether the client is still there.
func sleep(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-r.Context().Done():
		return false
	case <-t.C:
		return true
	}
}

// down tells a program that a server does not run, in JupyterHub's words, which
// JupyterLab shows to its person.
func (s *Web) down(w http.ResponseWriter, r *http.Request, key ident.Key, state servers.State) {
	if state.Active() && (r.Method == http.MethodGet || r.Method == http.MethodHead || state != servers.Ready) {
		w.Header().Set("Retry-After", retryAfter)
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"message": fmt.Sprintf("JupyterHub server at %s is %s.", key.Path(), words(state))})
		return
	}
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, s.cfg.BaseURL), "hub/")
	writeJSON(w, http.StatusFailedDependency, map[string]string{"message": fmt.Sprintf(
		"JupyterHub server no longer running at /%s. Restart the server at %s", path, s.spawnURL(key))})
}

func words(state servers.State) string {
	if state == servers.Stopping {
		return "stopping"
	}
	return "starting"
}

// userRedirect sends hub/user-redirect/PATH to PATH on one's own server, started if
// need be: an address that works for everybody.
func (s *Web) userRedirect(m login.Member, w http.ResponseWriter, r *http.Request) error {
	rest := strings.TrimPrefix(r.URL.EscapedPath(), s.hub+"user-redirect")
	next := withQuery(s.prefix(ident.Key{User: m.User})+strings.TrimLeft(rest, "/"), r)
	redirect(w, http.StatusFound, s.spawnURL(ident.Key{User: m.User})+"?"+url.Values{"next": {next}}.Encode())
	return nil
}

// Unrouted answers requests for a server that has no route. It knows no session, as
// the hub's cookie is not sent there: pages are redirected to where it is, and programs
// get an answer that is the same for a stopped server and for a user who is not there.
func (s *Web) Unrouted() http.Handler {
	return s.headers(s.serve(route{access: Anyone, handler: (*Web).unrouted}))
}

func (s *Web) unrouted(m login.Member, w http.ResponseWriter, r *http.Request) error {
	if navigation(s.cfg.BaseURL, r) {
		return s.prefixRedirect(m, w, r)
	}
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, s.cfg.BaseURL), "/", 3)
	if parts[0] != "user" || len(parts) < 2 {
		return errNotFound()
	}
	key, err := ident.ParseKey(parts[1], "")
	if err != nil {
		return errNotFound()
	}
	s.down(w, r, key, s.cfg.Servers.Get(key).State)
	return nil
}

// Unavailable answers for a server that has a route but gave no answer, with the status
// that the proxy chose (502 or 503).
func (s *Web) Unavailable(w http.ResponseWriter, r *http.Request, key ident.Key, status int) {
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	s.Error(w, r, &httpx.Error{Status: status, Public: fmt.Sprintf("the server of %s does not answer", key.User),
		Hint: "load the page again in a moment; if it stays so, stop the server on the home page and start it again"})
}
