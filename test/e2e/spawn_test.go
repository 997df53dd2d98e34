//go:build e2e

package e2e

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// testUnit checks every condition that running rootless Podman in a system unit depends
// on (Podman's maintainers call it unsupported), and what the unit must and must not
// show.
func testUnit(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "alice")
	v.stop("alice")
	since := time.Now()
	v.start("alice", "jupyterlab")
	const unit = "jupyter-alice.service"
	for name, want := range map[string]string{
		"ActiveState": "active", "User": "alice", "Slice": "jupyter.slice", "Type": "notify", "NotifyAccess": "exec",
		"Delegate":  "yes",
		"Transient": "yes", "MemoryMax": strconv.Itoa(4 << 30), "TasksMax": "2000", "CPUQuotaPerSecUSec": "2s",
	} {
		if got := h.property(t, unit, name); got != want {
			t.Errorf("%s of the unit is %q, want %q", name, got, want)
		}
	}
	if got := h.run(t, "loginctl", "show-user", "alice", "-p", "Linger", "--value"); strings.TrimSpace(got) != "yes" {
		t.Errorf("lingering for alice is %s", got)
	}
	environment := h.property(t, unit, "Environment")
	if !strings.Contains(environment, "XDG_RUNTIME_DIR=/run/user/5001") {
		t.Errorf("no runtime directory in %s", environment)
	}
	main := h.property(t, unit, "MainPID")
	if comm := strings.TrimSpace(h.run(t, "cat", "/proc/"+main+"/comm")); comm != "conmon" {
		t.Errorf("the main process is %s, want conmon", comm)
	}
	cgroup := h.property(t, unit, "ControlGroup")
	if payload := h.run(t, "sh", "-c", "cat $(find /sys/fs/cgroup"+cgroup+
		" -name cgroup.procs) | sort -u | "+
		"xargs -n1 -I{} cat /proc/{}/cmdline | tr '\\0' ' '"); !strings.Contains(payload, "jupyterhub-singleuser") {
		t.Errorf("the payload is not in the unit's cgroup: %s", payload)
	}
	// systemd must be able to read back what it wrote of the unit: packages reload it.
	h.run(t, "systemctl", "daemon-reload")
	if state := h.property(t, unit, "LoadState"); state != "loaded" {
		t.Errorf("after a daemon-reload the unit is %s", state)
	}
	t.Run("secrets", func(t *testing.T) { noSecrets(t, h, v, since) })
	t.Run("log once", func(t *testing.T) {
		log := h.journal(t, "jupyter-alice", since)
		if n := strings.Count(log, "is running at"); n != 1 {
			t.Errorf("the line \"is running at\" stands %d times in the journal:\n%s", n, log)
		}
	})
	t.Run("socket", func(t *testing.T) { noWayToTheSocket(t, h) })
}

