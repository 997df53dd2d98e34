//go:build e2e

package e2e

import (
	"bytes"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// shell runs "gifford-hub servers shell" on the host with an input, and returns the output
// and the exit status.
func (h host) shell(t *testing.T, input string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), h.lab, append([]string{"enter", h.name, "--", "env", "SUDO_USER=dora",
		"gifford-hub", "servers", "shell"}, args...)...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &out
	_ = cmd.Run()
	return out.String(), cmd.ProcessState.ExitCode()
}

// must is shell for commands that must succeed.
func (h host) must(t *testing.T, input string, args ...string) string {
	t.Helper()
	out, status := h.shell(t, input, args...)
	if status != 0 {
		t.Fatalf("servers shell %s: exit status %d\n%s", strings.Join(args, " "), status, out)
	}
	return out
}

// debianPackage makes a package with one program on the host and returns it in base 64.
func debianPackage(t *testing.T, h host) string {
	t.Helper()
	return h.run(t, "sh", "-ec", `
		dir=$(mktemp -d)
		mkdir -p $dir/root/DEBIAN $dir/root/usr/bin
		printf '#!/bin/sh\necho moo\n' >$dir/root/usr/bin/gifford-cow
		chmod 0755 $dir/root $dir/root/usr/bin/gifford-cow
		printf '%s\n' 'Package: gifford-cow' 'Version: 1' 'Architecture: all' \
			'Maintainer: Nobody <nobody@example.org>' 'Description: a test' >$dir/root/DEBIAN/control
		dpkg-deb --build --root-owner-group $dir/root $dir/cow.deb >/dev/null
		base64 -w0 $dir/cow.deb
		rm -r $dir`)
}

// token returns the JUPYTERHUB_API_TOKEN of a running server and checks whether the hub's API
// takes it from inside.
func (v *visitor) token(user string) string {
	v.t.Helper()
	out := v.newKernel(user).exec(`import os, urllib.request
token = os.environ["JUPYTERHUB_API_TOKEN"]
request = urllib.request.Request(os.environ["JUPYTERHUB_API_URL"] + "/user",
    headers={"Authorization": "token " + token})
print(token, urllib.request.urlopen(request).status, os.path.exists("/run/jupyter/env"))
print(len(open("/cluster/shared/secret.txt").read()) > 0)`)
	token, rest, _ := strings.Cut(out, " ")
	if rest != "200 False\nTrue\n" || len(token) < 20 {
		v.t.Fatalf("the server's token and groups: %q", out)
	}
	return token
}

// inspected is all that podman says of alice's containers, as alice.
func inspected(t *testing.T, h host) string {
	t.Helper()
	return h.run(t, "systemd-run", "-q", "--pipe", "--wait", "--collect", "--uid=alice",
		"-E", "HOME=/var/lib/gifford-launcher/users/alice", "-E", "XDG_RUNTIME_DIR=/run/user/5001",
		"-E", "CONTAINERS_STORAGE_CONF="+views+"alice/_/storage.conf", "-E",
		"DBUS_SESSION_BUS_ADDRESS=unix:path=/dev/null",
		"sh", "-c", "podman ps --all --format '{{.Names}}' && podman inspect $(podman ps --all --quiet)")
}

// hasCow reports whether the package is in alice's server.
func hasCow(t *testing.T, h host) bool {
	out, status := h.shell(t, "", "alice", "--", "gifford-cow")
	return status == 0 && out == "moo\n"
}

