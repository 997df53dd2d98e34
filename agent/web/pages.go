package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/launcherbus"
	"github.com/gifford-lab/gifford-hub/agent/login"
	"github.com/gifford-lab/gifford-hub/agent/servers"
)

// redirect sends the browser on. The target is our own: made from the base URL and
// parsed names, or checked by login.SafeNext.
func redirect(rw http.ResponseWriter, status int, target string) error {
	rw.Header().Set("Location", target)
	rw.WriteHeader(status)
	return nil
}

func (w *Web) prefixRedirect(rw http.ResponseWriter, r *http.Request, _ login.Member) error {
	rest := strings.TrimPrefix(r.URL.RequestURI(), strings.TrimSuffix(w.cfg.BaseURL, "/"))
	return redirect(rw, http.StatusFound, w.path("hub/")+strings.TrimLeft(rest, "/"))
}

func (w *Web) addSlash(rw http.ResponseWriter, _ *http.Request, _ login.Member) error {
	return redirect(rw, http.StatusFound, w.path("hub/"))
}

func (w *Web) notFound(http.ResponseWriter, *http.Request, login.Member) error {
	return notFoundError()
}

// front is where people land: at their server when it runs, else at home.
func (w *Web) front(rw http.ResponseWriter, _ *http.Request, m login.Member) error {
	key := ident.Key{User: m.User}
	if w.cfg.Servers.Get(key).State == servers.Ready {
		return redirect(rw, http.StatusFound, w.server(key))
	}
	return redirect(rw, http.StatusFound, w.path("hub/home"))
}

// server gives a server's own URL.
func (w *Web) server(key ident.Key) string { return w.path(key.Path()[1:]) }

func (w *Web) signIn(rw http.ResponseWriter, r *http.Request, _ login.Member) error {
	next := r.URL.Query().Get("next")
	if _, err := w.cfg.Member(r); err == nil {
		return redirect(rw, http.StatusFound, login.SafeNext(next, w.path("hub/home")))
	}
	ready := w.cfg.Ready(r.Context())
	if w.cfg.AutoLogin && next != "" && ready == nil { // after a logout there is no next
		return redirect(rw, http.StatusFound, w.path("hub/oauth_login")+"?next="+url.QueryEscape(next))
	}
	page := signInPage{Next: next}
	if ready != nil {
		page.Problem = httpx.Public(ready).Public
	}
	return w.render(rw, http.StatusOK, "sign-in", "Sign in", login.Member{}, page)
}

func (w *Web) begin(rw http.ResponseWriter, r *http.Request, _ login.Member) error {
	return w.cfg.Start(rw, r)
}

func (w *Web) logout(rw http.ResponseWriter, r *http.Request, _ login.Member) error {
	return w.cfg.Logout(rw, r)
}

func (w *Web) home(rw http.ResponseWriter, r *http.Request, m login.Member) error {
	page := homePage{Own: w.view(w.cfg.Servers.Get(ident.Key{User: m.User}), m)}
	page.Profiles, page.ProfilesProblem = w.profiles(r.Context())
	if m.Admin {
		for _, s := range w.cfg.Servers.List() {
			page.All = append(page.All, w.view(s, m))
		}
	}
	return w.render(rw, http.StatusOK, "home", "Home", m, page)
}

// profiles gives the choices, or the reason why there are none in words.
func (w *Web) profiles(ctx context.Context) ([]launcherbus.Profile, string) {
	all, err := w.cfg.Profiles(ctx)
	if err != nil {
		w.cfg.Log.Error("cannot read the profiles", "event", "profiles-failed", "error", err.Error())
		return nil, "The launcher of this machine does not answer; servers cannot be started now."
	}
	return all, ""
}

func (w *Web) spawnPage(rw http.ResponseWriter, r *http.Request, m login.Member) error {
	key, err := w.key(r, m)
	if err != nil {
		return err
	}
	s := w.cfg.Servers.Get(key)
	next := login.SafeNext(r.URL.Query().Get("next"), "")
	switch {
	case s.State == servers.Ready:
		return redirect(rw, http.StatusFound, login.SafeNext(next, w.server(key)))
	case s.State.Active():
		return redirect(rw, http.StatusSeeOther, w.pendingURL(key, next))
	}
	page := spawnPage{Server: w.view(s, m), Next: next}
	page.Profiles, page.ProfilesProblem = w.profiles(r.Context())
	return w.render(rw, http.StatusOK, "spawn", "Start a server", m, page)
}

func (w *Web) pendingURL(key ident.Key, next string) string {
	target := w.path("hub/spawn-pending/") + key.User.String()
	if next != "" {
		target += "?next=" + url.QueryEscape(next)
	}
	return target
}

// maxForm bounds what a form may send.
const maxForm = 16 << 10

