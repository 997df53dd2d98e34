//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestPurge takes the package off the host: services end, notebooks' files and
// the ranges of sub-ids stay, and purge says what stays and why. It is a run of its own, after TestHost.
func TestPurge(t *testing.T) {
	h := theHost(t)
	h.put(t, "/cluster/alice/kept.txt", "0644", "kept\n")
	// A notebook that goes on must not keep its view of the images mounted.
	v := member(t, h, "alice")
	v.start("alice", "jupyterlab")
	subuid := h.run(t, "cat", "/etc/subuid")
	h.run(t, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "remove", "-y", "gifford-hub")
	for _, unit := range []string{"gifford-hub.service", "gifford-hub.socket", "gifford-launcher.service"} {
		if state := h.property(t, unit, "ActiveState"); state == "active" {
			t.Errorf("%s is %s after removal", unit, state)
		}
	}
	if n := viewsMounted(t, h, ""); n != 0 {
		t.Errorf("%d views are mounted after removal", n)
	}
	h.sh(t, "alice", "curl -sf --unix-socket /run/gifford-launcher/servers/alice/_/nb.sock http://x/user/alice/api")
	h.run(t, "systemctl", "stop", "jupyter-alice.service")
	out := h.run(t, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "purge", "-y", "gifford-hub")
	if !strings.Contains(out, "/var/lib/gifford-launcher") {
		t.Errorf("purge does not say what stays:\n%s", out)
	}
	if got := h.run(t, "cat", "/cluster/alice/kept.txt"); got != "kept\n" {
		t.Errorf("alice's file holds %q after purge", got)
	}
	if now := h.run(t, "cat", "/etc/subuid"); now != subuid {
		t.Errorf("/etc/subuid was changed by purge:\n%s", now)
	}
	for _, path := range []string{"/etc/gifford-hub/hub.toml", "/var/lib/gifford-hub", "/usr/bin/gifford-hub",
		"/var/lib/gifford-images", "/var/log/gifford-hub", "/run/gifford-launcher/views"} {
		h.fails(t, "test", "-e", path)
	}
}
