package web

import (
	"net/http"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// resetPage is GET hub/reset/USER[/NAME]. It says what is lost and what stays, and asks.
func (s *Web) resetPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := s.existing(m, r, scopes.DeleteServers)
	if err != nil {
		return err
	}
	containers := s.persistent.get(r.Context(), s.cfg.Now())[key]
	if len(containers) == 0 {
		return errNothingToReset()
	}
	profiles, _ := s.profiles(r.Context())
	var names []string
	for _, c := range containers {
		names = append(names, profileName(c.Profile, profiles))
	}
	body := sureBody{Verb: "Reset", Action: s.act("reset", key), What: serverOf(m, key), Back: s.hub + "home",
		Words: []string{"Lost: all that was installed or changed outside of the home directory, such as system " +
			"packages. Profile: " + strings.Join(names, "; ") + ".",
			"What stays: the home directory with everything in it: notebooks, data, packages that were installed " +
				"there.",
			"The next start makes a fresh server from the newest image."}}
	if srv := s.cfg.Servers.Get(key); srv.State.Active() {
		v := s.view(m, srv, nil)
		v.Back = s.act("reset", key)
		body.Stop = append(body.Stop, v)
	}
	s.render(w, r, http.StatusOK, page{Name: "sure", Title: "Reset " + body.What + "?", Member: m, Body: body})
	return nil
}

// serverOf names a server as the object of an act.
func serverOf(m access.Subject, key ident.Key) string {
	name := "your server"
	if key.User != m.User {
		name = "the server of " + key.User.String()
	}
	if !key.Server.IsDefault() {
		name += " " + key.Server.String()
	}
	return name
}

func errNothingToReset() error {
	return &httpx.Error{Status: http.StatusNotFound, Public: "this server has no persistent container, so there is " +
		"nothing to reset", Hint: "go to the home page"}
}

// reset is POST hub/reset/USER[/NAME].
func (s *Web) reset(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := pathKey(m, r)
	if err != nil {
		return err
	}
	err = s.cfg.Actions.Reset(r.Context(), m, key, false)
	s.persistent.forget()
	switch {
	case active(err):
		return errActive("reset")
	case err != nil:
		return inOurWords(err)
	}
	httpx.Redirect(w, http.StatusSeeOther, s.hub+"home")
	return nil
}
