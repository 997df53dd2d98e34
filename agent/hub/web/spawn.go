package web

import (
	"cmp"
	"errors"
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

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

// open sends the browser to a server that is ready.
func (s *Web) open(m access.Subject, w http.ResponseWriter, r *http.Request, key ident.Key, next string) error {
	s.audit(r, m, OpenServer, key, nil)
	redirect(w, http.StatusFound, cmp.Or(next, s.prefix(key)))
	return nil
}
