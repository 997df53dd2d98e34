//go:build e2e

package e2e

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	views      = "/run/gifford-launcher/views/"
	storageOf  = "/var/lib/gifford-launcher/users/"
	imageStore = "/var/lib/gifford-images/storage"
	ownPodman  = "export XDG_RUNTIME_DIR=/run/user/$(id -u) HOME=" + storageOf + "$(id -un) CONTAINERS_STORAGE_CONF=" +
		views + "$(id -un)/_/storage.conf DBUS_SESSION_BUS_ADDRESS=unix:path=/dev/null; cd /; "
	aliceLayers = views + "alice/_/overlay"
)

// viewsMounted counts the views of a member, or of all for "".
func viewsMounted(t *testing.T, h host, user string) int {
	t.Helper()
	return strings.Count(h.run(t, "cat", "/proc/self/mountinfo"), " "+views+user)
}

// noViews checks that a member's view is gone with all that belongs to it.
func noViews(t *testing.T, h host, user string) {
	t.Helper()
	eventually(t, "the view of "+user+" is gone", 30*time.Second, func() bool {
		left := h.run(t, "sh", "-c", "ls "+views+user+"; ls /run/gifford-launcher/images | grep '^jupyter-"+user+
			"' || true")
		return viewsMounted(t, h, user) == 0 && left == ""
	})
}

// testView is alice against the one image store: what she sees of it, what she may not do
// with it and what is left of it.
func testView(t *testing.T) {
	h := theHost(t)
	alice, bob := member(t, h, "alice"), member(t, h, "bob")
	bob.start("bob", "jupyterlab")
	alice.stop("alice")
	// A setting of her own must not lead her container elsewhere.
	h.sh(t, "alice", "mkdir -p "+storageOf+"alice/.config/containers; printf "+
		"'[storage]\\ndriver=\"vfs\"\\ngraphroot=\"/tmp/elsewhere\"\\n' >"+storageOf+
		"alice/.config/containers/storage.conf")
	alice.start("alice", "jupyterlab")
	t.Run("mount", func(t *testing.T) {
		options := h.run(t, "findmnt", "-n", "-o", "OPTIONS", "--mountpoint", aliceLayers)
		for _, want := range []string{"ro", "nosuid", "nodev", "idmapped"} {
			if !strings.Contains(","+strings.TrimSpace(options)+",", ","+want+",") {
				t.Errorf("the view is mounted %s, want %s among them", strings.TrimSpace(options), want)
			}
		}
	})
	t.Run("own storage is small", func(t *testing.T) {
		bytes := h.run(t, "sh", "-c", "du -sxB1 "+storageOf+"bob/storage | cut -f1")
		if n, err := strconv.Atoi(strings.TrimSpace(bytes)); err != nil || n > 8<<20 {
			t.Errorf("bob's own storage takes %s bytes", bytes)
		}
	})
	t.Run("owners inside", func(t *testing.T) {
		k := alice.newKernel("alice")
		got := k.exec(`import os
for p in ["/etc/shadow", "/usr/bin/sudo", "/home/jovyan"]: print(os.stat(p).st_uid, os.stat(p).st_gid)`)
		if want := "0 0\n0 0\n1000 100\n"; got != want {
			t.Errorf("the owners are %q, want %q", got, want)
		}
		if got := k.exec(`print(open("/run/gifford-launcher", "r"))`); !strings.Contains(got, "No such file") {
			t.Errorf("the container sees the views: %q", got)
		}
	})
	t.Run("root of the container", func(t *testing.T) {
		pid := strings.TrimSpace(h.run(t, "sh", "-c", "pgrep -u alice -f jupyterhub-singleuser | tail -n 1"))
		in := []string{"nsenter", "-t", pid, "-m", "-u", "-i", "-n", "-p", "-U", "--setuid", "0", "--setgid", "0", "sh",
			"-ec"}
		h.run(t, append(in, "touch /usr/lib/new-package && chown 33:33 /usr/lib/new-package && chmod 4755 "+
			"/usr/lib/new-package && echo >>/etc/shadow")...)
		h.fails(t, append(in, "mount -o remount,rw "+aliceLayers)...)
		if found := h.run(t, "find", imageStore+"/overlay", "-name", "new-package"); found != "" {
			t.Errorf("the container wrote into the store: %s", found)
		}
	})
	t.Run("outside", func(t *testing.T) {
		for _, script := range []string{"ls " + aliceLayers, "touch " + aliceLayers + "/x",
			"touch " + views + "alice/_/x", "rm " + views + "alice/_/storage.conf",
			"ls " + views + "bob/_/overlay", "ls " + imageStore, "ls /var/lib/gifford-images",
			"flock -n /run/gifford-launcher/images/lock true"} {
			h.fails(t, "runuser", "-u", "alice", "--", "sh", "-ec", script)
		}
	})
	t.Run("podman unshare", func(t *testing.T) {
		unshare := func(script string) []string {
			return []string{"runuser", "-u", "alice", "--", "sh", "-ec",
				ownPodman + "podman unshare sh -ec '" + script + "'"}
		}
		h.run(t, unshare("ls "+aliceLayers+"/l")...) // it is there to be read
		for _, script := range []string{
			"touch " + aliceLayers + "/x", "chmod 0755 " + aliceLayers, "mount -o remount,rw " + aliceLayers,
			"mount -o remount,bind,rw,suid,dev " + aliceLayers,
			"mkdir /tmp/b; mount --bind " + aliceLayers + " /tmp/b && mount -o remount,bind,rw /tmp/b",
			"ls " + views + "bob/_/overlay", "touch " + views + "alice/_/x", "ls " + imageStore,
		} {
			h.fails(t, unshare(script)...)
		}
		h.run(t, "rm", "-rf", "/tmp/b")
	})
	t.Run("stop", func(t *testing.T) {
		alice.stop("alice")
		noViews(t, h, "alice")
		if n := viewsMounted(t, h, "bob"); n != 1 {
			t.Errorf("bob has %d views", n)
		}
	})
	t.Run("crash", func(t *testing.T) {
		alice.start("alice", "jupyterlab")
		h.run(t, "systemctl", "kill", "--signal=KILL", "jupyter-alice.service")
		noViews(t, h, "alice")
	})
	t.Run("killed half-way", func(t *testing.T) {
		// What a gifford-view that was killed leaves, and a member's luck at guessing it.
		h.run(t, "sh", "-ec", "d="+views+"alice/_; mkdir -p $d/overlay $d/overlay-layers; echo junk "+
			">$d/overlay-layers/layers.json; for i in 1 2; do mount --bind "+imageStore+"/overlay $d/overlay; done")
		alice.start("alice", "jupyterlab")
		if n := viewsMounted(t, h, "alice"); n != 1 {
			t.Errorf("%d mounts are there, want 1", n)
		}
		alice.stop("alice")
		noViews(t, h, "alice")
	})
	t.Run("full runtime directory", func(t *testing.T) {
		h.run(t, "sh", "-ec", "mount -o remount,size=8M /run/user/5001; runuser -u alice -- sh -c 'cat /dev/zero "+
			">/run/user/5001/full' || true")
		alice.api("POST", "/users/alice/server", "")
		eventually(t, "the start has failed", time.Minute, func() bool {
			_, failed := alice.server("alice")
			return failed != ""
		})
		if home := alice.get("/hub/home").body; !strings.Contains(home, "no space left on device") {
			t.Errorf("the page does not say that the directory is full:\n%s", home)
		}
		h.run(t, "sh", "-ec", "rm /run/user/5001/full; mount -o remount,size=100M /run/user/5001")
		noViews(t, h, "alice")
		alice.start("alice", "jupyterlab")
	})
	alice.stop("alice")
	bob.stop("bob")
	noViews(t, h, "bob")
}

