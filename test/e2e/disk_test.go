//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

const policyFile = "/etc/gifford-hub/launcher.toml"

// withPolicy adds lines to the host's policy until the test ends.
func withPolicy(t *testing.T, h host, lines string) {
	t.Helper()
	before := h.run(t, "cat", policyFile)
	h.put(t, policyFile, "0644", before+"\n"+lines)
	t.Cleanup(func() {
		if out, err := h.try(noEnd(t), "sh", "-ec", `printf '%s' "$1" >`+policyFile, "restore", before); err != nil {
			t.Errorf("the policy is not as it was: %v\n%s", err, out)
		}
	})
}

// startFails asks for a server and returns why it did not start, as its owner is told.
func (v *visitor) startFails(user, profile string) string {
	v.t.Helper()
	v.stop(user)
	v.api("POST", "/users/"+user+"/server", `{"profile":"`+profile+`"}`)
	var failed string
	eventually(v.t, user+"'s start has failed", 3*time.Minute, func() bool {
		_, failed = v.server(user)
		return failed != ""
	})
	return failed
}

// inContainer runs a shell script as root of the container of a user's server: the user
// with their sub-ids, without capabilities on the host.
func inContainer(t *testing.T, h host, user, script string) string {
	t.Helper()
	return h.run(t, "sh", "-ec",
		`p=$(pgrep -n -u "$1" -f "python3.*jupyterhub-singleuser")
		nsenter -t "$p" -U -m -p -S 0 -G 0 sh -ec "$2" 2>&1`, "sh", user, script)
}

