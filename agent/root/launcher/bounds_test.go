package launcher

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/root/unit"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// TestEnvBounds checks the largest environment that is allowed, and one more of each.
func TestEnvBounds(t *testing.T) {
	many := map[string]string{}
	for i := range maxVariables {
		many["JUPYTERHUB_"+strings.Repeat("A", i+1)] = ""
	}
	more := maps.Clone(many)
	more["JUPYTERHUB_Z"] = ""
	for name, tt := range map[string]struct {
		env map[string]string
		ok  bool
	}{
		"none": {nil, true}, "most variables": {many, true}, "one more": {more, false},
		"longest value":  {map[string]string{"JUPYTERHUB_A": strings.Repeat("x", maxValue)}, true},
		"longer":         {map[string]string{"JUPYTERHUB_A": strings.Repeat("x", maxValue+1)}, false},
		"old token":      {map[string]string{"JPY_API_TOKEN": "x"}, true},
		"its like":       {map[string]string{"JPY_API_TOKEN2": "x"}, false},
		"blank":          {map[string]string{"JUPYTERHUB_A": "a b"}, true},
		"tilde":          {map[string]string{"JUPYTERHUB_A": "~é"}, true},
		"unit separator": {map[string]string{"JUPYTERHUB_A": "\x1f"}, false},
		"delete":         {map[string]string{"JUPYTERHUB_A": "\x7f"}, false},
		"replacement":    {map[string]string{"JUPYTERHUB_A": "\ufffd"}, false},
	} {
		if err := checkEnv(tt.env); (err == nil) != tt.ok || err != nil && codeOf(err) != launcherbus.Refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNotOurs checks which units are neither listed nor found: those that have ended, of a state without a word, or of
// another's making.
func TestNotOurs(t *testing.T) {
	ours := []string{"GIFFORD_PROFILE=lab", "GIFFORD_UID=1"}
	for name, tt := range map[string]struct {
		state  systemd.State
		env    []string
		listed bool
	}{
		"runs": {systemd.Active, ours, true}, "ends": {systemd.Deactivating, ours, true},
		"is loaded again": {"reloading", ours, true}, "has failed": {systemd.Failed, ours, false},
		"has ended": {systemd.Inactive, ours, false}, "odd state": {"odd", ours, false},
		"another's runs": {systemd.Active, nil, false}, "another's failed": {systemd.Failed, nil, false},
	} {
		h := newHost(t)
		h.units["jupyter-alice.service"], h.env["jupyter-alice.service"] = tt.state, tt.env
		rows, err := h.l.List(t.Context())
		if err != nil || (len(rows) == 1) != tt.listed {
			t.Errorf("%s: listed %+v, %v", name, rows, err)
		}
		row, err := h.l.Get(t.Context(), h.key("alice", ""))
		if (err == nil) != tt.listed || !tt.listed && codeOf(err) != launcherbus.NotFound || tt.listed &&
			row.User != "alice" {
			t.Errorf("%s: found %+v, %v", name, row, err)
		}
	}
}

// TestForgotten checks for which units a start waits until systemd has forgotten them.
func TestForgotten(t *testing.T) {
	ours := []string{"GIFFORD_PROFILE=lab", "GIFFORD_UID=1"}
	for name, tt := range map[string]struct {
		state  systemd.State
		env    []string
		queued bool
		asked  int
	}{
		"ours has ended": {systemd.Inactive, ours, false, 3}, "another's has ended": {systemd.Inactive, nil, false, 1},
		"ours is queued": {systemd.Inactive, ours, true, 1}, "ours runs": {systemd.Active, ours, false, 1},
		"ours has failed": {systemd.Failed, ours, false, 1},
	} {
		h := newHost(t)
		h.units["jupyter-alice.service"], h.env["jupyter-alice.service"] = tt.state, tt.env
		h.queued["jupyter-alice.service"], h.slow = tt.queued, 2
		u, err := h.l.forgotten(t.Context(), h.key("alice", ""))
		if gone := errors.Is(err, systemd.ErrNotLoaded); gone != (tt.asked > 1) || !gone && (err != nil ||
			u.State != tt.state) || h.asked != tt.asked {
			t.Errorf("%s: asked %d times, %+v, %v", name, h.asked, u, err)
		}
	}
	h := newHost(t)
	h.units["jupyter-alice.service"], h.env["jupyter-alice.service"], h.slow = systemd.Inactive, ours, 1000
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.l.forgotten(over, h.key("alice", "")); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller is gone: %v", err)
	}
}

// TestStopJobFails checks that a stop whose job fails is an error.
func TestStopJobFails(t *testing.T) {
	h := newHost(t)
	if err := start(h, h.key("alice", "")); err != nil {
		t.Fatal(err)
	}
	h.fails["StopJob"] = errBroken
	if err := h.l.Stop(t.Context(), h.key("alice", "")); !errors.Is(err, errBroken) {
		t.Errorf("error is %v", err)
	}
}

// TestFailureLogged checks that only an end whose reason systemd does not say is a warning.
func TestFailureLogged(t *testing.T) {
	for part, warns := range map[string]bool{"": false, "Outcome": true, "ResetFailed": true} {
		h := newHost(t)
		if err := start(h, h.key("alice", "")); err != nil {
			t.Fatal(err)
		}
		log := h.logged()
		if part != "" {
			h.fails[part] = errBroken
		}
		h.change(t.Context(), "jupyter-alice.service", systemd.Failed)
		if strings.Contains(log(), "event=unit-failed") != warns || !strings.Contains(log(), "event=server-failed") {
			t.Errorf("without %q: %s", part, log())
		}
	}
}

// logged lets the launcher write its log into a text and returns what reads it.
func (h *host) logged() func() string {
	var text strings.Builder
	h.l.cfg.Log = slog.New(slog.NewTextHandler(&text, nil))
	return text.String
}

// TestOtherProfile checks that a container is of today only if its own profile is there and still persistent.
func TestOtherProfile(t *testing.T) {
	h := keepingHost(t)
	life(t, h, "alice", "")
	record := filepath.Join(h.dir, "state/kept/alice/_")
	data, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	outdated := func(what string, want bool) {
		t.Helper()
		rows, err := h.l.Persistent(t.Context())
		if err != nil || len(rows) != 1 || rows[0].Outdated != want {
			t.Errorf("%s: %+v, %v", what, rows, err)
		}
	}
	outdated("as it was made", false)
	text := h.text
	h.text = strings.Replace(text, "persistent = true", "persistent = false", 1)
	outdated("no longer persistent", true)
	h.text = text
	if err := os.WriteFile(record, []byte(strings.Replace(string(data), "lab", "gone", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	outdated("of a profile that is gone", true)
	if err := os.WriteFile(record, []byte("lab\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if rows, err := h.l.Persistent(t.Context()); err == nil || rows != nil {
		t.Errorf("a record that cannot be read: %+v, %v", rows, err)
	}
	rules, err := h.l.policy()
	if err != nil {
		t.Fatal(err)
	}
	in := unit.Input{Key: h.key("alice", ""), Profile: rules.Profiles[0], Policy: rules}
	if _, err := h.l.lend(t.Context(), &in, h.l.names()); err == nil {
		t.Error("devices are lent though nobody knows which are in the container")
	}
}

// TestCredentialWhileStarting checks that the credential of a start that an earlier launcher began stays until the unit
// runs.
func TestCredentialWhileStarting(t *testing.T) {
	h := newHost(t)
	k := h.key("alice", "")
	h.env[k.Unit()], h.units[k.Unit()] = []string{"GIFFORD_PROFILE=lab", "GIFFORD_UID=1"}, systemd.Activating
	if err := h.l.files.writeCredential(k, []byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, state := range []systemd.State{systemd.Activating, systemd.Active} {
		h.change(t.Context(), k.Unit(), state)
		if left := leftIn(t, h.dir); (left != "") != (state == systemd.Activating) {
			t.Errorf("%s: left %q", state, left)
		}
	}
}

// TestBusLost checks that a launcher without a name on the bus says so.
func TestBusLost(t *testing.T) {
	bus, err := privateBus(t)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.Close(); err != nil {
		t.Fatal(err)
	}
	if err := export(bus, map[string]any{}); err == nil || !strings.Contains(err.Error(), "cannot take the name") {
		t.Errorf("error is %v", err)
	}
}

// TestFirstNews checks which first news of a unit that an earlier launcher had queued make it this launcher's.
func TestFirstNews(t *testing.T) {
	for state, want := range map[systemd.State]string{systemd.Activating: "alice starting",
		systemd.Active: "alice running", systemd.Deactivating: "", systemd.Failed: "", systemd.Inactive: ""} {
		h := newHost(t)
		h.env["jupyter-alice.service"] = []string{"GIFFORD_PROFILE=lab", "GIFFORD_UID=1"}
		h.units["jupyter-alice.service"] = state
		h.l.Changed(t.Context(), systemd.Change{Name: "jupyter-alice.service", State: state})
		if got := h.states(); got != want {
			t.Errorf("%s: events %q, want %q", state, got, want)
		}
		known := h.l.server(h.key("alice", ""))
		h.l.Changed(t.Context(), systemd.Change{Name: "jupyter-alice.service", State: systemd.Active})
		if known != nil && h.l.server(h.key("alice", "")) != known {
			t.Errorf("%s: the next news make it another", state)
		}
	}
}

// TestErrorsOverTheBus checks that each kind of method hands its operation's error to the caller.
func TestErrorsOverTheBus(t *testing.T) {
	h := newHost(t)
	h.fails["List"] = errBroken
	methods := h.l.Methods(t.Context(), func(context.Context, string) (uint32, error) { return hubUID, nil })
	for name, tt := range map[string]struct {
		args []any
		code launcherbus.Code
	}{
		"List": {nil, launcherbus.Internal}, "Get": {[]any{"alice", ""}, launcherbus.NotFound},
		"Stop": {[]any{"alice", ""}, launcherbus.NotFound}, "Images": {nil, launcherbus.Internal},
	} {
		if err := call(t, methods[name], tt.args...); err == nil ||
			err.Name != launcherbus.Interface+".Error."+string(tt.code) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := call(t, methods["Get"], "../alice", ""); err == nil ||
		err.Name != launcherbus.Interface+".Error."+string(launcherbus.Refused) {
		t.Errorf("Get of no name: %v", err)
	}
}

// TestKnownRuns checks that a start of what runs or starts is refused at once.
func TestKnownRuns(t *testing.T) {
	for _, state := range []systemd.State{systemd.Active, systemd.Activating} {
		h := newHost(t)
		k := h.key("alice", "")
		if err := start(h, k); err != nil {
			t.Fatal(err)
		}
		h.units[k.Unit()], h.asked = state, 0
		if err := start(h, k); codeOf(err) != launcherbus.AlreadyExists || h.asked != 1 {
			t.Errorf("%s: %v, after %d questions", state, err, h.asked)
		}
	}
}

// TestProfilesWithoutPolicy checks that a policy that cannot be read is not one without profiles.
func TestProfilesWithoutPolicy(t *testing.T) {
	h := newHost(t)
	h.text = "not a policy"
	if rows, err := h.l.Profiles(t.Context()); codeOf(err) != launcherbus.Internal || rows != nil {
		t.Errorf("%v, %v", rows, err)
	}
}