// noSecrets looks for the server's token where others could read it.
func noSecrets(t *testing.T, h host, v *visitor, since time.Time) {
	k := v.newKernel("alice")
	token := strings.TrimSpace(k.exec(`import os; print(os.environ["JUPYTERHUB_API_TOKEN"])`))
	if !regexp.MustCompile(`^[A-Za-z0-9]{20,}$`).MatchString(token) {
		t.Fatalf("the server's token looks like %q", token)
	}
	places := map[string]string{
		"systemctl show": h.run(t, "systemctl", "show", "jupyter-alice.service"),
		"unit file":      h.run(t, "systemctl", "cat", "jupyter-alice.service"),
		"command lines":  h.run(t, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"),
		"journal": h.run(t, "journalctl", "--no-pager", "-o", "export", "-a",
			"--since=@"+strconv.FormatInt(since.Unix(), 10)),
	}
	for place, text := range places {
		if strings.Contains(text, token) {
			t.Errorf("the server's token stands in: %s", place)
		}
	}
	if left := h.run(t, "find", "/run/gifford-launcher/credentials", "-type", "f"); left != "" {
		t.Errorf("credential files are left: %s", left)
	}
}

// noWayToTheSocket checks that only alice and the hub can reach her server, and that it
// has no TCP port on the host.
func noWayToTheSocket(t *testing.T, h host) {
	socket := strings.TrimSpace(h.run(t, "find", "/run/gifford-launcher/servers/alice", "-type", "s"))
	if socket == "" {
		t.Fatal("alice's server has no socket")
	}
	h.sh(t, "alice", "curl -sf --unix-socket "+socket+" http://x/user/alice/api")
	h.sh(t, "gifford-hub", "curl -sf --unix-socket "+socket+" http://x/user/alice/api")
	h.fails(t, "runuser", "-u", "bob", "--", "curl", "-sf", "--unix-socket", socket, "http://x/user/alice/api")
	listening := h.run(t, "ss", "-Hltnp")
	for line := range strings.Lines(listening) {
		if strings.Contains(line, "conmon") || strings.Contains(line, "python") || strings.Contains(line, "pasta") ||
			strings.Contains(line, "rootlessport") {
			t.Errorf("a port of the notebook's is open on the host: %s", line)
		}
	}
}

// testFiles checks HOME, the shared file system, owners and supplementary groups, and
// that files outlive the server.
func testFiles(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "alice")
	v.start("alice", "jupyterlab")
	k := v.newKernel("alice")
	tests := map[string]struct{ code, want string }{
		"home": {`import os; print(os.environ["HOME"], os.getcwd())`,
			"/cluster/alice /cluster/alice\n"},
		"home writable": {`print(open("made-inside.txt","w").write("hello"))`, "5\n"},
		"cluster readable": {`print(os.path.exists("/cluster/public/readme.txt"), ` +
			`len(open("/cluster/public/readme.txt").read()) > 0)`, "True True\n"},
		"cluster read-only":    {`open("/cluster/public/x","w")`, "Read-only file system"},
		"another's home":       {`open("/cluster/bob/x","w")`, "denied"},
		"supplementary groups": {`print(len(open("/cluster/shared/secret.txt").read()) > 0)`, "True\n"},
		"nothing else": {`print(os.path.exists("/run/dbus/system_bus_socket"), ` +
			`os.path.exists("/var/run/docker.sock"), os.path.exists("/etc/gifford-hub"))`, "False False False\n"},
		"the hub's API only": {`import urllib.request; ` +
			`print(urllib.request.urlopen(os.environ["JUPYTERHUB_API_URL"]).status)`, "200\n"},
		"no other port": {`import socket
s = socket.socket(); s.settimeout(3)
print(s.connect_ex(("127.0.0.1", 22222)) != 0)`, "True\n"},
	}
	h.run(t, "systemd-run", "--unit=e2e-loopback", "--collect", "sh", "-c",
		"exec python3 -m http.server --bind 127.0.0.1 22222 2>/dev/null || exec nc -lk 127.0.0.1 22222")
	defer func() { _, _ = h.try(t.Context(), "systemctl", "stop", "e2e-loopback") }()
	for _, name := range []string{"home", "home writable", "cluster readable", "cluster read-only", "another's home",
		"supplementary groups", "nothing else", "the hub's API only", "no other port"} {
		tt := tests[name]
		if got := k.exec(tt.code); !strings.Contains(got, tt.want) {
			t.Errorf("%s: the cell printed %q, want %q", name, got, tt.want)
		}
	}
	if owner := strings.TrimSpace(h.run(t, "stat", "-c", "%U:%G",
		"/cluster/alice/made-inside.txt")); owner != "alice:alice" {
		t.Errorf("on the host the file belongs to %s", owner)
	}
	v.stop("alice")
	v.start("alice", "jupyterlab")
	if got := v.newKernel("alice").exec(`print(open("made-inside.txt").read())`); got != "hello\n" {
		t.Errorf("after stop and start the file holds %q", got)
	}
}

