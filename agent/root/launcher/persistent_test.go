package launcher

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// keepingHost is a host whose only profile keeps its containers.
func keepingHost(t *testing.T) *host {
	h := newHost(t)
	h.text += "persistent = true\n"
	return h
}

// life starts and stops a server.
func life(t *testing.T, h *host, user, server string) {
	t.Helper()
	k := h.key(user, server)
	if err := start(h, k); err != nil {
		t.Fatal(err)
	}
	if err := h.l.Stop(t.Context(), k); err != nil {
		t.Fatal(err)
	}
}

// TestPersistent checks the list of persistent containers, also when their profile changes.
func TestPersistent(t *testing.T) {
	h := keepingHost(t)
	life(t, h, "alice", "gpu")
	life(t, h, "alice", "")
	life(t, h, "bob", "")
	row := func(user, server string, outdated bool) launcherbus.PersistentRow {
		return launcherbus.PersistentRow{User: user, Server: server, Profile: "lab", Outdated: outdated}
	}
	check := func(what string, want ...launcherbus.PersistentRow) {
		t.Helper()
		got, err := h.l.Persistent(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append([]launcherbus.PersistentRow{}, want...), got); diff != "" {
			t.Errorf("%s: want(-) got(+):\n%s", what, diff)
		}
	}
	check("after three starts", row("alice", "", false), row("alice", "gpu", false), row("bob", "", false))
	h.text += "memory_max = \"1G\"\n"
	check("a limit counts at once", row("alice", "", false), row("alice", "gpu", false), row("bob", "", false))
	h.text += "env = { LANG = \"C.UTF-8\" }\n"
	check("the environment has changed", row("alice", "", true), row("alice", "gpu", true), row("bob", "", true))
	life(t, h, "bob", "") // does not make it again
	check("started again", row("alice", "", true), row("alice", "gpu", true), row("bob", "", true))
	if err := h.l.Reset(t.Context(), h.key("alice", "")); err != nil {
		t.Fatal(err)
	}
	check("after a reset", row("alice", "gpu", true), row("bob", "", true))
	h.text += "[[mount]]\nsource = \"/usr\"\ntarget = \"/shared\"\n"
	life(t, h, "alice", "")
	check("made with a mount", row("alice", "", false), row("alice", "gpu", true), row("bob", "", true))
	delete(h.units, "gifford-reset-alice.service")
	if err := h.l.Reset(t.Context(), h.key("alice", "")); err != nil {
		t.Fatal(err)
	}
	h.text = strings.Replace(h.text, "persistent = true", "persistent = false", 1)
	life(t, h, "alice", "")
	check("a profile that is not persistent has none", row("alice", "gpu", true), row("bob", "", true))
	for _, name := range []string{"state/kept", "state/kept/bob", "state/kept/bob/_"} {
		if info, err := os.Stat(filepath.Join(h.dir, name)); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v, %v", name, info.Mode(), err)
		}
	}
}

// TestPersistentAsksNoNames checks that the name service is not asked for each persistent container, which would be two
// programs for each: not at all without mounts for groups, and once for each member and group with them.
func TestPersistentAsksNoNames(t *testing.T) {
	h := keepingHost(t)
	for _, server := range []string{"", "a", "b", "c"} {
		life(t, h, "alice", server)
		life(t, h, "bob", server)
	}
	check := func(what string, asked int, outdated bool) {
		t.Helper()
		h.names = 0
		rows, err := h.l.Persistent(t.Context())
		if err != nil || len(rows) != 8 {
			t.Fatalf("%s: %d rows, %v", what, len(rows), err)
		}
		for _, r := range rows {
			if r.Outdated != outdated {
				t.Errorf("%s: %+v", what, r)
			}
		}
		if h.names != asked {
			t.Errorf("%s: the name service was asked %d times, want %d", what, h.names, asked)
		}
	}
	check("no mounts", 0, false)
	mount := "[[mount]]\nsource = \"/usr\"\ntarget = \"/shared\"\nunix_groups = [\"GROUP\"]\n"
	before := h.text
	h.text += strings.Replace(mount, "GROUP", "cgs", 1)
	check("a mount for a group of all", 3, true)
	h.text = before + strings.Replace(mount, "GROUP", "nosuch", 1)
	check("a mount for a group that is not there", 1, false) // a start would be refused
}

