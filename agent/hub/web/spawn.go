package web

import (
	"cmp"
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// spawnPage is GET hub/spawn. Where there is only one profile JupyterHub starts the server at once, and so does this,
// but only for somebody who meant it (typed). Others see the page with the button; so does everybody where the
// server has failed or does not exist yet.
func (s *Web) spawnPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := s.target(m, r, scopes.StartServers)
	if err != nil {
		return err
	}
	if err := s.startable(r.Context(), key); err != nil {
		return err
	}
	next, wanted := safeNext(r.URL.Query().Get("next")), r.URL.Query().Get("profile")
	srv := s.cfg.Servers.Get(key)
	switch {
	case srv.State == servers.Ready:
		s.open(w, key, next)
		return nil
	case srv.State.Active():
		httpx.Redirect(w, http.StatusSeeOther, s.pendingURL(key, next))
		return nil
	}
	exists, err := s.exists(r, key, "")
	if err != nil {
		return err
	}
	profiles, warning := s.profiles(r.Context())
	if len(profiles) == 1 && srv.State == servers.Stopped && exists && typed(r) {
		return s.start(m, w, r, key, actions.Choice{Profile: profiles[0].Name}, next)
	}
	s.render(w, r, http.StatusOK, page{Name: "spawn", Title: "Start " + whose(m, key), Member: m, Body: serverBody{
		Server: s.view(m, srv, profiles),
		Start:  s.startForm(s.spawnURL(key), next, srv, cmp.Or(wanted, srv.Profile), profiles, warning)}})
	return nil
}

// spawn is POST hub/spawn: the fields profile, next and without_gpus.
func (s *Web) spawn(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := s.target(m, r, scopes.StartServers)
	if err != nil {
		return err
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	choice := actions.Choice{Profile: r.PostFormValue("profile"), WithoutGPUs: r.PostFormValue("without_gpus") != ""}
	if err := s.checkProfile(r.Context(), choice.Profile); err != nil {
		return err
	}
	return s.start(m, w, r, key, choice, safeNext(r.PostFormValue("next")))
}

// start begins to start a server and redirects to the page that shows how the start goes.
func (s *Web) start(m access.Subject, w http.ResponseWriter, r *http.Request, key ident.Key, choice actions.Choice,
	next string) error {
	err := s.cfg.Actions.Start(r.Context(), m, actions.StartRequest{Key: key, Choice: &choice})
	if err != nil && !active(err) { // an active one is shown, whoever has started it
		return inOurWords(err)
	}
	httpx.Redirect(w, http.StatusSeeOther, s.pendingURL(key, next))
	return nil
}

// open redirects the browser to a server that is ready, whose gate sends it to userPath if it has no cookie for it.
func (s *Web) open(w http.ResponseWriter, key ident.Key, next string) {
	httpx.Redirect(w, http.StatusFound, cmp.Or(next, s.prefix(key)))
}
