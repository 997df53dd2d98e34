package launcher

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

var errBroken = errors.New("it is broken") // what a part of the host answers

// TestEveryFailure lets each part of the host fail under each operation that needs it. The operation must return that
// error, start nothing and lend nothing.
func TestEveryFailure(t *testing.T) {
	do := map[string]func(h *host) error{
		"Start": func(h *host) error { return h.startWith("keeps", h.key("bob", "")) },
		"Stop":  func(h *host) error { return h.l.Stop(h.t.Context(), h.key("alice", "")) },
		"Get":   func(h *host) error { _, err := h.l.Get(h.t.Context(), h.key("alice", "")); return err },
		"List":  func(h *host) error { rows, err := h.l.List(h.t.Context()); return none(rows == nil, err) },
		"GPUs":  func(h *host) error { g, err := h.l.GPUs(h.t.Context()); return none(g.Devices == nil, err) },
		"Images": func(h *host) error {
			images, err := h.l.Images(h.t.Context())
			return none(images.Servers == nil && images.Profiles == nil, err)
		},
		"Persistent": func(h *host) error { rows, err := h.l.Persistent(h.t.Context()); return none(rows == nil, err) },
		"Reset":      func(h *host) error { return h.l.Reset(h.t.Context(), h.key("carol", "")) },
		"Log": func(h *host) error {
			_, err := h.l.Log(h.t.Context(), launcherbus.LogRequest{Key: h.key("alice", ""), Lines: 1})
			return err
		},
		"DiskUse": func(h *host) error {
			_, err := h.l.DiskUse(h.t.Context(), h.key("bob", "").User,
				true)
			return err
		},
		"Adopt": func(h *host) error { found, err := h.l.Adopt(h.t.Context()); return none(found == nil, err) },
	}
	needs := map[string]string{"Start": "Podman List EnableLinger StartTransient Get", "Stop": "Stop", "Get": "Get",
		"List": "List Get", "GPUs": "List Get", "Images": "List Get", "Persistent": "Podman",
		"Reset": "Podman EnableLinger", "DiskUse": "Get StartTransient", "Log": "Get Journal", "Adopt": "List Get"}
	for operation, parts := range needs {
		for part := range strings.FieldsSeq(parts) {
			t.Run(operation+" without "+part, func(t *testing.T) {
				h := failingHost(t)
				h.fails[part] = errBroken
				if err := do[operation](h); !errors.Is(err, errBroken) {
					t.Errorf("error is %v", err)
				}
				h.fails = map[string]error{}
				if len(h.units) != 2 || h.held() != "" {
					t.Errorf("units %v, held %q", h.units, h.held())
				}
			})
		}
	}
	for _, operation := range []string{"Start", "GPUs", "Images", "Persistent", "Reset", "DiskUse"} {
		t.Run(operation+" without a policy", func(t *testing.T) {
			h := failingHost(t)
			h.text = "not a policy"
			if err := do[operation](h); codeOf(err) != launcherbus.Internal ||
				!strings.Contains(err.Error(), "policy") {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// failingHost is a host with a server of alice's, one that no launcher has adopted yet, and a container of carol's.
func failingHost(t *testing.T) *host {
	h := gpuHost(t)
	if err := start(h, h.key("alice", "")); err != nil {
		t.Fatal(err)
	}
	h.units["jupyter-dora.service"] = systemd.Active
	h.env["jupyter-dora.service"] = []string{"GIFFORD_PROFILE=lab", "GIFFORD_UID=7"}
	if err := errors.Join(os.MkdirAll(filepath.Join(h.dir, "state/kept/carol"), 0o700),
		os.WriteFile(filepath.Join(h.dir, "state/kept/carol/_"), []byte("keeps 00\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return h
}

// none adds to an error that there was an answer beside it.
func none(empty bool, err error) error {
	if err != nil && !empty {
		return errors.New("there is an answer beside the error " + err.Error())
	}
	return err
}

// TestObstacles puts something in the way of each thing that a start makes. It must fail, start nothing and lend
// nothing.
func TestObstacles(t *testing.T) {
	remove := func(names ...string) func(h *host) error {
		return func(h *host) (err error) {
			for _, name := range names {
				err = errors.Join(err, os.RemoveAll(filepath.Join(h.dir, name)))
			}
			return err
		}
	}
	file := func(name string) func(h *host) error {
		return func(h *host) error {
			return errors.Join(remove(name)(h), os.WriteFile(filepath.Join(h.dir, name), []byte("x"), 0o600))
		}
	}
	directory := func(name string) func(h *host) error {
		return func(h *host) error {
			return errors.Join(remove(name)(h), os.MkdirAll(filepath.Join(h.dir, name, "x"), 0o755))
		}
	}
	tests := map[string]func(h *host) error{
		"no directory of members":         remove("state/users"),
		"a file as a member's directory":  file("state/users/alice"),
		"no runtime directories":          remove("run/users"),
		"a directory as storage.conf":     directory("run/users/alice/storage.conf"),
		"no directories of sockets":       remove("run/servers"),
		"a file as sockets' directory":    file("run/servers/alice"),
		"no credentials":                  remove("run/credentials"),
		"a directory as credential":       directory("run/credentials/jupyter-alice.service.env"),
		"no requests":                     remove("run/requests"),
		"a directory as request":          directory("run/requests/jupyter-alice.service.json"),
		"no records":                      remove("state/kept"),
		"a file as records":               file("state/kept/alice"),
		"a record that cannot be read":    file("state/kept/alice/_"),
		"a directory as subuid":           directory("etc/subuid"),
		"a directory as subgid":           directory("etc/subgid"),
		"a directory as ledger":           directory("state/subids"),
		"a directory as the files' lock":  directory("etc/.pwd.lock"),
		"a directory as the ledger's new": directory("state/.subids.gifford-launcher"),
	}
	for name, put := range tests {
		t.Run(name, func(t *testing.T) {
			h := gpuHost(t)
			if err := os.MkdirAll(filepath.Join(h.dir, "state/kept/alice"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := put(h); err != nil {
				t.Fatal(err)
			}
			if err := h.startWith("keeps", h.key("alice", "")); err == nil {
				t.Error("it has started")
			}
			if len(h.units) != 0 || h.held() != "" {
				t.Errorf("units %v, held %q", h.units, h.held())
			}
		})
	}
}

// TestFailedUnitUnread checks that the end of a unit is announced and cleared away even if systemd does not say why.
func TestFailedUnitUnread(t *testing.T) {
	for _, part := range []string{"Outcome", "ResetFailed"} {
		h := newHost(t)
		if err := start(h, h.key("alice", "")); err != nil {
			t.Fatal(err)
		}
		h.fails[part] = errBroken
		h.change(t.Context(), "jupyter-alice.service", systemd.Failed)
		h.l.Close()
		if h.states() != "alice running, alice failed" || leftIn(t, h.dir) != "" ||
			h.l.server(h.key("alice", "")) != nil {
			t.Errorf("%s: events %s, left %s", part, h.states(), leftIn(t, h.dir))
		}
	}
	h := newHost(t)
	if err := start(h, h.key("alice", "")); err != nil {
		t.Fatal(err)
	}
	h.fails["Outcome"] = systemd.ErrNotLoaded
	h.change(t.Context(), "jupyter-alice.service", systemd.Failed)
	if len(h.reset) != 1 {
		t.Errorf("a unit that is forgotten already: reset %v", h.reset)
	}
}

// TestKilledAtStop checks that a unit that was stopped has not failed, even if it had to be killed.
func TestKilledAtStop(t *testing.T) {
	h := newHost(t)
	k := h.key("alice", "")
	if err := start(h, k); err != nil {
		t.Fatal(err)
	}
	h.l.server(k).stopping = true
	h.end = systemd.Outcome{Result: "timeout", Exit: 9}
	h.change(t.Context(), k.Unit(), systemd.Failed)
	last := h.events[len(h.events)-1]
	if last.State != launcherbus.Stopped || last.Result != "" || last.Exit != 0 || len(h.reset) != 1 {
		t.Errorf("the event is %+v, reset %v", last, h.reset)
	}
}

// TestStopFails checks what a stop answers that systemd does not take, and that a failure afterwards is one.
func TestStopFails(t *testing.T) {
	h := newHost(t)
	k := h.key("alice", "")
	if err := start(h, k); err != nil {
		t.Fatal(err)
	}
	h.fails["Stop"] = systemd.ErrNotLoaded
	if err := h.l.Stop(t.Context(), k); codeOf(err) != launcherbus.NotFound {
		t.Errorf("a unit that systemd does not know: %v", err)
	}
	h.l.server(k).stopping = false
	h.fails["Stop"] = errBroken
	if err := h.l.Stop(t.Context(), k); !errors.Is(err, errBroken) {
		t.Errorf("error is %v", err)
	}
	h.change(t.Context(), k.Unit(), systemd.Failed)
	if h.states() != "alice running, alice failed" {
		t.Errorf("events: %s", h.states())
	}
}

// TestMakeRoom starts a server whose unit exists in each state, of the launcher's making and of another's.
func TestMakeRoom(t *testing.T) {
	ours := []string{"GIFFORD_PROFILE=lab", "GIFFORD_UID=1"}
	for name, tt := range map[string]struct {
		state systemd.State
		env   []string
		code  launcherbus.Code
		reset int
	}{
		"ours has failed": {systemd.Failed, ours, "", 1}, "ours runs": {systemd.Active, ours, launcherbus.AlreadyExists,
			0},
		"ours ends":            {systemd.Deactivating, ours, launcherbus.AlreadyExists, 0},
		"another's has failed": {systemd.Failed, nil, launcherbus.AlreadyExists, 0},
		"another's runs":       {systemd.Active, nil, launcherbus.AlreadyExists, 0},
		"another's is loaded":  {systemd.Inactive, nil, launcherbus.AlreadyExists, 0},
	} {
		h := newHost(t)
		h.units["jupyter-alice.service"], h.env["jupyter-alice.service"] = tt.state, tt.env
		if err := start(h, h.key("alice", "")); codeOf(err) != tt.code || (err == nil) != (tt.code == "") ||
			len(h.reset) != tt.reset {
			t.Errorf("%s: %v, reset %v", name, err, h.reset)
		}
	}
	h := newHost(t)
	h.units["jupyter-alice.service"], h.env["jupyter-alice.service"] = systemd.Failed, ours
	h.fails["ResetFailed"] = errBroken
	if err := start(h, h.key("alice", "")); !errors.Is(err, errBroken) {
		t.Errorf("a failed unit that stays: %v", err)
	}
}

// TestImages checks which images servers run on, and that a store that cannot be read has none.
func TestImages(t *testing.T) {
	h := newHost(t)
	for _, user := range []string{"alice", "bob"} {
		if err := start(h, h.key(user, "")); err != nil {
			t.Fatal(err)
		}
	}
	id := strings.Repeat("0a", 32)
	for unit, text := range map[string]string{"jupyter-alice.service": id + "\n", "jupyter-bob.service": "no id"} {
		if err := os.WriteFile(filepath.Join(h.dir, "run/images", unit), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(h.dir, "store"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	h.l.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	for _, share := range []string{"true", "false"} {
		h.text += "[images]\nshare = " + share + "\n"
		images, err := h.l.Images(t.Context())
		if err != nil || len(images.Servers) != 1 || images.Servers[0] != (launcherbus.ServerImage{User: "alice",
			ID: id}) ||
			images.Profiles == nil || len(images.Profiles) != 0 {
			t.Errorf("share = %s: %+v, %v", share, images, err)
		}
		if got := strings.Contains(log.String(), "event=images-unreadable"); got != (share == "true") {
			t.Errorf("share = %s: the log says %s", share, log.String())
		}
		h.text = strings.Replace(h.text, "[images]\nshare = true\n", "", 1)
		log.Reset()
	}
}

// TestNewRefuses leaves out each field and each directory.
func TestNewRefuses(t *testing.T) {
	h := newHost(t)
	good := h.l.cfg
	for name, spoil := range map[string]func(c *Config){
		"policy": func(c *Config) { c.Policy = nil }, "accounts": func(c *Config) { c.Accounts = nil },
		"manager": func(c *Config) { c.Manager = nil }, "units": func(c *Config) { c.Units = nil },
		"podman": func(c *Config) { c.Podman = nil }, "emit": func(c *Config) { c.Emit = nil },
		"log": func(c *Config) { c.Log = nil }, "run": func(c *Config) { c.RunDir = "/no/such" },
		"state": func(c *Config) { c.StateDir = "/no/such" }, "etc": func(c *Config) { c.EtcDir = "/no/such" },
	} {
		cfg := good
		spoil(&cfg)
		if l, err := New(cfg); err == nil || l != nil {
			t.Errorf("without %s: %v", name, err)
		}
	}
	for _, obstacle := range []string{"run/users", "run/images/lock", "state/kept"} {
		h := newHost(t)
		path := filepath.Join(h.dir, obstacle)
		if err := errors.Join(os.RemoveAll(path), os.Symlink("/no/such", path)); err != nil {
			t.Fatal(err)
		}
		if _, err := New(h.l.cfg); err == nil {
			t.Errorf("with a link as %s: New took it", obstacle)
		}
	}
	if _, err := New(good); err != nil {
		t.Errorf("all is there: %v", err)
	}
}

// TestUserLocks checks that one request of a user runs at a time, and that the table forgets users.
func TestUserLocks(t *testing.T) {
	var locks userLocks
	h := newHost(t)
	alice, bob := h.key("alice", "").User, h.key("bob", "").User
	unlock := locks.lock(alice)
	locks.lock(bob)()
	got := make(chan bool)
	go func() {
		defer locks.lock(alice)()
		got <- true
	}()
	select {
	case <-got:
		t.Fatal("two have the lock")
	case <-time.After(20 * time.Millisecond):
	}
	unlock()
	<-got
	for range 1000 {
		locks.mu.Lock()
		n := len(locks.locks)
		locks.mu.Unlock()
		if n == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("users are remembered")
}

func TestKeyOf(t *testing.T) {
	tests := map[string]string{
		"credentials/jupyter-alice:x.service.env": "alice:x", "servers/alice/_": "alice", "servers/alice/x": "alice:x",
		"other/alice/_": "", "servers/alice": "", "credentials/x.env": "", "credentials/.env": "", "credentials/x": "",
		"servers/../x": "", "servers/alice/x/y": "", "credentials": "", "servers": "", "servers/alice/_x": "",
	}
	for name, want := range tests {
		key, ok := keyOf(name)
		if got := key.String(); ok != (want != "") || ok && got != want {
			t.Errorf("%s is %q, %v; want %q", name, got, ok, want)
		}
	}
}

// TestImageAccount gives the image keeper's account its ids, and fails where something is missing.
func TestImageAccount(t *testing.T) {
	rules := policy.SubIDs{First: 1000, Count: 100}
	h := newHost(t)
	etc, state := filepath.Join(h.dir, "etc"), filepath.Join(h.dir, "new", "state")
	for range 2 { // the second time changes nothing
		if err := prepareImageAccount(t.Context(), h, rules, etc, state); err != nil {
			t.Fatal(err)
		}
	}
	if data, err := os.ReadFile(filepath.Join(etc, "subuid")); err != nil ||
		string(data) != "gifford-images:1000:100\n" {
		t.Errorf("subuid is %q, %v", data, err)
	}
	if info, err := os.Stat(state); err != nil || info.Mode().Perm() != passage {
		t.Errorf("the directory is %v, %v", info, err)
	}
	file := filepath.Join(h.dir, "gpus.json")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := prepareImageAccount(t.Context(), noNames{}, rules, etc, state); !errors.Is(err, accounts.ErrNotFound) ||
		!strings.Contains(hint.Text(err), "hint: systemd-sysusers") {
		t.Errorf("without an account: %v", err)
	}
	for what, dirs := range map[string][2]string{"etc": {"/no/such", state}, "state": {etc, file},
		"state's parent": {etc, file + "/x"}} {
		if err := prepareImageAccount(t.Context(), h, rules, dirs[0], dirs[1]); err == nil {
			t.Errorf("without %s: it works", what)
		}
	}
	if err := PrepareImageAccount("/no/such/policy"); err == nil {
		t.Error("it works without a policy")
	}
}

// noNames is a name service that knows nobody.
type noNames struct{}

func (noNames) Lookup(context.Context, ident.User) (accounts.Account, error) {
	return accounts.Account{User: ident.User{}, UID: 7}, accounts.ErrNotFound
}

func (noNames) Group(context.Context, string) (accounts.Group, error) {
	return accounts.Group{}, accounts.ErrNotFound
}

// TestPodmanVersion asks programs in podman's place.
func TestPodmanVersion(t *testing.T) {
	dir := t.TempDir()
	for d := dir; len(d) > len(os.TempDir()); d = filepath.Dir(d) { // the program runs as nobody
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(script string, at time.Time) string {
		t.Helper()
		file := filepath.Join(dir, "podman")
		err := errors.Join(os.WriteFile(file, []byte("#!/bin/sh\n"+script+"\n"), 0o755), os.Chtimes(file, at, at))
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	now := time.Unix(1700000000, 0)
	// It must not run as root.
	p := Podman{program: write("test $(id -u) != 0 && echo podman version 5.4.2", now)}
	want := contract.PodmanVersion{Major: 5, Minor: 4}
	if v, err := p.Version(t.Context()); err != nil || v != want {
		t.Fatalf("%v, %v", v, err)
	}
	write("exit 1", now)
	if v, err := p.Version(t.Context()); err != nil || v != want {
		t.Errorf("the same program again: %v, %v", v, err)
	}
	for script, words := range map[string]string{"exit 1": "cannot ask podman",
		"echo podman version 4.2.0": "is too old",
		"echo x":                    "cannot read Podman's version"} {
		now = now.Add(time.Second)
		write(script, now)
		if _, err := p.Version(t.Context()); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", script, err)
		}
	}
	p.program = filepath.Join(dir, "none")
	if _, err := p.Version(t.Context()); err == nil || !strings.Contains(hint.Text(err),
		"hint: install the package podman") {
		t.Errorf("no podman: %v", err)
	}
}

// TestUnreadable checks what is logged of a store and of devices that cannot be read, and that it fails nothing.
func TestUnreadable(t *testing.T) {
	var log strings.Builder
	h := gpuHost(t)
	h.l.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	if err := os.WriteFile(filepath.Join(h.dir, "gpus.json"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	g, err := h.l.GPUs(t.Context())
	if err != nil || len(g.Devices) != 2 || !strings.HasPrefix(g.ToolError, "gifford-gpus: cannot read") ||
		!strings.Contains(log.String(), "event=gpu-state") {
		t.Errorf("%+v, %v, %s", g, err, log.String())
	}
}
