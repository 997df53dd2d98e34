package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/launcherbus"
	"github.com/gifford-lab/gifford-hub/agent/login"
	"github.com/gifford-lab/gifford-hub/agent/servers"
)

// maxForm bounds what a form may send, in bytes.
const maxForm = 16 << 10

// stopWait is how long a stop is waited for before the page says that it goes on.
const stopWait = 2 * time.Second

// serverBody is a page about one server.
type serverBody struct {
	Server   serverView
	Start    startForm
	Next     string // URL path to go to when the server is ready
	Progress string // URL path of the stream of events
	Asked    string // the path that was asked for, when the server does not run
}

// spawnPage is GET hub/spawn. JupyterHub starts at once where there is nothing to
// choose; so do we for people who meant it (deliberate), while others see the page
// with the button. A server that failed waits for a person's word as well.
func (s *Web) spawnPage(m login.Member, w http.ResponseWriter, r *http.Request) error {
	key, err := s.target(m, r)
	if err != nil {
		return err
	}
	next, wanted := safeNext(r.URL.Query().Get("next")), r.URL.Query().Get("profile")
	srv := s.cfg.Servers.Get(key)
	switch {
	case srv.State == servers.Ready:
		return s.open(m, w, r, key, next)
	case srv.State.Active():
		redirect(w, http.StatusSeeOther, s.pendingURL(key, next))
		return nil
	}
	profiles, warning := s.profiles(r.Context())
	if len(profiles) == 1 && srv.State == servers.Stopped && deliberate(r) {
		return s.start(m, w, r, key, profiles[0].Name, next)
	}
	if wanted == "" {
		wanted = srv.Profile
	}
	s.render(w, r, http.StatusOK, page{Name: "spawn", Title: "Start " + whose(m, key), Member: m, Body: serverBody{
		Server: s.view(m, srv, profiles), Start: s.startForm(s.spawnURL(key), next, srv, wanted, profiles, warning)}})
	return nil
}

// whose names a server in a title.
func whose(m login.Member, key ident.Key) string {
	if key.User == m.User {
		return "your server"
	}
	return key.User.String() + "'s server"
}

// spawn is POST hub/spawn: the fields profile and next.
func (s *Web) spawn(m login.Member, w http.ResponseWriter, r *http.Request) error {
	key, err := s.target(m, r)
	if err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return &httpx.Error{Status: http.StatusBadRequest, Public: "the form cannot be read", Hint: "go back and try again", Cause: err}
	}
	profile := r.PostFormValue("profile")
	if err := s.checkProfile(r.Context(), profile); err != nil {
		return err
	}
	return s.start(m, w, r, key, profile, safeNext(r.PostFormValue("next")))
}

// checkProfile refuses a profile that is not offered. When the profiles cannot be read
// the launcher decides.
func (s *Web) checkProfile(ctx context.Context, name string) error {
	profiles, warning := s.profiles(ctx)
	if name == "" || warning != "" {
		return nil
	}
	for _, p := range profiles {
		if p.Name == name {
			return nil
		}
	}
	return &httpx.Error{Status: http.StatusBadRequest, Public: "there is no profile of that name any more", Hint: "go to the home page and choose another"}
}

func (s *Web) start(m login.Member, w http.ResponseWriter, r *http.Request, key ident.Key, profile, next string) error {
	err := s.cfg.Servers.Start(key, profile)
	if errors.Is(err, servers.ErrActive) {
		err = nil // it is there or on its way already, which is what was wanted
	}
	s.audit(r, m, StartServer, key, err)
	if err != nil {
		return launcherError(err)
	}
	redirect(w, http.StatusSeeOther, s.pendingURL(key, next))
	return nil
}

// launcherError gives people the launcher's words, which are made for them.
func launcherError(err error) error {
	var l *launcherbus.Error
	if !errors.As(err, &l) {
		return err
	}
	message, hint := splitHint(l.Message)
	return &httpx.Error{Status: http.StatusInternalServerError, Public: message, Hint: hint, Cause: err}
}

// open sends the browser to a server that is ready.
func (s *Web) open(m login.Member, w http.ResponseWriter, r *http.Request, key ident.Key, next string) error {
	s.audit(r, m, OpenServer, key, nil)
	redirect(w, http.StatusFound, orElse(next, s.prefix(key)))
	return nil
}

func (s *Web) spawnURL(key ident.Key) string { return s.hub + "spawn/" + key.User.String() }

func (s *Web) pendingURL(key ident.Key, next string) string {
	target := s.hub + "spawn-pending/" + key.User.String()
	if next != "" {
		target += "?" + url.Values{"next": {next}}.Encode()
	}
	return target
}

// pending shows how a start goes, and why it failed.
func (s *Web) pending(m login.Member, w http.ResponseWriter, r *http.Request) error {
	key, err := s.target(m, r)
	if err != nil {
		return err
	}
	next := safeNext(r.URL.Query().Get("next"))
	srv := s.cfg.Servers.Get(key)
	if srv.State == servers.Ready {
		return s.open(m, w, r, key, next)
	}
	if srv.State == servers.Stopped {
		return s.notRunning(m, w, r, srv, next)
	}
	profiles, warning := s.profiles(r.Context())
	body := serverBody{Server: s.view(m, srv, profiles), Next: orElse(next, s.prefix(key)),
		Progress: s.hub + "api/users/" + key.User.String() + "/server/progress",
		Start:    s.startForm(s.spawnURL(key), next, srv, srv.Profile, profiles, warning)}
	p, status := page{Name: "starting", Title: "Starting " + whose(m, key), Member: m, Refresh: refreshHome, NoJS: true, Body: body}, http.StatusOK
	switch srv.State {
	case servers.Stopping:
		p.Name, p.Title, p.NoJS = "stopping", "Stopping "+whose(m, key), false
	case servers.Failed:
		p.Name, p.Title, p.Refresh, status = "spawn", "The start failed", 0, http.StatusInternalServerError
	}
	s.render(w, r, status, p)
	return nil
}

// notRunning is the page in place of a server that does not run. 424 is JupyterHub's
// status for it, which JupyterLab knows.
func (s *Web) notRunning(m login.Member, w http.ResponseWriter, r *http.Request, srv servers.Server, next string) error {
	profiles, warning := s.profiles(r.Context())
	s.render(w, r, http.StatusFailedDependency, page{Name: "notrunning", Title: "Not running", Member: m, Body: serverBody{
		Server: s.view(m, srv, profiles), Asked: next,
		Start: s.startForm(s.spawnURL(srv.Key), next, srv, srv.Profile, profiles, warning)}})
	return nil
}

// stop is POST hub/stop/USER. It waits a moment, so that most people come back to a
// page that shows the server stopped.
func (s *Web) stop(m login.Member, w http.ResponseWriter, r *http.Request) error {
	key, err := s.target(m, r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), stopWait)
	defer cancel()
	err = s.cfg.Servers.Stop(ctx, key)
	if errors.Is(err, servers.ErrNotActive) || errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		err = nil
	}
	s.audit(r, m, StopServer, key, err)
	if err != nil {
		return launcherError(err)
	}
	redirect(w, http.StatusSeeOther, s.hub+"home")
	return nil
}