// testMounts checks who sees the policy's mounts, and that read-only is.
func testMounts(t *testing.T) {
	h := theHost(t)
	h.run(t, "sh", "-ec", `install -d -m 0755 /srv/mounts /srv/mounts/scratch /srv/mounts/all
		install -d -m 2770 -g labdata /srv/mounts/lab
		echo for the lab >/srv/mounts/lab/file; chmod 0664 /srv/mounts/lab/file; chgrp labdata /srv/mounts/lab/file
		echo for all >/srv/mounts/all/file
		install -d -m 0700 -o alice -g alice /srv/mounts/scratch/alice
		install -d -m 0700 -o bob -g bob /srv/mounts/scratch/bob`)
	defer h.run(t, "rm", "-rf", "/srv/mounts")
	withPolicy(t, h, `[[mount]]
source = "/srv/mounts/lab"
target = "/srv/lab"
unix_groups = ["labdata"]
[[profile.jupyterlab.mount]]
source = "/srv/mounts/all"
target = "/srv/all"
[[profile.jupyterlab.mount]]
source = "/srv/mounts/scratch/{user}"
target = "/scratch/{user}"
read_only = false
[[profile.jupyterlab.mount]]
source = "/cluster/made/{user}"
target = "/made"
read_only = false
create = true
`)
	h.run(t, "install", "-d", "-m", "0755", "/cluster/made")
	defer h.run(t, "rm", "-rf", "/cluster/made")
	alice, bob := member(t, h, "alice"), member(t, h, "bob")
	for user, v := range map[string]*visitor{"alice": alice, "bob": bob} {
		v.stop(user)
		v.start(user, "jupyterlab")
		defer v.stop(user)
	}
	ka, kb := alice.newKernel("alice"), bob.newKernel("bob")
	for name, tt := range map[string]struct {
		k          *kernel
		code, want string
	}{
		"the group's":  {ka, `print(open("/srv/lab/file").read())`, "for the lab"},
		"is read-only": {ka, `open("/srv/lab/file","a").write("x")`, "Read-only file system"},
		"is read-only for a shell": {ka,
			`import subprocess; print(subprocess.run("echo x >>/srv/lab/file", shell=True, ` +
				`capture_output=True, text=True).stderr)`, "ead-only"},
		"others lack it": {kb, `import os; print(os.path.exists("/srv/lab"))`, "False"},
		"everyone's":     {kb, `print(open("/srv/all/file").read())`, "for all"},
		"one's own is writable": {kb, `open("/scratch/bob/x","w").write("mine"); print("written")`,
			"written"},
		"one's own that root has made": {kb,
			`open("/made/x","w").write("mine"); import os; ` +
				`print(oct(os.stat("/made").st_mode), os.path.exists("/cluster/made/bob/x"))`, "0o40700 True"},
		"another's own is not there": {kb, `import os; print(os.listdir("/scratch"))`, "['bob']"},
		"no file system of the hub's": {ka, `import os; print(os.path.exists("/var/lib/gifford-launcher"))`,
			"False"},
		"the socket's directory is its own": {ka, `import os; print(os.listdir("/run/jupyter"))`, "nb.sock"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.k.exec(tt.code); !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	inContainer(t, h, "alice", "echo x >>/srv/lab/file || true")
	if got := h.run(t, "cat", "/srv/mounts/lab/file"); got != "for the lab\n" {
		t.Errorf("the group's file is now %q", got)
	}
	if owner := strings.TrimSpace(h.run(t, "stat", "-c", "%U", "/srv/mounts/scratch/bob/x")); owner != "bob" {
		t.Errorf("bob's file belongs to %s", owner)
	}
	bob.stop("bob")
	if other := bob.api("POST", "/users/bob/server", `{"profile":"notebook6"}`); other.status >= 400 {
		t.Fatalf("start: %s", other)
	}
	eventually(t, "bob's other profile runs", 3*time.Minute,
		func() bool { ready, failed := bob.server("bob"); return ready || failed != "" })
	unit := h.run(t, "systemctl", "show", "-p", "ExecStart", "-p", "Environment", "jupyter-bob.service")
	if strings.Contains(unit, "/srv/mounts/all") || !strings.Contains(unit, "GIFFORD_PROFILE=notebook6") {
		t.Errorf("a profile's mount is in another's unit: %s", unit)
	}
}

// testMountTricks lets a member put links and directories in the way of a mount; each is
// refused, with the reason on the page.
func testMountTricks(t *testing.T) {
	h := theHost(t)
	alice := member(t, h, "alice")
	h.run(t, "sh", "-ec", `install -d -m 0755 /srv/tricks /srv/tricks/real
		install -d -o alice -m 0755 /srv/tricks/alices /srv/tricks/alices/data
		install -d -m 1777 /srv/tricks/open; ln -s real /srv/tricks/link`)
	defer h.run(t, "rm", "-rf", "/srv/tricks")
	h.sh(t, "alice", `rmdir /srv/tricks/alices/data; ln -s /root /srv/tricks/alices/data
		ln -s /etc /srv/tricks/open/data; ln -sfn /etc /cluster/alice/data; ln -s /etc /srv/tricks/open/alice`)
	defer h.sh(t, "alice", "rm -f /cluster/alice/data")
	tests := map[string]struct{ source, want string }{
		"link in a member's directory": {"/srv/tricks/alices/data", "others than root may write to that directory"},
		"link in a directory for all":  {"/srv/tricks/open/data", "below /srv/tricks/open"},
		"link in the home":             {"/cluster/alice/data", "below /cluster/alice"},
		"below the link":               {"/cluster/alice/data/ssh", "below /cluster/alice"},
		"a link of root's":             {"/srv/tricks/link", "the symbolic link /srv/tricks/link"},
		"through a link of root's":     {"/srv/tricks/link/x", "the symbolic link /srv/tricks/link"},
		"missing":                      {"/srv/tricks/none", "there is no /srv/tricks/none"},
		"a link as one's own":          {"/srv/tricks/open/{user}", "below /srv/tricks/open"},
		"one's own that is another's":  {"/srv/{user}", "is missing"},
		"below a file":                 {"/etc/passwd/x", "which is not a directory"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			withPolicy(t, h, "[[profile.jupyterlab.mount]]\nsource = \""+tt.source+
				"\"\ntarget = \"/srv/x\"\nread_only = false\n")
			if failed := alice.startFails("alice", "jupyterlab"); !strings.Contains(failed, tt.want) {
				t.Errorf("told %q, want %q", failed, tt.want)
			}
			if p := alice.get("/hub/home"); !strings.Contains(p.body, tt.want) {
				t.Errorf("the page does not say %q: %s", tt.want, p)
			}
			if state := alice.active("alice"); state == "active" || state == "activating" {
				t.Errorf("the unit is %s", state)
			}
		})
	}
	t.Run("a place that the launcher may not write", func(t *testing.T) {
		withPolicy(t, h, "[[mount]]\nsource = \"/srv/tricks/{user}\"\ntarget = \"/srv/x\"\ncreate = true\n")
		alice.startFails("alice", "jupyterlab")
		if p := alice.get("/hub/home"); !strings.Contains(p.body, "is read-only for the launcher") ||
			!strings.Contains(p.body, "ReadWritePaths=/srv/tricks") {
			t.Errorf("the page says %s", p)
		}
	})
	t.Run("a target that is the server's own", func(t *testing.T) {
		withPolicy(t, h, "[[mount]]\nsource = \"/srv/tricks/real\"\ntarget = \"/run/jupyter\"\n")
		alice.startFails("alice", "jupyterlab")
		if out := h.fails(t, "gifford-hub", "check"); !strings.Contains(out, "mount.target") {
			t.Errorf("the check does not name the target:\n%s", out)
		}
	})
}

// diskUse is what "gifford-hub disk --json" says.
type diskUse struct {
	FileSystems []struct {
		Path        string
		Free, Total int64
		Low         bool
	} `json:"file_systems"`
	Users []struct {
		User          string
		Measured      time.Time
		Home, Storage struct{ Bytes, Files, Unread int64 }
	}
}

// measured returns what a user's home and containers take now.
func measured(t *testing.T, h host, user string) (home, storage int64) {
	t.Helper()
	var d diskUse
	out := h.run(t, "gifford-hub", "disk", "--json", "--refresh", user)
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, u := range d.Users {
		if u.User == user {
			if u.Home.Unread+u.Storage.Unread > 0 || time.Since(u.Measured) > time.Minute {
				t.Errorf("measured as %+v", u)
			}
			return u.Home.Bytes, u.Storage.Bytes
		}
	}
	t.Fatalf("%s is not there: %s", user, out)
	return 0, 0
}

// testDiskUse writes files and finds them in the numbers.
func testDiskUse(t *testing.T) {
	h := theHost(t)
	alice := member(t, h, "alice")
	alice.stop("alice")
	alice.start("alice", "jupyterlab")
	defer alice.stop("alice")
	k := alice.newKernel("alice")
	homeBefore, storageBefore := measured(t, h, "alice")
	const mb = 1_000_000
	k.exec(`import os
open("/cluster/alice/big","wb").write(os.urandom(20_000_000)); os.link("/cluster/alice/big", "/cluster/alice/again")
open("/cluster/alice/hole","wb").truncate(1 << 33)
os.mkdir("/cluster/alice/closed"); os.symlink("/usr", "/cluster/alice/closed/usr"); os.chmod("/cluster/alice/closed", 0)
open("/tmp/big","wb").write(os.urandom(4_000_000))
os.sync()`)
	inContainer(t, h, "alice", "install -d -m 0700 -o 65 /opt/kept; dd if=/dev/urandom of=/opt/kept/big bs=1000000 "+
		"count=6; chown 65 /opt/kept/big; sync")
	defer h.run(t, "sh", "-c", "chmod 0700 /cluster/alice/closed; rm -rf /cluster/alice/big /cluster/alice/again "+
		"/cluster/alice/hole /cluster/alice/closed")
	home, storage := measured(t, h, "alice")
	if grown := home - homeBefore; grown < 20*mb || grown > 21*mb {
		t.Errorf("the home has grown by %d bytes", grown)
	}
	if grown := storage - storageBefore; grown < 10*mb || grown > 11*mb {
		t.Errorf("the containers have grown by %d bytes", grown)
	}
	if p := alice.get("/hub/home"); !strings.Contains(p.body, "Your files take") {
		t.Errorf("the page does not say what files take: %s", p)
	}
	if p := member(t, h, "dora").get("/hub/admin"); !strings.Contains(p.body, "<td data-label=\"Files\"><span") {
		t.Errorf("the administrator does not see what files take: %s", p)
	}
	if table := h.run(t, "gifford-hub", "disk"); !strings.Contains(table, "alice") ||
		!strings.Contains(table, "/var/lib/gifford-launcher") {
		t.Errorf("the table is\n%s", table)
	}
	t.Run("the unit", func(t *testing.T) {
		log := h.run(t, "journalctl", "-q", "--no-pager", "-o", "cat", "-t", "gifford-usage", "-n", "5")
		if strings.Contains(log, "cannot be read") {
			t.Errorf("no user namespace: %s", log)
		}
		h.fails(t, "systemctl", "is-active", "gifford-usage-alice.service")
		if out := h.fails(t, "runuser", "-u", "bob", "--", "cat",
			"/var/lib/gifford-launcher/users/alice/usage.json"); !strings.Contains(out, "denied") {
			t.Errorf("bob reads alice's result: %s", out)
		}
	})
	t.Run("a member's lie", func(t *testing.T) {
		const file = "/var/lib/gifford-launcher/users/alice/usage.json"
		h.sh(t, "alice", "rm -f "+file+"; ln -s /etc/shadow "+file)
		defer h.sh(t, "alice", "rm -f "+file)
		out := h.run(t, "busctl", "call", "org.giffordlab.Launcher1", "/org/giffordlab/Launcher1",
			"org.giffordlab.Launcher1", "DiskUse", "sb", "alice", "false")
		if !strings.Contains(out, "false 0 0 0 0 0 0 0") {
			t.Errorf("the launcher answers %s", out)
		}
	})
	t.Run("members may not ask", func(t *testing.T) {
		h.fails(t, "runuser", "-u", "alice", "--", "gifford-hub", "disk")
		h.fails(t, "runuser", "-u", "alice", "--", "busctl", "call", "org.giffordlab.Launcher1",
			"/org/giffordlab/Launcher1", "org.giffordlab.Launcher1", "DiskUse", "sb", "alice", "true")
	})
}

// testLowDisk makes every disk nearly full, in the settings' eyes.
func testLowDisk(t *testing.T) {
	h := theHost(t)
	const path = "/etc/gifford-hub/hub.d/96-disk.toml"
	const warning = "Little space is left"
	alice, dora := member(t, h, "alice"), member(t, h, "dora")
	if p := alice.get("/hub/home"); strings.Contains(p.body, warning) {
		t.Errorf("there is a warning already: %s", p)
	}
	since := time.Now()
	h.run(t, "install", "-d", "-m", "0755", "/etc/gifford-hub/hub.d")
	h.put(t, path, "0644", "[disk]\nwarn_free = \"99.9%\"\n")
	off := func(ctx context.Context) {
		_, err := h.try(ctx, "sh", "-ec", "rm -f "+path+"; systemctl reload gifford-hub")
		if err != nil {
			t.Error(err)
		}
	}
	defer func() { off(noEnd(t)) }()
	h.run(t, "systemctl", "reload", "gifford-hub")
	eventually(t, "alice is warned", time.Minute, func() bool {
		return strings.Contains(alice.get("/hub/home").body,
			warning)
	})
	// Her connection may still lead to the process before the reload.
	eventually(t, "the administrator is warned", time.Minute,
		func() bool { return strings.Contains(dora.get("/hub/admin").body, warning) })
	if out := h.run(t, "gifford-hub", "disk"); !strings.Contains(out, "LOW") {
		t.Errorf("the table has no LOW:\n%s", out)
	}
	if out, _ := h.try(t.Context(), "gifford-hub", "check"); !strings.Contains(out, "are free at") ||
		!strings.Contains(out, "only ") {
		t.Errorf("the check does not warn:\n%s", out)
	}
	if n := strings.Count(h.journal(t, "gifford-hub", since, "EVENT=disk-low"), "little disk space"); n != 1 {
		t.Errorf("the journal reports %d times of little space", n)
	}
	if p := dora.get("/hub/metrics"); !strings.Contains(p.body,
		`gifford_disk_free_bytes{path="/var/lib/gifford-launcher"}`) {
		t.Errorf("no metric: %s", p)
	}
	off(t.Context())
	eventually(t, "the warning is gone", time.Minute,
		func() bool { return !strings.Contains(alice.get("/hub/home").body, warning) })
}