// testPersistentServer installs a system package as root of the container and follows it
// through stops, a kill, another profile in between, and a reset.
func testPersistentServer(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "alice")
	v.stop("alice")
	since := time.Now()
	v.start("alice", "kept")
	first := v.token("alice")
	h.must(t, debianPackage(t, h), "--root", "alice", "--", "sh", "-ec",
		"base64 -d >/tmp/cow.deb; dpkg -i /tmp/cow.deb")
	if !hasCow(t, h) {
		t.Fatal("the package is not installed")
	}
	v.newKernel("alice").exec(`print(open("stays-after-reset.txt", "w").write("mine"))`)

	v.stop("alice")
	v.start("alice", "kept")
	if !hasCow(t, h) {
		t.Error("the package is gone after stop and start")
	}
	second := v.token("alice")
	if first == second {
		t.Error("the second start has the token of the first")
	}
	t.Run("no secret", func(t *testing.T) { noKeptSecret(t, h, since, first, second) })

	v.stop("alice")
	v.start("alice", "jupyterlab") // in between, and not persistent
	if hasCow(t, h) {
		t.Error("the package is in a profile that keeps nothing")
	}
	v.stop("alice")
	v.start("alice", "kept")
	if !hasCow(t, h) {
		t.Error("the package is gone after another profile was used")
	}

	t.Run("all processes killed", func(t *testing.T) {
		h.run(t, "systemctl", "kill", "--signal=KILL", "jupyter-alice.service")
		eventually(t, "the hub knows that the server has ended", time.Minute, func() bool {
			ready, _ := v.server("alice")
			return !ready && h.property(t, "jupyter-alice.service", "ActiveState") == "inactive"
		})
		v.start("alice", "kept")
		if !hasCow(t, h) {
			t.Error("the package is gone after a kill")
		}
		v.token("alice")
	})

	t.Run("changed settings", func(t *testing.T) { changedSettings(t, h, v) })

	if out := h.fails(t, "gifford-hub", "servers", "reset", "alice"); !strings.Contains(out, "not stopped") ||
		!strings.Contains(out, "hint: gifford-hub servers reset --stop alice") {
		t.Errorf("reset of a running server: %s", out)
	}
	if out := h.run(t, "gifford-hub", "servers", "reset", "--stop", "alice"); out != "reset alice\n" {
		t.Errorf("reset printed %q", out)
	}
	if out := h.fails(t, "gifford-hub", "servers", "reset", "alice"); !strings.Contains(out,
		"server alice has no persistent container") {
		t.Errorf("a second reset: %s", out)
	}
	v.start("alice", "kept")
	if hasCow(t, h) {
		t.Error("the package is there after a reset")
	}
	if got := v.newKernel("alice").exec(`print(open("stays-after-reset.txt").read())`); got != "mine\n" {
		t.Errorf("after the reset HOME has %q", got)
	}
	v.stop("alice")
	h.run(t, "gifford-hub", "servers", "reset", "alice")
}

// noKeptSecret looks for tokens where they would stay with the container.
func noKeptSecret(t *testing.T, h host, since time.Time, tokens ...string) {
	places := map[string]string{
		"podman inspect": inspected(t, h),
		"systemctl show": h.run(t, "systemctl", "show", "jupyter-alice.service"),
		"command lines":  h.run(t, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"),
		"unit's log":     h.journal(t, "jupyter-alice", since),
		"alice's store": h.run(t, "sh", "-c", "grep -rls "+strings.Join(tokens, " -e ")+
			" /var/lib/gifford-launcher/users/alice --include='*.json' --include='*.db' || true"),
		"socket directory": h.run(t, "find", "/run/gifford-launcher/servers/alice", "-type", "f"),
	}
	if !strings.Contains(places["podman inspect"], "jupyter-alice.kept") {
		t.Errorf("podman does not know the container: %s", places["podman inspect"])
	}
	for place, text := range places {
		for _, token := range tokens {
			if strings.Contains(text, token) {
				t.Errorf("a token stands in: %s", place)
			}
		}
	}
	if text := places["alice's store"] + places["socket directory"]; strings.TrimSpace(text) != "" {
		t.Errorf("files with a secret: %s", text)
	}
}

// changedSettings changes the profile: the container goes on as it is, and says so.
func changedSettings(t *testing.T, h host, v *visitor) {
	const file = "/etc/gifford-hub/launcher.toml"
	before := h.run(t, "cat", file)
	h.put(t, file, "0644", before+"\nenv = { GIFFORD_TEST = \"x\" }\n") // the last profile is the persistent one
	defer h.put(t, file, "0644", before)
	v.stop("alice")
	since := time.Now()
	v.start("alice", "kept")
	const words = "settings of profile \"kept\" changed since this container was made; they apply after a reset"
	if log := h.journal(t, "jupyter-alice", since.Add(-time.Second)); !strings.Contains(log, words) {
		t.Errorf("the unit's log does not say that settings changed:\n%s", log)
	}
	if !hasCow(t, h) {
		t.Error("the package is gone after a change of settings")
	}
}

// testUserPackagesPersist installs a wheel below HOME, as pip --user does, with the
// server's own Python.
func testUserPackagesPersist(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "alice")
	v.stop("alice")
	v.start("alice", "jupyterlab")
	got := v.newKernel("alice").exec(`import os, site, zipfile
wheel = "/tmp/gifford_cow-1-py3-none-any.whl"
with zipfile.ZipFile(wheel, "w") as z:
    z.writestr("gifford_cow.py", "def moo(): return 'moo'\n")
    z.writestr("gifford_cow-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: gifford-cow\nVersion: 1\n")
where = site.getusersitepackages()
os.makedirs(where, exist_ok=True)
zipfile.ZipFile(wheel).extractall(where)
print(site.getuserbase(), site.ENABLE_USER_SITE, where.startswith("/cluster/alice/"))`)
	if got != "/cluster/alice/.local True True\n" {
		t.Fatalf("Python's directory for the user: %q", got)
	}
	v.stop("alice")
	v.start("alice", "jupyterlab")
	if got := v.newKernel("alice").exec("import gifford_cow, importlib.metadata\nprint(gifford_cow.moo(), " +
		"importlib.metadata.version('gifford-cow'))"); got != "moo 1\n" {
		t.Errorf("after stop and start: %q", got)
	}
	h.run(t, "sh", "-c", "rm -r /cluster/alice/.local/lib/python*/site-packages/gifford_cow*")
}

