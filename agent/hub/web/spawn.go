package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
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
	Progress string // URL path of the stream of events; "" for who may not read it
	Asked    string // the path that was asked for, when the server does not run
}

// spawnPage is GET hub/spawn. JupyterHub starts at once where there is nothing to
// choose; so do we for people who meant it (deliberate), while others see the page
// with the button. A server that failed waits for a person's word as well, and so does
// one that is not there yet.
func (s *Web) spawnPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := s.target(m, r, scopes.StartServers)
	if err != nil {
		return err
	}
	if err := s.mayHave(r.Context(), key); err != nil {
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
	is, err := s.remembered(r, key, "")
	if err != nil {
		return err
	}
	profiles, warning := s.profiles(r.Context())
	if len(profiles) == 1 && srv.State == servers.Stopped && is && deliberate(r) {
		return s.start(m, w, r, key, profiles[0].Name, next, servers.Options{})
	}
	if wanted == "" {
		wanted = srv.Profile
	}
	s.render(w, r, http.StatusOK, page{Name: "spawn", Title: "Start " + whose(m, key), Member: m, Body: serverBody{
		Server: s.view(m, srv, profiles), Start: s.startForm(s.spawnURL(key), next, srv, wanted, profiles, warning)}})
	return nil
}

// whose names a server in a title.
func whose(m access.Subject, key ident.Key) string {
	name := key.User.String() + "'s server"
	if key.User == m.User {
		name = "your server"
	}
	if key.Server.IsDefault() {
		return name
	}
	return name + " " + key.Server.String()
}

// capital begins a heading.
func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// spawn is POST hub/spawn: the fields profile, next and without_gpus.
func (s *Web) spawn(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := s.target(m, r, scopes.StartServers)
	if err != nil {
		return err
	}
	if err := s.mayHave(r.Context(), key); err != nil {
		return err
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	profile := r.PostFormValue("profile")
	if err := s.checkProfile(r.Context(), profile); err != nil {
		return err
	}
	return s.start(m, w, r, key, profile, safeNext(r.PostFormValue("next")),
		servers.Options{WithoutGPUs: r.PostFormValue("without_gpus") != ""})
}

// readForm reads the form of a POST, which is bounded.
func readForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return &httpx.Error{Status: http.StatusBadRequest, Public: "the form cannot be read",
			Hint: "go back and try again", Cause: err}
	}
	return nil
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
	return &httpx.Error{Status: http.StatusBadRequest, Public: "there is no profile of that name any more",
		Hint: "go to the home page and choose another"}
}

func (s *Web) start(m access.Subject, w http.ResponseWriter, r *http.Request, key ident.Key, profile, next string,
	o servers.Options) error {
	if err := s.remember(r.Context(), key, "", profile); err != nil {
		return err
	}
	err := s.cfg.Servers.Start(key, profile, o)
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
	var l *backend.Error
	if !errors.As(err, &l) {
		return err
	}
	message, hint := splitHint(l.Message)
	return &httpx.Error{Status: http.StatusInternalServerError, Public: message, Hint: hint, Cause: err}
}

// open sends the browser to a server that is ready.
func (s *Web) open(m access.Subject, w http.ResponseWriter, r *http.Request, key ident.Key, next string) error {
	s.audit(r, m, OpenServer, key, nil)
	redirect(w, http.StatusFound, orElse(next, s.prefix(key)))
	return nil
}

func (s *Web) spawnURL(key ident.Key) string { return s.act("spawn", key) }

func (s *Web) pendingURL(key ident.Key, next string) string {
	target := s.act("spawn-pending", key)
	if next != "" {
		target += "?" + url.Values{"next": {next}}.Encode()
	}
	return target
}

// progressURL is the API's stream of a start's steps.
func (s *Web) progressURL(key ident.Key) string {
	user := s.hub + "api/users/" + key.User.String()
	if key.Server.IsDefault() {
		return user + "/server/progress"
	}
	return user + "/servers/" + key.Server.String() + "/progress"
}

// pending shows how a start goes, and why it failed. Who may open a server but not read
// its progress gets a page that looks again.
func (s *Web) pending(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := s.existing(m, r, scopes.ReadServers, scopes.AccessServers)
	if err != nil {
		return err
	}
	next := safeNext(r.URL.Query().Get("next"))
	srv := s.cfg.Servers.Get(key)
	if srv.State == servers.Ready {
		if !m.MayServer(key, scopes.AccessServers) {
			redirect(w, http.StatusSeeOther, s.hub+"home")
			return nil
		}
		return s.open(m, w, r, key, next)
	}
	if srv.State == servers.Stopped {
		return s.notRunning(m, w, r, srv, next)
	}
	profiles, warning := s.profiles(r.Context())
	body := serverBody{Server: s.view(m, srv, profiles), Next: orElse(next, s.prefix(key)),
		Start: s.startForm(s.spawnURL(key), next, srv, srv.Profile, profiles, warning)}
	if m.MayServer(key, scopes.ReadServers) {
		body.Progress = s.progressURL(key)
	}
	p, status := page{Name: "starting", Title: "Starting " + whose(m, key), Member: m, Refresh: refreshHome,
		NoJS: body.Progress != "", Body: body}, http.StatusOK
	switch srv.State {
	case servers.Queued:
		p.Name, p.Title, p.Refresh, p.NoJS, p.Wide = "queued", capital(whose(m, key))+" waits for a GPU", refreshLine,
			false, true
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
func (s *Web) notRunning(m access.Subject, w http.ResponseWriter, r *http.Request, srv servers.Server, next string) error {
	profiles, warning := s.profiles(r.Context())
	s.render(w, r, http.StatusFailedDependency, page{Name: "notrunning",
		Title: capital(whose(m, srv.Key)) + " does not run", Member: m, Body: serverBody{
			Server: s.view(m, srv, profiles), Asked: next,
			Start: s.startForm(s.spawnURL(srv.Key), next, srv, srv.Profile, profiles, warning)}})
	return nil
}

// stop is POST hub/stop/USER[/NAME]: the field next is where to go afterwards. It waits a
// moment, so that most people come back to a page that shows the server stopped.
func (s *Web) stop(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := s.existing(m, r, scopes.DeleteServers)
	if err != nil {
		return err
	}
	if err := readForm(w, r); err != nil {
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
	redirect(w, http.StatusSeeOther, orElse(safeNext(r.PostFormValue("next")), s.hub+"home"))
	return nil
}
