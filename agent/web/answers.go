package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/login"
	"github.com/gifford-lab/gifford-hub/agent/servers"
)

// wantsJSON tells a program's request from a person's, as JupyterHub does: by its method,
// by what it accepts and by an API's path.
func wantsJSON(r *http.Request) bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header.Get("Upgrade") != "" ||
		strings.Contains(r.URL.Path, "/api/") || !strings.Contains(r.Header.Get("Accept"), "text/html")
}

func writeJSON(rw http.ResponseWriter, status int, message string) error {
	rw.Header().Set("Content-Type", "application/json")
	rw.Header().Set("Cache-Control", "no-store")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(map[string]any{"status": status, "message": message}) // an error means that the client is gone
	return nil
}

// gone answers a program whose server does not run (JupyterHub's 424), or not yet (503).
func (w *Web) gone(rw http.ResponseWriter, key ident.Key, s servers.Server) error {
	prefix := w.server(key)
	if s.State.Active() {
		rw.Header().Set("Retry-After", "2")
		return writeJSON(rw, http.StatusServiceUnavailable, "JupyterHub server at "+prefix+" is "+string(s.State)+"; ask again soon.")
	}
	return writeJSON(rw, http.StatusFailedDependency, "JupyterHub server no longer running at "+prefix+
		". Restart the server at "+w.path("hub/spawn/")+key.User.String())
}

// Unrouted answers what the proxy has no route for: people are sent to the page of the
// server, programs get their answer at once. Users that do not exist get the answers of
// servers that do not run.
func (w *Web) Unrouted() http.Handler {
	return w.headers(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rest := strings.TrimPrefix(r.URL.EscapedPath(), w.cfg.BaseURL)
		name, _, _ := strings.Cut(strings.TrimPrefix(rest, "user/"), "/")
		user, err := ident.ParseUser(name)
		switch {
		case err != nil:
			w.RenderError(rw, r, notFoundError())
		case wantsJSON(r):
			key := ident.Key{User: user}
			_ = w.gone(rw, key, w.cfg.Servers.Get(key)) // writes its own answer
		default:
			_ = redirect(rw, http.StatusFound, w.path("hub/")+strings.TrimPrefix(r.URL.RequestURI(), w.cfg.BaseURL))
		}
	}))
}

// Unavailable answers for a server that has its route and does not answer.
func (w *Web) Unavailable() http.Handler {
	return w.headers(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Retry-After", "5")
		w.RenderError(rw, r, &httpx.Error{Status: http.StatusServiceUnavailable, Public: "the server does not answer",
			Hint: "try again in a moment; if it stays so, stop and start the server from the home page"})
	}))
}

// RenderError answers with an error's public half: a page for people, JSON for programs.
// Who is not signed in is sent to sign in.
func (w *Web) RenderError(rw http.ResponseWriter, r *http.Request, err error) {
	httpx.LogFailure(w.cfg.Log, r, err)
	if errors.Is(err, login.ErrNoSession) && r.Method == http.MethodGet && !strings.Contains(r.URL.Path, "/api/kernels") {
		_ = redirect(rw, http.StatusFound, w.loginURL(r))
		return
	}
	e := httpx.Public(err)
	if wantsJSON(r) && !strings.Contains(r.Header.Get("Accept"), "text/html") {
		_ = writeJSON(rw, e.Status, e.Public)
		return
	}
	page := errorPage{Status: e.Status, Words: e.Public, Hint: e.Hint, Request: httpx.RequestID(r)}
	var denied *login.Denied
	page.Denied = errors.As(err, &denied)
	m, noMember := w.cfg.Member(r)
	if noMember != nil {
		m = login.Member{}
	}
	if err := w.render(rw, e.Status, "error", "Error", m, page); err != nil {
		w.cfg.Log.Error("cannot render an error page", "event", "page-failed", "error", err.Error())
		http.Error(rw, e.Public, e.Status)
	}
}

// Confirm asks somebody whether somebody else's server may know who they are. Its form
// posts to the same URL.
func (w *Web) Confirm(rw http.ResponseWriter, r *http.Request, owner ident.User, server string) error {
	m, err := w.cfg.Member(r)
	if err != nil {
		return err
	}
	for name, values := range map[string]string{"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"} {
		rw.Header().Set(name, values)
	}
	return w.render(rw, http.StatusOK, "confirm", "Open somebody's server", m, confirmPage{Owner: owner.String(), Server: server, Action: r.URL.RequestURI()})
}