// testSlowWays starts servers where images cannot be shared: the member gets a copy, and
// is told why.
func testSlowWays(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "bob")
	v.stop("bob")
	layers := imageStore + "/overlay-layers/layers.json"
	tests := []struct{ name, spoil, fix, say, check string }{
		{"the policy says so", "sed -i 's/^share = true/share = false/' " + policyFile,
			"sed -i 's/^share = false/share = true/' " + policyFile, "share is false", "share is false"},
		{"no idmapped mounts", "mkdir -p /tmp/o; mount -t tmpfs -o mode=0700 none /tmp/o; mkdir /tmp/o/u /tmp/o/w; " +
			"mount -t overlay -o lowerdir=" + imageStore + "/overlay,upperdir=/tmp/o/u,workdir=/tmp/o/w none " +
			imageStore + "/overlay; chmod 0700 " + imageStore + "/overlay",
			"umount " + imageStore + "/overlay; umount /tmp/o", "idmapped mounts are not possible here",
			"cannot share images"},
		{"unknown format", "cp -p " + layers + " " + layers +
			".kept; sed -i 's/\"created\"/\"fs-verity\":1,\"created\"/' " + layers, "mv " + layers + ".kept " + layers,
			"not known", "cannot share images"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			since := time.Now()
			h.run(t, "sh", "-ec", tt.spoil)
			defer func() {
				if out, err := h.try(noEnd(t), "sh", "-ec", tt.fix); err != nil {
					t.Errorf("fix: %v: %s", err, out)
				}
			}()
			v.start("bob", "notebook6")
			defer v.stop("bob")
			if log := h.journal(t, "jupyter-bob", since); !strings.Contains(log,
				"copying the image into the member's own storage") || !strings.Contains(log, tt.say) {
				t.Errorf("the unit's journal does not say %q:\n%s", tt.say, log)
			}
			if n := viewsMounted(t, h, "bob"); n != 0 {
				t.Errorf("bob has %d views", n)
			}
			if out, _ := h.try(t.Context(), "gifford-hub", "check"); !strings.Contains(out, tt.check) {
				t.Errorf("gifford-hub check does not say %q:\n%s", tt.check, out)
			}
		})
	}
	// Bob's own copies are of no use to the tests after this.
	h.sh(t, "bob", strings.Replace(ownPodman, views+"$(id -un)/_/storage.conf",
		"/run/gifford-launcher/users/bob/storage.conf", 1)+"podman rmi -af")
}