// testShell checks who the shell is, its streams and exit status, a terminal, that it is
// logged and leaves nothing behind, and who may not have one.
func testShell(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "alice")
	v.start("alice", "jupyterlab")
	since := time.Now()
	tests := map[string]struct {
		input  string
		args   []string
		want   string
		status int
	}{
		"root": {"", []string{"--root", "alice", "--", "id", "-u"}, "0\n", 0},
		"member": {"", []string{"alice", "--", "sh", "-c", "id -u; touch /usr/x"},
			"1000\ntouch: cannot touch '/usr/x': Permission denied\n", 1},
		"exit status": {"", []string{"alice", "--", "sh", "-c", "exit 42"}, "", 42},
		"input":       {"a\nb\n", []string{"alice", "--", "cat"}, "a\nb\n", 0},
		"shell":       {"echo $((6*7)); exit 3\n", []string{"alice"}, "42\n", 3},
		"not running": {"", []string{"bob", "--server", "none"},
			"gifford-hub: server bob:none does not run\nhint: gifford-hub servers start bob:none\n", 1},
		"no dashes": {"", []string{"alice", "ls"}, "gifford-hub: a command to run stands after --\nhint: " +
			"gifford-hub servers shell --help\n", 2},
		"many lines": {"", []string{"alice", "--", "sh", "-c", "seq 100000 | tail -1"}, "100000\n", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if out, status := h.shell(t, tt.input, tt.args...); out != tt.want || status != tt.status {
				t.Errorf("exit status %d, output %q; want %d, %q", status, out, tt.status, tt.want)
			}
		})
	}
	t.Run("terminal", func(t *testing.T) {
		out, err := h.try(t.Context(), "sh", "-c",
			`printf 'stty size; tty; exit 5\n' | `+
				`script -qec 'stty rows 33 cols 111; gifford-hub servers shell --root alice' /dev/null; echo status $?`)
		if err != nil || !strings.Contains(out, "33 111") || !strings.Contains(out, "/dev/pts/") ||
			!strings.Contains(out, "status 5") {
			t.Errorf("in a terminal: %v\n%s", err, out)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		out, err := h.try(t.Context(), "sh", "-c",
			`gifford-hub servers shell alice -- sh -c 'echo begun; sleep 3' >/run/e2e-shell 2>&1 & p=$!
			until grep -q begun /run/e2e-shell; do sleep 0.05; done
			pkill -INT -x gifford-shell; wait $p; echo status $?; cat /run/e2e-shell; rm /run/e2e-shell`)
		if err != nil || !strings.Contains(out, "status 125") ||
			!strings.Contains(out, "interrupted; the command goes on") {
			t.Errorf("after an interrupt: %v\n%s", err, out)
		}
	})
	t.Run("not root", func(t *testing.T) {
		for _, who := range []string{"alice", "bob", "gifford-hub"} {
			if out := h.fails(t, "runuser", "-u", who, "--", "gifford-hub", "servers", "shell",
				"alice"); !strings.Contains(out, "only root may do this") {
				t.Errorf("%s: %s", who, out)
			}
			h.fails(t, "runuser", "-u", who, "--", "/usr/libexec/gifford-hub/gifford-shell", "--user", "alice", "--",
				"id")
		}
	})
	t.Run("logged", func(t *testing.T) {
		log := h.journal(t, "gifford-hub", since, "EVENT=servers-shell", "JUPYTER_USER=alice", "-o", "export")
		for _, want := range []string{"WHO=dora", "ROOT=true", "COMMAND=id -u", "JUPYTER_USER=alice"} {
			if !strings.Contains(log, want) {
				t.Errorf("the journal does not say %s:\n%s", want, log)
			}
		}
		if log := h.journal(t, "gifford-hub", since, "EVENT=servers-shell-end", "JUPYTER_USER=alice", "-o",
			"export"); !strings.Contains(log, "STATUS=42") {
			t.Errorf("the journal does not say how a shell ended:\n%s", log)
		}
	})
	t.Run("nothing left", func(t *testing.T) {
		left := h.run(t, "sh", "-c", "systemctl list-units --all --plain --no-legend 'gifford-podman-*'; ls -d "+
			"/run/gifford-podman-* 2>/dev/null || true; pgrep -af '[s]ystem service .*/run/gifford-podman-' || true")
		if strings.TrimSpace(left) != "" {
			t.Errorf("left behind: %s", left)
		}
	})
}

