package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/gate"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

const (
	// maxRedirects is how often a browser is redirected back to a server whose route does not exist yet (JupyterHub's
	// user_redirect_limit).
	maxRedirects = 4
	// retryAfter is the time in seconds after which clients should ask again for a server that is starting.
	retryAfter = "5"
)

// userPath is hub/user/NAME/…, to which browsers are redirected from a server without a route (JupyterHub's
// UserUrlHandler).
func (s *Web) userPath(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, rest, err := s.locate(r, s.hub, s.exists)
	if err != nil {
		return err
	}
	if !m.MayServer(key, scopes.AccessServers) {
		return errNotFound() // the same for a user who does not exist
	}
	srv := s.cfg.Servers.Get(key)
	if srv.State == servers.Ready && !changes(r) {
		return s.backToServer(m, w, r, key, rest)
	}
	if !navigation(s.cfg.BaseURL, r) {
		s.down(w, r, key, srv.State)
		return nil
	}
	query, _ := gate.Clean(r.URL.RawQuery)
	asked := httpx.WithQuery(s.prefix(key)+rest, query)
	if srv.State != servers.Stopped {
		httpx.Redirect(w, http.StatusSeeOther, s.pendingURL(key, safeNext(asked)))
		return nil
	}
	return s.notRunning(m, w, r, srv, safeNext(asked))
}

// locate returns the server that a path PREFIXuser/USER/… leads to, and the path on it with its escapes: USER/NAME/…
// is the named server if isServer reports that it exists, else a path of the default server.
func (s *Web) locate(r *http.Request, prefix string, isServer func(r *http.Request, key ident.Key, rest string) (bool,
	error)) (ident.Key, string, error) {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.EscapedPath(), prefix), "/", 4)
	if parts[0] != "user" || len(parts) < 2 {
		return ident.Key{}, "", errNotFound()
	}
	name, _ := url.PathUnescape(parts[1]) // of a URL that has been parsed, so it is well escaped
	key, err := ident.ParseKey(name, "")
	if err != nil {
		return key, "", errNotFound()
	}
	rest := strings.TrimLeft(strings.Join(parts[2:], "/"), "/")
	if len(parts) == 2 || parts[2] == "" {
		return key, rest, nil
	}
	name, _ = url.PathUnescape(parts[2])
	named, err := ident.ParseKey(key.User.String(), name)
	if err != nil {
		return key, rest, nil // no server has this name, so it is a path
	}
	below := ""
	if len(parts) == 4 {
		below = strings.TrimLeft(parts[3], "/")
	}
	if is, err := isServer(r, named, below); err != nil || is {
		return named, below, err
	}
	return key, rest, nil
}

// exists reports whether a server exists: the default one always, a named one that is active or in the database.
func (s *Web) exists(r *http.Request, key ident.Key, _ string) (bool, error) {
	if key.Server.IsDefault() || s.cfg.Servers.Get(key).State.Active() {
		return true, nil
	}
	_, known, err := s.record(r.Context(), key)
	return known, err
}

// looksNamed is exists for people without a session, who must not learn which servers exist: the API of a server is at
// its api/, so what precedes that is taken for a name.
func (s *Web) looksNamed(_ *http.Request, key ident.Key, rest string) (bool, error) {
	return s.cfg.Servers.Get(key).State.Active() || key.Server.String() != "api" &&
		(rest == "api" || strings.HasPrefix(rest, "api/")), nil
}

