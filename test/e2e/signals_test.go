//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// testForgedSignals sends, as an ordinary account, signals that look like systemd's, the launcher's and the bus's, to
// everybody and to each connection of the hub, the launcher and systemd. The launcher must not end, bob's running
// server must keep its socket, and the hub must know of it.
func testForgedSignals(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "bob")
	v.start("bob", "jupyterlab")
	k := v.newKernel("bob")
	launcher := h.property(t, "gifford-launcher.service", "MainPID")
	hub := h.property(t, "gifford-hub.service", "MainPID")
	since := time.Now()
	unit := "/org/freedesktop/systemd1/unit/jupyter_2dbob_2eservice"
	state := func(word string) string {
		return "sa{sv}as org.freedesktop.systemd1.Unit 2 ActiveState s " + word + " SubState s dead 0"
	}
	row := `"(ssssustsas)si" bob "" lab stopped 5002 /run/x 0 "" 0 "" 0`
	var script strings.Builder
	for _, to := range append(connections(t, h), "") {
		if to != "" {
			to = "--destination=" + to
		}
		for _, signal := range []string{
			"/x org.freedesktop.DBus.Properties PropertiesChanged",
			"/x org.freedesktop.DBus.Properties PropertiesChanged s x",
			"/x org.freedesktop.DBus.Properties PropertiesChanged u 7",
			unit + " org.freedesktop.DBus.Properties PropertiesChanged",
			unit + " org.freedesktop.DBus.Properties PropertiesChanged " + state("inactive"),
			unit + " org.freedesktop.DBus.Properties PropertiesChanged " + state("failed"),
			unit + ` org.freedesktop.DBus.Properties PropertiesChanged "a{sv}" 1 ActiveState s inactive`,
			"/org/freedesktop/systemd1 org.freedesktop.systemd1.Manager JobRemoved",
			"/org/freedesktop/systemd1 org.freedesktop.systemd1.Manager JobRemoved u 1",
			"/org/freedesktop/systemd1 org.freedesktop.systemd1.Manager JobRemoved uoss 1 " +
				"/org/freedesktop/systemd1/job/1 jupyter-bob.service failed",
			"/org/freedesktop/systemd1 org.freedesktop.systemd1.Manager UnitNew",
			"/org/freedesktop/systemd1 org.freedesktop.systemd1.Manager UnitRemoved so jupyter-bob.service " + unit,
			"/org/freedesktop/systemd1 org.freedesktop.systemd1.Manager Reloading b true",
			"/org/giffordlab/Launcher1 org.giffordlab.Launcher1 ServerChanged",
			"/org/giffordlab/Launcher1 org.giffordlab.Launcher1 ServerChanged " + row,
			"/org/giffordlab/Launcher1 org.giffordlab.Launcher1 Changed ssssi bob \"\" stopped \"\" 0",
			"/org/freedesktop/DBus org.freedesktop.DBus NameOwnerChanged",
			"/org/freedesktop/DBus org.freedesktop.DBus NameOwnerChanged sss org.giffordlab.Launcher1 :1.2 \"\"",
			"/org/freedesktop/DBus org.freedesktop.DBus NameOwnerChanged sss org.giffordlab.Launcher1 \"\" :1.2",
			"/org/freedesktop/DBus org.freedesktop.DBus NameLost s org.giffordlab.Launcher1",
		} {
			fmt.Fprintf(&script, "busctl --system emit %s %s && sent=$((sent+1))\n", to, signal)
		}
	}
	if sent := h.sh(t, "carol", "sent=0\n"+script.String()+"echo $sent"); strings.TrimSpace(sent) == "0" {
		t.Fatalf("no signal was sent: %s", sent)
	}
	// The launcher's and the hub's answers show that they have read what came before.
	if list := h.run(t, "gifford-hub", "servers", "list"); !strings.Contains(list, "bob") {
		t.Errorf("the hub does not know bob's server:\n%s", list)
	}
	h.run(t, "busctl", "call", "org.giffordlab.Launcher1", "/org/giffordlab/Launcher1", "org.giffordlab.Launcher1",
		"Get", "ss", "bob", "")
	if now := h.property(t, "gifford-launcher.service", "MainPID"); now != launcher {
		t.Errorf("the launcher was process %s and is %s:\n%s", launcher, now, h.journal(t, "gifford-launcher", since))
	}
	if now := h.property(t, "gifford-hub.service", "MainPID"); now != hub {
		t.Errorf("the hub was process %s and is %s", hub, now)
	}
	h.run(t, "test", "-S", "/run/gifford-launcher/servers/bob/_/nb.sock")
	if got := k.exec("print(6*7)"); got != "42\n" {
		t.Errorf("bob's kernel says %q", got)
	}
	if ready, state := v.server("bob"); !ready {
		t.Errorf("bob's server is %v", state)
	}
	v.stop("bob")
	eventually(t, "systemd's own signal still counts", 30*time.Second, func() bool {
		return h.property(t, "jupyter-bob.service", "LoadState") == "not-found"
	})
}

// connections returns the unique names on the system bus of the hub, the launcher and systemd.
func connections(t *testing.T, h host) (names []string) {
	for line := range strings.Lines(h.run(t, "busctl", "--system", "list", "--unique", "--no-pager", "--no-legend")) {
		words := strings.Fields(line)
		if len(words) > 2 && (strings.HasPrefix(words[2], "gifford-") || words[2] == "systemd" || words[1] == "1") {
			names = append(names, words[0])
		}
	}
	if len(names) < 4 {
		t.Fatalf("the bus has only %v", names)
	}
	return names
}