// testFailuresAreClear starts what cannot run: each ends in words on the page and in the
// journal, and no unit is left.
func testFailuresAreClear(t *testing.T) {
	h := theHost(t)
	tests := []struct {
		name, account, profile string
		want, wantLog          string
	}{
		{"image missing", "bob", "missing", "localhost/gifford/missing", "localhost/gifford/missing"},
		{"image exits at once", "bob", "exits", "exit", "cannot find the licence server"},
		{"image never answers", "bob", "silent", "did not answer", ""},
		{"unknown profile", "bob", "nonsense", "nonsense", ""},
		{"home is a link", "frank", "jupyterlab", "/cluster/frank", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			since := time.Now()
			v := member(t, h, tt.account)
			v.stop(tt.account)
			v.api("POST", "/users/"+tt.account+"/server", `{"profile":"`+tt.profile+`"}`)
			var failed string
			eventually(t, "the start has failed", 3*time.Minute, func() bool {
				_, failed = v.server(tt.account)
				return failed != ""
			})
			home := v.get("/hub/home").body
			if !strings.Contains(home, tt.want) {
				t.Errorf("the page does not say %q; the stream's end: %s\n%s", tt.want, failed, home)
			}
			if tt.wantLog != "" && !strings.Contains(home, tt.wantLog) {
				t.Errorf("the page does not show the unit's line %q\n%s", tt.wantLog, home)
			}
			eventually(t, "the hub's journal says "+tt.want, 10*time.Second, func() bool {
				return strings.Contains(h.journal(t, "gifford-hub", since, "JUPYTER_USER="+tt.account), tt.want)
			})
			eventually(t, "no unit is left", 30*time.Second, func() bool {
				return strings.TrimSpace(h.run(t, "systemctl", "list-units", "--all", "--no-legend", "--plain",
					"jupyter-"+tt.account+"*.service")) == ""
			})
		})
	}
}

// testAccountsOfEveryKind starts a server for an account that is not in /etc/passwd and
// has no sub-ids, and for one whose home is not there yet.
func testAccountsOfEveryKind(t *testing.T) {
	h := theHost(t)
	for _, account := range []string{"erin", "gail"} {
		t.Run(account, func(t *testing.T) {
			v := member(t, h, account)
			v.start(account, "jupyterlab")
			defer v.stop(account)
			k := v.newKernel(account)
			if got := k.exec(`import os; open("x","w").write("1"); print(os.environ["HOME"])`); got != "/cluster/"+
				account+"\n" {
				t.Errorf("HOME is %q", got)
			}
			if owner := strings.TrimSpace(h.run(t, "stat", "-c", "%U", "/cluster/"+account+"/x")); owner != account {
				t.Errorf("the file belongs to %s", owner)
			}
			if ids := h.run(t, "grep", "-c", "^"+account+":", "/etc/subuid"); strings.TrimSpace(ids) != "1" {
				t.Errorf("%s has %s lines in /etc/subuid", account, ids)
			}
		})
	}
	ranges := map[string]string{}
	for line := range strings.Lines(h.run(t, "cat", "/etc/subuid")) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if other, taken := ranges[f[1]]; taken {
			t.Errorf("%s and %s have the same sub-ids", other, f[0])
		}
		ranges[f[1]] = f[0]
	}
}

// testUnitEndsByItself kills a notebook; the hub knows within a second and says so.
func testUnitEndsByItself(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "bob")
	v.start("bob", "jupyterlab")
	since := time.Now()
	h.run(t, "systemctl", "kill", "-s", "KILL", "jupyter-bob.service")
	took := eventually(t, "the hub knows that bob's server is gone", 20*time.Second, func() bool {
		ready, _ := v.server("bob")
		return !ready
	})
	t.Logf("the hub knew of the end %s after the kill was asked for", took)
	if home := v.get("/hub/home").body; !strings.Contains(home, "signal") {
		t.Errorf("home does not say how the server ended:\n%s", home)
	}
	eventually(t, "the journal has a line EVENT=server-failed for bob", 10*time.Second, func() bool {
		return h.journal(t, "gifford-hub", since, "JUPYTER_USER=bob", "EVENT=server-failed") != ""
	})
	eventually(t, "no unit is left", 30*time.Second, func() bool {
		return h.property(t, "jupyter-bob.service", "LoadState") == "not-found"
	})
}