// backToServer redirects a browser to its server with a ticket, for which it gets the server's cookie. Where the server
// is another's, it asks first, once in a session. It waits longer each time that the browser comes back, and fails when
// the route does not appear.
func (s *Web) backToServer(m access.Subject, w http.ResponseWriter, r *http.Request, key ident.Key, rest string) error {
	query, n := gate.Clean(r.URL.RawQuery)
	if n > maxRedirects {
		return &httpx.Error{Status: http.StatusInternalServerError,
			Public: "redirect loop detected: the server is ready but its address leads back to the hub",
			Hint:   "stop the server on the home page and start it again"}
	}
	path := s.prefix(key) + rest
	agreed, err := s.cfg.Actions.Agreed(r.Context(), m, key)
	if err != nil {
		return err
	}
	if !agreed {
		return s.askToOpen(m, w, r, key, httpx.WithQuery(path, query))
	}
	if n > 0 && !sleep(r, 50*time.Millisecond<<n) {
		return nil
	}
	if err := s.cfg.Actions.OpenServer(r.Context(), m, key); err != nil {
		return inOurWords(err)
	}
	httpx.Redirect(w, http.StatusFound, s.cfg.Gate.Address(m.SessionID, key, path, query, n+1))
	return nil
}

// sleep waits, and reports whether the client is still there.
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

// down answers a program for a server that does not run, in JupyterHub's words, which JupyterLab shows.
func (s *Web) down(w http.ResponseWriter, r *http.Request, key ident.Key, state servers.State) {
	if state.Active() && (!changes(r) || state != servers.Ready) {
		w.Header().Set("Retry-After", retryAfter)
		writeJSON(w, http.StatusServiceUnavailable,
			map[string]string{"message": fmt.Sprintf("JupyterHub server at %s is %s.", key.Path(), words(state))})
		return
	}
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, s.cfg.BaseURL), "hub/")
	writeJSON(w, http.StatusFailedDependency, map[string]string{"message": fmt.Sprintf(
		"JupyterHub server no longer running at /%s. Restart the server at %s", path, s.spawnURL(key))})
}

// words is the state of an active server for programs.
func words(state servers.State) string {
	if state == servers.Stopping {
		return "stopping"
	}
	return "starting"
}

// userRedirect redirects hub/user-redirect/PATH to PATH on one's own server, by way of its start: an address that works
// for everybody.
func (s *Web) userRedirect(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	rest := strings.TrimPrefix(r.URL.EscapedPath(), s.hub+"user-redirect")
	next := httpx.WithQuery(s.prefix(ident.Key{User: m.User})+strings.TrimLeft(rest, "/"), r.URL.RawQuery)
	httpx.Redirect(w, http.StatusFound, s.spawnURL(ident.Key{User: m.User})+"?"+url.Values{"next": {next}}.Encode())
	return nil
}

// Unrouted answers requests for a server that has no route. It has no session, as browsers do not send the hub's cookie
// there: pages are redirected to where they do, and programs get an answer that is the same for a stopped server and
// for a user who does not exist.
func (s *Web) Unrouted() http.Handler {
	return s.headers(s.serve(route{audience: Anyone, reader: Anything, handler: (*Web).unrouted}))
}

func (s *Web) unrouted(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if navigation(s.cfg.BaseURL, r) {
		return s.prefixRedirect(m, w, r)
	}
	return s.stateFor(w, r, s.cfg.BaseURL)
}

// stateForPrograms is unrouted for hub/user/NAME/…, to which some programs let themselves be redirected.
func (s *Web) stateForPrograms(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	return s.stateFor(w, r, s.hub)
}

// stateFor answers a program for a server without a route. prefix is what precedes "user/" in the path.
func (s *Web) stateFor(w http.ResponseWriter, r *http.Request, prefix string) error {
	key, _, err := s.locate(r, prefix, s.looksNamed)
	if err != nil {
		return err
	}
	s.down(w, r, key, s.cfg.Servers.Get(key).State)
	return nil
}

// Unavailable answers for a server that has a route but did not answer, with the status that the proxy chose (502 or
// 503).
func (s *Web) Unavailable(w http.ResponseWriter, r *http.Request, key ident.Key, status int) {
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	name := "the server"
	if !key.Server.IsDefault() {
		name += " " + key.Server.String()
	}
	s.Error(w, r, &httpx.Error{Status: status, Public: fmt.Sprintf("%s of %s does not answer", name, key.User),
		Hint: "load the page again in a moment; if it stays so, stop the server on the home page and start it again"})
}