// testResetInTheBrowser resets a server as its owner does, and keeps pictures.
func testResetInTheBrowser(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "dora")
	v.stop("dora")
	v.start("dora", "kept")
	h.must(t, "", "--root", "dora", "--", "touch", "/usr/share/gifford-mark")
	if p := v.get("/hub/home"); strings.Contains(p.body, "/hub/reset/") {
		t.Error("a server that runs offers a reset")
	}
	if p := v.get("/hub/reset/dora"); !strings.Contains(p.body, "must be stopped first") {
		t.Errorf("the page for a server that runs: %s", p)
	}
	v.stop("dora")
	if p := member(t, h, "bob").get("/hub/reset/dora"); p.status != http.StatusNotFound {
		t.Errorf("bob gets dora's page: %s", p)
	}
	ctx := browser(t)
	signInWith(t, ctx, h, "dora")
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"narrow", 360, 740}, {"wide", 1280, 900}} {
		do(t, ctx, size.name, chromedp.EmulateViewport(size.width, size.height))
		do(t, ctx, "home", chromedp.Navigate("https://"+h.ip+"/hub/home"))
		do(t, ctx, "the way to reset", chromedp.WaitVisible(`a[href="/hub/reset/dora"]`))
		picture(t, ctx, "page-home-kept-"+size.name)
		do(t, ctx, "reset", chromedp.Click(`a[href="/hub/reset/dora"]`))
		do(t, ctx, "the question", chromedp.WaitVisible(`form[action="/hub/reset/dora"] button`))
		picture(t, ctx, "page-reset-"+size.name)
		if wider := do(t, ctx, "width",
			chromedp.Evaluate[bool](`document.documentElement.scrollWidth > window.innerWidth`)); wider {
			t.Errorf("the page is wider than the window at %d", size.width)
		}
	}
	do(t, ctx, "yes", chromedp.Click(`form[action="/hub/reset/dora"] button`))
	do(t, ctx, "home again", chromedp.WaitVisible(`form[action="/hub/spawn"] button`))
	if p := v.get("/hub/home"); strings.Contains(p.body, "/hub/reset/") {
		t.Error("a reset is still offered")
	}
	v.start("dora", "kept")
	if _, status := h.shell(t, "", "dora", "--", "test", "-e", "/usr/share/gifford-mark"); status != 1 {
		t.Errorf("the mark is there after a reset: exit status %d", status)
	}
	v.stop("dora")
	h.run(t, "gifford-hub", "servers", "reset", "dora")
}
