//go:build e2e

package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestGPULeases lends two devices to four members: who gets which nodes, who waits, who is
// next, and what restarts and crashes change of it.
func TestGPULeases(t *testing.T) {
	h := theHost(t)
	withGPUs(t, h)
	v := map[string]*visitor{}
	for _, user := range []string{"alice", "bob", "dora", "erin"} {
		v[user] = member(t, h, user)
		v[user].stop(user)
	}
	since := time.Now()
	v["dora"].start("dora", "jupyterlab")
	v["alice"].start("alice", "gpu")
	v["bob"].start("bob", "gpu")

	t.Run("exactly the leased nodes", func(t *testing.T) { exactNodes(t, h) })
	v["dora"].stop("dora")

	t.Run("the third waits", func(t *testing.T) { thirdWaits(t, h, v) })
	t.Run("the line outlives the hub", func(t *testing.T) {
		h.run(t, "systemctl", "restart", "gifford-hub.service")
		for _, one := range v {
			one.t = t
			one.http.CloseIdleConnections()
		}
		v["dora"].waits("dora", 1)
		v["erin"].waits("erin", 2)
	})
	t.Run("leases outlive the launcher", func(t *testing.T) {
		before := lease(t, h, "alice") + " " + lease(t, h, "bob")
		h.run(t, "systemctl", "kill", "--signal=KILL", "gifford-launcher.service")
		out := h.run(t, "gifford-hub", "gpus")
		if !holds(out, "alice") || !holds(out, "bob") || before != lease(t, h, "alice")+" "+lease(t, h, "bob") {
			t.Errorf("after the launcher was killed:\n%s", out)
		}
		v["dora"].t = t
		v["dora"].waits("dora", 1)
	})
	t.Run("leaves the line", func(t *testing.T) {
		erin := v["erin"]
		erin.t = t
		if p := erin.api("DELETE", "/users/erin/server", ""); p.status != http.StatusNoContent && p.status != http.StatusAccepted {
			t.Fatalf("erin cannot leave: %s", p)
		}
		eventually(t, "erin is in no line", 10*time.Second, func() bool { return erin.pending("erin") == "" })
		if out := h.run(t, "gifford-hub", "gpus"); strings.Contains(out, "erin") {
			t.Errorf("erin left:\n%s", out)
		}
	})
	t.Run("starts without", func(t *testing.T) { startsWithout(t, h, v["erin"]) })
	t.Run("a crash makes room", func(t *testing.T) {
		dora, freed := v["dora"], lease(t, h, "alice")
		dora.t = t
		h.run(t, "systemctl", "kill", "--signal=KILL", "jupyter-alice.service")
		dora.becomesReady("dora")
		if got := lease(t, h, "dora"); got != freed {
			t.Errorf("dora has %q, want %q which alice had", got, freed)
		}
		started := stampOf(t, h, "jupyter-dora.service", "InactiveExitTimestampMonotonic")
		if ended := stampOf(t, h, "jupyter-alice.service", "InactiveEnterTimestampMonotonic"); ended > 0 && started-ended > 2*time.Second {
			t.Errorf("dora's start began %v after alice's end", started-ended)
		}
	})
	if log := h.journal(t, "gifford-launcher", since); strings.Contains(log, "panic") {
		t.Errorf("the launcher's journal:\n%s", log)
	}
}

// exactNodes compares the devices in three containers; dora's has none.
func exactNodes(t *testing.T, h host) {
	plain := devicesInside(t, h, "dora")
	var leased []string
	for _, user := range []string{"alice", "bob"} {
		name := lease(t, h, user)
		leased = append(leased, name)
		if diff := cmp.Diff(nodesOf[name], extra(devicesInside(t, h, user), plain)); diff != "" {
			t.Errorf("%s holds %q; its nodes (-want +got):\n%s", user, name, diff)
		}
	}
	slices.Sort(leased)
	if diff := cmp.Diff([]string{gpu0, gpu1}, leased); diff != "" {
		t.Errorf("leases (-want +got):\n%s", diff)
	}
	if got := lease(t, h, "dora"); got != "" {
		t.Errorf("dora, whose profile has none, holds %q", got)
	}
	if got := h.must(t, "", "alice", "--", "sh", "-c", "echo $LAB_DRIVER; test -s /usr/share/lab-driver && echo mounted"); got != "1\nmounted\n" {
		t.Errorf("environment and mounts of the specification: %q", got)
	}
}

// holds tells whether the table of "gifford-hub gpus" shows somebody as a holder.
func holds(table, user string) bool {
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "lab.example/") && strings.Contains(line, user) {
			return true
		}
	}
	return false
}

// thirdWaits puts dora and erin into the line behind alice and bob.
func thirdWaits(t *testing.T, h host, v map[string]*visitor) {
	dora, erin := v["dora"], v["erin"]
	dora.t, erin.t = t, t
	dora.ask("dora", "gpu")
	p := dora.waits("dora", 1)
	for _, word := range []string{"alice", "bob", gpu0, gpu1} {
		if !strings.Contains(p.body, word) {
			t.Errorf("the page of who waits does not say %s: %s", word, p)
		}
	}
	erin.ask("erin", "gpu")
	erin.waits("erin", 2)
	if got := dora.pending("dora"); got != "spawn" {
		t.Errorf("for the API the server is pending %q", got)
	}
	if state := dora.active("dora"); state != "inactive" {
		t.Errorf("while it waits its unit is %s", state)
	}
	if out := h.run(t, "gifford-hub", "gpus"); !holds(out, "alice") || !holds(out, "bob") || holds(out, "dora") || !strings.Contains(out, "dora") {
		t.Errorf("gifford-hub gpus:\n%s", out)
	}
}

// startsWithout lets erin take the offer of a start without a device.
func startsWithout(t *testing.T, h host, erin *visitor) {
	erin.t = t
	erin.ask("erin", "gpu")
	p := erin.waits("erin", 2)
	erin.press(p, "/hub/without/erin")
	erin.becomesReady("erin")
	if got := lease(t, h, "erin"); got != "" {
		t.Errorf("without a device it holds %q", got)
	}
	if got := h.property(t, "jupyter-erin.service", "Environment"); !strings.Contains(got, "GIFFORD_PROFILE=gpu") {
		t.Errorf("it runs another profile: %s", got)
	}
	erin.stop("erin")
}

// stampOf is stamp for a unit that may be gone: zero then.
func stampOf(t *testing.T, h host, unit, name string) time.Duration {
	t.Helper()
	if h.property(t, unit, name) == "" || h.property(t, unit, name) == "0" {
		return 0
	}
	return stamp(t, h, unit, name)
}
