//go:build e2e

package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// silentFUSE mounts a file system of alice's that everybody may enter and that never answers: nobody takes its
// descriptor out of the socket to which fusermount3 sends it.
const silentFUSE = `$^F = 20; socketpair(A, B, 1, 1, 0) or die; $ENV{_FUSE_COMMFD} = fileno(A);
for (@ARGV) { system("fusermount3", "-o", "allow_other", "--", $_) == 0 or die }
sleep 3600`

// launcherAnswers asks the launcher something; one that hangs does not answer.
func launcherAnswers(t *testing.T, h host) {
	t.Helper()
	for _, method := range []string{"List", "Persistent"} {
		h.run(t, "busctl", "--timeout=15", "call", "org.giffordlab.Launcher1", "/org/giffordlab/Launcher1",
			"org.giffordlab.Launcher1", method)
	}
}

// testLeftBehind has alice leave in her server's directory a tree of 100,000 directories in one another, what belongs
// to her subordinate ids, and file systems that never answer, over the directory and in it. Hub and launcher go on, and
// her next server starts.
func testLeftBehind(t *testing.T) {
	h := theHost(t)
	const servers = "/run/gifford-launcher/servers/alice"
	alice := member(t, h, "alice")
	alice.start("alice", "jupyterlab")
	defer alice.stop("alice")
	h.run(t, "sh", "-ec", "cp -n /etc/fuse.conf /etc/fuse.conf.before; echo user_allow_other >>/etc/fuse.conf")
	t.Cleanup(func() {
		_, _ = h.try(noEnd(t), "systemctl", "stop", "e2e-fuse.service")
		if out, err := h.try(noEnd(t), "mv", "/etc/fuse.conf.before", "/etc/fuse.conf"); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	h.sh(t, "alice", "chmod 0777 "+servers+"/_")
	inContainer(t, h, "alice", "install -d -m 01777 -o 65 /run/jupyter/theirs/closed && touch "+
		"/run/jupyter/theirs/file && "+
		"chmod 0 /run/jupyter/theirs/closed /run/jupyter/theirs")
	h.sh(t, "alice", `mkdir `+servers+`/_/sub
		perl -e 'chdir $ARGV[0] or die; for (1..100000) { mkdir "d" and chdir "d" or die $! }' `+servers+`/_`)
	h.put(t, "/run/e2e-fuse.pl", "0644", silentFUSE)
	h.run(t, "systemd-run", "--quiet", "--unit=e2e-fuse", "--uid=alice", "--", "perl", "/run/e2e-fuse.pl",
		servers+"/_/sub", servers+"/_")
	eventually(t, "the file systems are mounted", 30*time.Second, func() bool {
		return strings.Count(h.run(t, "cat", "/proc/self/mountinfo"), " "+servers+"/_") == 2
	})

	t.Run("the hub does not wait", func(t *testing.T) {
		for range 30 { // connections that the hub keeps may still go to the server
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			if _, err := alice.tryJupyter(ctx, "alice", "GET", "/api/status", ""); err != nil {
				t.Errorf("a request: %v", err)
			}
			cancel()
		}
		if p := alice.get("/hub/home"); p.status != http.StatusOK {
			t.Errorf("the hub: %s", p)
		}
	})
	t.Run("a launcher starts", func(t *testing.T) {
		h.run(t, "timeout", "30", "systemctl", "restart", "gifford-launcher.service")
		launcherAnswers(t, h)
	})
	t.Run("the next server starts", func(t *testing.T) {
		alice.stop("alice")
		launcherAnswers(t, h)
		alice.start("alice", "jupyterlab")
	})
	t.Run("a launcher starts after the end", func(t *testing.T) {
		h.run(t, "timeout", "30", "systemctl", "restart", "gifford-launcher.service")
		launcherAnswers(t, h)
	})
	eventually(t, "what was left is removed", 3*time.Minute, func() bool {
		return strings.TrimSpace(h.run(t, "ls", "-A", servers)) == "_"
	})
	if mounts := h.run(t, "cat", "/proc/self/mountinfo"); strings.Contains(mounts, servers) {
		t.Errorf("mounts are left:\n%s", mounts)
	}
}
