//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"
)

// endless is what stands in the place of conmon: its main process, as Podman is told, is one that never ends and asks
// systemd for more time every second.
const endless = `#!/bin/sh
for a; do [ "$last" = --conmon-pidfile ] && pidfile=$a; last=$a; done
[ -n "$pidfile" ] || exec /usr/bin/conmon "$@" # Podman 4.3 asks for its version
/usr/bin/conmon "$@"
rc=$?
perl -MSocket -e '
  $SIG{$_} = "IGNORE" for qw(TERM HUP INT);
  open(F, ">", $ARGV[0]); print F $$; close F;
  socket(S, AF_UNIX, SOCK_DGRAM, 0); connect(S, sockaddr_un("/run/systemd/notify")) or die;
  while (1) { send(S, "EXTEND_TIMEOUT_USEC=600000000", 0); sleep 1 }' "$pidfile" </dev/null >/dev/null 2>&1 &
until [ "$(cat "$pidfile")" = $! ]; do sleep 0.1; done
exit $rc
`

// testEndlessStop stops a server whose main process is the member's own and asks for more time without end: it ends at
// the launcher's deadline. Messages of another process of the unit do not count at all.
func testEndlessStop(t *testing.T) {
	h := theHost(t)
	withPolicy(t, h, "[profile.endless]\nimage = \"localhost/gifford/jupyterlab:latest\"\npull = \"never\"\n"+
		"archive = \"/srv/images/jupyterlab.tar\"\nstop_timeout = \"1s\"\n")
	const config = "/var/lib/gifford-launcher/users/erin/.config/containers/containers.conf"
	v := member(t, h, "erin")
	v.start("erin", "endless")
	if access := h.property(t, "jupyter-erin.service", "NotifyAccess"); access != "exec" {
		t.Errorf("NotifyAccess is %s", access)
	}
	v.stop("erin")
	h.sh(t, "erin", "mkdir -p $(dirname "+config+"); printf '[engine]\nconmon_path = [\"/cluster/erin/endless\"]\n' >"+
		config)
	h.put(t, "/cluster/erin/endless", "0755", endless)
	defer h.run(t, "rm", "-f", config, "/cluster/erin/endless")
	v.start("erin", "endless")
	pid := h.property(t, "jupyter-erin.service", "MainPID")
	if name := h.run(t, "cat", "/proc/"+pid+"/comm"); strings.TrimSpace(name) != "perl" {
		t.Fatalf("the main process is %s", name)
	}
	begun := time.Now()
	v.api("DELETE", "/users/erin/server", "")
	eventually(t, "the server is killed", 3*time.Minute, func() bool {
		return h.property(t, "jupyter-erin.service", "LoadState") == "not-found"
	})
	if log := h.journal(t, "gifford-launcher", begun, "EVENT=stop-deadline"); !strings.Contains(log, "killed") {
		t.Errorf("the launcher did not kill it; its journal:\n%s", h.journal(t, "gifford-launcher", begun))
	}
	h.fails(t, "test", "-e", "/proc/"+pid)
	eventually(t, "the hub knows of the end", 30*time.Second, func() bool {
		ready, _ := v.server("erin")
		return !ready && !strings.Contains(h.run(t, "gifford-hub", "servers", "list"), "erin")
	})
}
