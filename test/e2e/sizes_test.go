//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// testSizes measures what docs/performance.md reports. Memory decides the test; times are
// only written down, since the machine's other work would decide them.
func testSizes(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "alice")
	v.start("alice", "jupyterlab") // the image is in her store now
	v.stop("alice")
	h.run(t, "sh", "-c", "gifford-hub servers list --json | jq -r '.[] | select(.state == \"ready\") | .user' | "+
		"xargs -r -n1 gifford-hub servers stop")

	var ready []time.Duration
	for range 5 {
		h.run(t, "systemctl", "restart", "gifford-hub.service")
		ready = append(ready, between(t, h, "gifford-hub.service", "ExecMainStartTimestampMonotonic",
			"ActiveEnterTimestampMonotonic"))
	}
	pss := hubPss(t, h)
	if pss > 30<<10 {
		t.Errorf("the hub at rest takes %d KB Pss, want under 30 MB", pss)
	}

	var active, answers []time.Duration
	for range 5 {
		click, clickStamp := time.Now(), monotonic(t)
		v.api("POST", "/users/alice/server", "")
		eventually(t, "alice's server is ready", time.Minute, func() bool { ok, _ := v.server("alice"); return ok })
		answers = append(answers, time.Since(click))
		active = append(active, stamp(t, h, "jupyter-alice.service", "ActiveEnterTimestampMonotonic")-clickStamp)
		v.stop("alice")
	}
	report := fmt.Sprintf("hub at rest: %d KB Pss\nhub, process start to ready: %v\nclick to unit active, image "+
		"present: %v\nclick to JupyterLab's first answer: %v\n", pss, ready, active, answers)
	t.Log("\n" + report)
	if dir := os.Getenv("GIFFORD_LAB_PICTURES"); dir != "" {
		data, err := json.Marshal([]rounds{{"hub-at-rest-pss", "MB", []float64{float64(pss) / 1024}},
			seconds("hub-start-to-ready", ready),
			seconds("click-to-active", active), seconds("click-to-first-answer", answers)})
		if err := errors.Join(err, os.WriteFile(dir+"/sizes.txt", []byte(report), 0o644),
			os.WriteFile(dir+"/sizes.json", data, 0o644)); err != nil {
			t.Error(err)
		}
	}
}

// rounds is one figure as test/bench reads it from sizes.json.
type rounds struct {
	Name, Unit string
	Rounds     []float64
}

func seconds(name string, times []time.Duration) rounds {
	r := rounds{Name: name, Unit: "s"}
	for _, d := range times {
		r.Rounds = append(r.Rounds, d.Seconds())
	}
	return r
}

// between returns the time between two of systemd's monotonic stamps of a unit.
func between(t *testing.T, h host, unit, from, to string) time.Duration {
	t.Helper()
	return stamp(t, h, unit, to) - stamp(t, h, unit, from)
}

// stamp returns one of systemd's monotonic stamps of a unit.
func stamp(t *testing.T, h host, unit, name string) time.Duration {
	t.Helper()
	n, err := strconv.ParseInt(h.property(t, unit, name), 10, 64)
	if err != nil {
		t.Fatalf("%s of %s: %v", name, unit, err)
	}
	return time.Duration(n) * time.Microsecond
}

// monotonic is the clock of systemd's stamps; the throwaway host has this machine's.
func monotonic(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}

// hubPss returns the hub's proportional set size in KB, when it has settled.
func hubPss(t *testing.T, h host) int {
	t.Helper()
	pid := h.property(t, "gifford-hub.service", "MainPID")
	out := h.run(t, "awk", "/^Pss:/{print $2}", "/proc/"+pid+"/smaps_rollup")
	kb, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(err)
	}
	return kb
}