// TestReset checks that a reset runs as the member, on names of the launcher's making
// alone, and what is forgotten when it has worked.
func TestReset(t *testing.T) {
	h := keepingHost(t)
	life(t, h, "alice", "gpu")
	images := filepath.Join(h.dir, "state/images/alice")
	if err := os.MkdirAll(images, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gpu", "gpu.lab", "gpu2", "_"} {
		if err := os.WriteFile(filepath.Join(images, name), []byte("id"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h.result = "failed"
	if err := h.l.Reset(t.Context(), h.key("alice", "gpu")); codeOf(err) != launcherbus.StartFailed ||
		!strings.Contains(hint.Text(err), "journalctl -u gifford-reset-alice:gpu") {
		t.Errorf("a reset that fails: %v", err)
	}
	h.result = ""
	delete(h.units, "gifford-reset-alice:gpu.service")
	if err := h.l.Reset(t.Context(), h.key("alice", "gpu")); err != nil {
		t.Fatal(err)
	}
	for _, e := range h.env["gifford-reset-alice:gpu.service"] {
		if strings.HasPrefix(e, "GIFFORD_") {
			t.Errorf("the unit says that it is a server: %s", e)
		}
	}
	if err := h.l.Reset(t.Context(), h.key("alice", "gpu")); codeOf(err) != launcherbus.NotFound {
		t.Errorf("a second reset: %v", err)
	}
	left, err := filepath.Glob(images + "/*")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{images + "/_", images + "/gpu2"}, left); diff != "" {
		t.Errorf("records of images: want(-) got(+):\n%s", diff)
	}
}

// TestHostileReset sends what a hub that was taken over could; no unit may start.
func TestHostileReset(t *testing.T) {
	tests := map[string]struct {
		user, server string
		record       string // of that server; "" for none
		running      bool
		code         launcherbus.Code
	}{
		"empty user":      {"", "", "", false, launcherbus.Refused},
		"path as user":    {"../../etc", "", "", false, launcherbus.Refused},
		"option as user":  {"--all", "", "", false, launcherbus.Refused},
		"path as server":  {"alice", "../bob", "", false, launcherbus.Refused},
		"dots":            {"..", "", "", false, launcherbus.Refused},
		"no container":    {"alice", "", "", false, launcherbus.NotFound},
		"no account":      {"nosuch", "", "lab 00\n", false, launcherbus.NoAccount},
		"root":            {"root", "", "lab 00\n", false, launcherbus.Refused},
		"runs":            {"alice", "", "lab 00\n", true, launcherbus.AlreadyExists},
		"away":            {"away", "", "lab 00\n", false, launcherbus.Internal},
		"strange record":  {"alice", "", "lab\n", false, launcherbus.Internal},
		"strange record2": {"alice", "", "lab 00 --all\n", false, launcherbus.Internal},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := keepingHost(t)
			if tt.running {
				if err := start(h, h.key(tt.user, tt.server)); err != nil {
					t.Fatal(err)
				}
			} else if tt.record != "" {
				dir := filepath.Join(h.dir, "state/kept", tt.user)
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "_"), []byte(tt.record), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			before := len(h.units)
			methods := h.l.Methods(t.Context(), func(context.Context, string) (uint32, error) { return hubUID, nil })
			err := call(t, methods["Reset"], tt.user, tt.server)
			if err == nil || err.Name != launcherbus.Interface+".Error."+string(tt.code) {
				t.Fatalf("answer is %v, want %s", err, tt.code)
			}
			if len(h.units) != before {
				t.Errorf("units were started: %v", h.units)
			}
			if strings.Contains(err.Error(), "secret detail") {
				t.Errorf("the answer has a cause that is for the log alone: %v", err)
			}
		})
	}
}

// TestResetWhileStarting checks that a reset finds a server that is on its way.
func TestResetWhileStarting(t *testing.T) {
	h := keepingHost(t)
	h.units["jupyter-alice.service"] = systemd.Active
	h.l.enter(made{Metadata: contract.Metadata{Key: h.key("alice", "")}})
	if err := h.l.files.noteContainer(h.key("alice", ""), container{"lab", "00", nil}); err != nil {
		t.Fatal(err)
	}
	if err := h.l.Reset(t.Context(), h.key("alice", "")); codeOf(err) != launcherbus.AlreadyExists {
		t.Errorf("got %v", err)
	}
}
