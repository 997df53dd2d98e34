package web

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// keeps is a hub in which something is kept of two servers: gail's is stopped, alice's runs.
func keeps(c *setup) {
	c.Persistent = func(context.Context) ([]backend.PersistentContainer, error) {
		return []backend.PersistentContainer{{Key: key("gail"), Profile: "gpu"},
			{Key: key("alice"), Profile: "gpu", Outdated: true}}, nil
	}
}

// TestResetPage checks who is offered a reset, and that the page says what is lost.
func TestResetPage(t *testing.T) {
	tests := map[string]struct {
		target, user string
		want, not    []string
	}{
		"home, stopped": {"/hub/home", "gail", []string{`href="/hub/reset/gail"`, "stays until it is reset"},
			[]string{"Its profile has changed"}},
		"home, running":      {"/hub/home", "alice", nil, []string{"/hub/reset/"}},
		"home, nothing kept": {"/hub/home", "erin", nil, []string{"/hub/reset/"}},
		"asks": {"/hub/reset/gail", "gail",
			[]string{"Reset your server?", "Lost: ", "JupyterLab with a GPU", "What stays: the home directory",
				`action="/hub/reset/gail"`, ">Reset your server<"}, []string{"/hub/stop/"}},
		"admin page": {"/hub/admin", "dora", []string{`href="/hub/reset/gail"`},
			[]string{`href="/hub/reset/alice"`, `href="/hub/reset/bob"`}},
		"asks an administrator": {"/hub/reset/gail", "dora",
			[]string{"Reset the server of gail?", `action="/hub/reset/gail"`}, nil},
		"runs": {"/hub/reset/alice", "alice",
			[]string{"must be stopped first", `action="/hub/stop/alice"`, `name="next" value="/hub/reset/alice"`},
			[]string{`action="/hub/reset/alice"`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := show(t, newHub(t, keeps).do("GET", tt.target, tt.user))
			for _, want := range tt.want {
				if !strings.Contains(p.text, want) {
					t.Errorf("does not say %q:\n%s", want, p.text)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(p.text, not) {
					t.Errorf("says %q:\n%s", not, p.text)
				}
			}
		})
	}
}

// TestHomeWithoutPersistent checks that a launcher without an answer takes nothing but the link.
func TestHomeWithoutPersistent(t *testing.T) {
	h := newHub(t, func(c *setup) {
		c.Persistent = func(context.Context) ([]backend.PersistentContainer, error) {
			return nil,
				errors.New("no answer")
		}
	})
	if p := show(t, h.do("GET", "/hub/home", "gail")); strings.Contains(p.text, "/hub/reset/") ||
		!strings.Contains(p.text, `action="/hub/spawn"`) {
		t.Error(p.text)
	}
}

// TestReset checks the answers and that a reset of another's server is told.
func TestReset(t *testing.T) {
	tests := map[string]struct {
		user string
		err  error
		want string
		told int
	}{
		"own":          {"gail", nil, "See Other /hub/home", 0},
		"another's":    {"dora", nil, "See Other /hub/home", 1},
		"runs":         {"gail", fmt.Errorf("server gail: %w", servers.ErrActive), "Conflict", 0},
		"nothing kept": {"gail", fmt.Errorf("server gail: %w", servers.ErrNoContainer), "Not Found", 0},
		"fails": {"gail", &backend.Error{Code: backend.StartFailed, Message: "cannot"},
			"Internal Server Error", 0},
		"not theirs": {"bob", nil, "Not Found", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, keeps)
			h.servers.resetErr = tt.err
			if got := answer(h.post("/hub/reset/gail", tt.user, nil)); got != tt.want {
				t.Errorf("answer is %s, want %s", got, tt.want)
			}
			if len(h.told()) != tt.told || tt.told > 0 && h.told()[0] != "server-reset dora user=gail" {
				t.Errorf("told: %v", h.told())
			}
			if asked := len(h.servers.resets) > 0; asked == (tt.user == "bob") {
				t.Errorf("resets: %v", h.servers.resets)
			}
		})
	}
}
