package web

import (
	"cmp"
	"context"
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// profiles returns the policy's profiles. Where they cannot be read the warning says so, and servers can still be
// started with the policy's default.
func (s *Web) profiles(ctx context.Context) (all []backend.Profile, warning string) {
	all, err := s.cfg.Profiles(ctx)
	if err != nil {
		s.cfg.Log.Error("cannot read the profiles", "event", "profiles-unreadable", "error", err.Error())
		return nil, "The choice of profiles cannot be read at the moment, so a start may fail."
	}
	return all, ""
}

// checkProfile refuses a profile that no form offers. When the profiles cannot be read the launcher decides.
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

// profileName is what people call a profile; "" is the default one.
func profileName(name string, profiles []backend.Profile) string {
	for _, p := range profiles {
		if p.Name == name || name == "" && p.Default {
			return displayName(p)
		}
	}
	return name
}

func displayName(p backend.Profile) string {
	return cmp.Or(p.DisplayName, p.Name)
}

// choice is a profile in a form.
type choice struct {
	Name, Label, Description string
	Checked                  bool
}

// choices returns the profiles for a form. The wanted one is checked, or else the policy's default, or else the first.
func choices(profiles []backend.Profile, wanted string) []choice {
	all := make([]choice, len(profiles))
	checked := 0
	for i, p := range profiles {
		all[i] = choice{Name: p.Name, Label: displayName(p), Description: p.Description}
		if p.Default {
			checked = i
		}
	}
	for i, p := range profiles {
		if p.Name == wanted {
			checked = i
		}
	}
	if len(all) > 0 {
		all[checked].Checked = true
	}
	return all
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

func (s *Web) startForm(action, next string, srv servers.Server, wanted string, profiles []backend.Profile,
	warning string) startForm {
	button := "Start"
	if srv.State == servers.Failed {
		button = "Try again"
	}
	return startForm{Action: action, Next: next, Choices: choices(profiles, wanted), Button: button, Warning: warning,
		OnlyText: len(profiles) == 1}
}
