package web

import (
	"context"
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/launcherbus"
	"github.com/gifford-lab/gifford-hub/agent/login"
	"github.com/gifford-lab/gifford-hub/agent/servers"
)

// homeBody is the home page.
type homeBody struct {
	Own    serverView
	End    *endView // announced for the own server; nil: none
	Start  startForm
	Others []serverView // for administrators
}

// startForm starts a server.
type startForm struct {
	Action   string // URL path
	Next     string // path on this host, or ""
	Choices  []choice
	Button   string
	Warning  string // when the choices are not known
	OnlyText bool   // there is one profile and it is described, not chosen
}

// refreshHome is how often a page without JavaScript looks whether a server that is on
// its way has arrived, in seconds.
const refreshHome = 3

// root sends people to where they go who asked for nothing else.
func (s *Web) root(_ login.Member, w http.ResponseWriter, _ *http.Request) error {
	target := s.hub + "home"
	if s.cfg.RedirectToServer {
		target = s.hub + "spawn" // goes on to the server at once if it runs
	}
	redirect(w, http.StatusFound, target)
	return nil
}

// admin is where JupyterHub has its administrators' page.
func (s *Web) admin(_ login.Member, w http.ResponseWriter, _ *http.Request) error {
	redirect(w, http.StatusFound, s.hub+"home#servers")
	return nil
}

// home shows one's own server, and all others to administrators.
func (s *Web) home(m login.Member, w http.ResponseWriter, r *http.Request) error {
	own, err := s.target(m, r)
	if err != nil {
		return err
	}
	srv := s.cfg.Servers.Get(own)
	profiles, warning := s.profiles(r.Context())
	body := homeBody{Own: s.view(m, srv, profiles), End: s.end(own), Start: s.startForm(s.hub+"spawn", "", srv, srv.Profile, profiles, warning)}
	if m.Admin {
		for _, other := range s.cfg.Servers.List() {
			if other.Key != own {
				body.Others = append(body.Others, s.view(m, other, profiles))
			}
		}
	}
	p := page{Name: "home", Title: "Home", Member: m, Wide: m.Admin, Body: body}
	if srv.State.Pending() || srv.State == servers.Stopping {
		p.Refresh = refreshHome
	}
	s.render(w, r, http.StatusOK, p)
	return nil
}

// profiles gives the policy's choices. Without them a start is still possible, with
// the policy's default.
func (s *Web) profiles(ctx context.Context) (all []launcherbus.Profile, warning string) {
	all, err := s.cfg.Profiles(ctx)
	if err != nil {
		s.cfg.Log.Error("cannot read the profiles", "event", "profiles-unreadable", "error", err.Error())
		return nil, "The choice of profiles cannot be read at the moment, so a start may fail."
	}
	return all, ""
}

func (s *Web) startForm(action, next string, srv servers.Server, wanted string, profiles []launcherbus.Profile, warning string) startForm {
	button := "Start"
	if srv.State == servers.Failed {
		button = "Try again"
	}
	return startForm{Action: action, Next: next, Choices: choices(profiles, wanted), Button: button, Warning: warning, OnlyText: len(profiles) == 1}
}
