package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// resetPage is GET hub/reset/USER[/NAME]: it says what is lost and what stays, and asks.
func (s *Web) resetPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := s.existing(m, r, scopes.DeleteServers)
	if err != nil {
		return err
	}
	kept := s.persistent.get(r.Context(), s.cfg.Now())[key]
	if len(kept) == 0 {
		return errNothingKept()
	}
	profiles, _ := s.profiles(r.Context())
	var names []string
	for _, k := range kept {
		names = append(names, profileName(k.Profile, profiles))
	}
	whose := "your server"
	if key.User != m.User {
		whose = "the server of " + key.User.String()
	}
	if !key.Server.IsDefault() {
		whose += " " + key.Server.String()
	}
	body := sureBody{Verb: "Reset", Action: s.act("reset", key), What: whose, Back: s.hub + "home", Words: []string{
		"Lost: all that was installed or changed outside of the home directory, such as system packages. Profile: " +
			strings.Join(names, "; ") + ".",
		"What stays: the home directory and all below it: notebooks, data, packages that were installed there.",
		"The next start makes a fresh server from the newest image."}}
	if srv := s.cfg.Servers.Get(key); srv.State.Active() {
		v := s.view(m, srv, nil)
		v.Back = s.act("reset", key)
		body.Stop = append(body.Stop, v)
	}
	s.render(w, r, http.StatusOK, page{Name: "sure", Title: "Reset " + whose + "?", Member: m, Body: body})
	return nil
}

func errNothingKept() error {
	return &httpx.Error{Status: http.StatusNotFound, Public: "nothing is kept of this server, so there is nothing " +
		"to reset", Hint: "go to the home page"}
}

// reset is POST hub/reset/USER[/NAME].
func (s *Web) reset(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := s.existing(m, r, scopes.DeleteServers)
	if err != nil {
		return err
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	err = s.cfg.Servers.Reset(r.Context(), key)
	s.persistent.forget()
	s.audit(r, m, ResetServer, key, err)
	switch {
	case errors.Is(err, servers.ErrNoContainer):
		return errNothingKept()
	case errors.Is(err, servers.ErrActive):
		return &httpx.Error{Status: http.StatusConflict, Public: "this server runs, so it cannot be reset",
			Hint: "stop it first"}
	case err != nil:
		return launcherError(err)
	}
	s.cfg.Log.Info("server reset", "event", "server-reset", "user", key.User.String(), "server", key.Server.String(),
		"by", m.User.String())
	redirect(w, http.StatusSeeOther, s.hub+"home")
	return nil
}