func (w *Web) spawn(rw http.ResponseWriter, r *http.Request, m login.Member) error {
	key, err := w.key(r, m)
	if err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(rw, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return &httpx.Error{Status: http.StatusBadRequest, Public: "the form cannot be read", Cause: err}
	}
	err = w.cfg.Servers.Start(key, r.PostForm.Get("profile"))
	if err != nil && !errors.Is(err, servers.ErrActive) {
		return err
	}
	return redirect(rw, http.StatusSeeOther, w.pendingURL(key, login.SafeNext(r.PostForm.Get("next"), "")))
}

func (w *Web) pending(rw http.ResponseWriter, r *http.Request, m login.Member) error {
	key, err := w.key(r, m)
	if err != nil {
		return err
	}
	s := w.cfg.Servers.Get(key)
	next := login.SafeNext(r.URL.Query().Get("next"), w.server(key))
	switch s.State {
	case servers.Ready:
		return redirect(rw, http.StatusFound, next)
	case servers.Stopped:
		return redirect(rw, http.StatusFound, w.path("hub/spawn/")+key.User.String()+"?next="+url.QueryEscape(next))
	case servers.Failed:
		page := spawnPage{Server: w.view(s, m), Next: next}
		page.Profiles, page.ProfilesProblem = w.profiles(r.Context())
		return w.render(rw, http.StatusInternalServerError, "spawn", "The server did not start", m, page)
	}
	return w.render(rw, http.StatusOK, "pending", "Starting", m, pendingPage{Server: w.view(s, m), Next: next,
		Events: w.path("hub/api/users/") + key.User.String() + "/server/progress", Stopping: s.State == servers.Stopping})
}

// stopBound is how long a page waits for a stop; the stop goes on after that.
const stopBound = 30 * time.Second

func (w *Web) stop(rw http.ResponseWriter, r *http.Request, m login.Member) error {
	key, err := w.key(r, m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), stopBound)
	defer cancel()
	err = w.cfg.Servers.Stop(ctx, key)
	if err != nil && !errors.Is(err, servers.ErrNotActive) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return redirect(rw, http.StatusSeeOther, w.path("hub/home"))
}

// maxRedirects is how often a browser may be sent to a server that sends it back
// (JupyterHub's redirect loop detection).
const maxRedirects = 4

// toServer is where a server's URL leads while the server does not run.
func (w *Web) toServer(rw http.ResponseWriter, r *http.Request, m login.Member) error {
	key, err := w.key(r, m)
	if err != nil {
		return err
	}
	target := w.path(strings.TrimPrefix(r.URL.RequestURI(), w.path("hub/")))
	s := w.cfg.Servers.Get(key)
	if s.State != servers.Ready && wantsJSON(r) {
		return w.gone(rw, key, s)
	}
	switch {
	case s.State == servers.Ready:
		return w.bounce(rw, r, target)
	case s.State.Active():
		return redirect(rw, http.StatusSeeOther, w.pendingURL(key, target))
	}
	page := spawnPage{Server: w.view(s, m), Next: target}
	page.Profiles, page.ProfilesProblem = w.profiles(r.Context())
	return w.render(rw, http.StatusFailedDependency, "not-running", "Server not running", m, page)
}

// bounce sends the browser to a server that runs, and ends a loop.
func (w *Web) bounce(rw http.ResponseWriter, r *http.Request, target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return notFoundError()
	}
	q := u.Query()
	n, _ := strconv.Atoi(q.Get("redirects"))
	if n >= maxRedirects {
		return &httpx.Error{Status: http.StatusInternalServerError, Public: "redirect loop detected", Hint: "go home and open the server from there"}
	}
	q.Set("redirects", strconv.Itoa(n+1))
	u.RawQuery = q.Encode()
	return redirect(rw, http.StatusFound, u.String())
}

func (w *Web) userRedirect(rw http.ResponseWriter, r *http.Request, m login.Member) error {
	rest := strings.TrimPrefix(r.URL.RequestURI(), w.path("hub/user-redirect/"))
	return redirect(rw, http.StatusFound, w.path("hub/user/")+m.User.String()+"/"+rest)
}

func (w *Web) errorPage(_ http.ResponseWriter, r *http.Request, _ login.Member) error {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 400 || code > 599 {
		return notFoundError()
	}
	return httpx.Fail(code, "%s", strings.ToLower(http.StatusText(code)))
}

func (w *Web) health(rw http.ResponseWriter, _ *http.Request, _ login.Member) error {
	rw.WriteHeader(http.StatusOK)
	return nil
}

// maxReport bounds a browser's report of a page that broke the content security policy.
const maxReport = 64 << 10

func (w *Web) cspReport(rw http.ResponseWriter, r *http.Request, _ login.Member) error {
	report := make([]byte, 2000)
	n, _ := http.MaxBytesReader(rw, r.Body, maxReport).Read(report)
	w.cfg.Log.Debug("a browser reports content that the policy forbids", "event", "csp-report", "report", string(report[:n]))
	rw.WriteHeader(http.StatusNoContent)
	return nil
}
