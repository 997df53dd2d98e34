package launcher

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// stopLimit is the deadline of a server with the default profile: stop_timeout is 20 s.
const stopLimit = stopSteps*(20+10)*time.Second + stopMargin

// TestStopDeadline stops a server that asks systemd for more time without end: it is killed at the launcher's own
// deadline and not before, its devices are another's only then, and the stop is one.
func TestStopDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := gpuHost(t)
		defer func() { h.l.Close() }()
		k := h.key("alice", "")
		if err := h.startWith("gpu", k); err != nil {
			t.Fatal(err)
		}
		held := h.held()
		h.stubborn = true
		begun := time.Now()
		done := make(chan error)
		go func() { done <- h.l.Stop(t.Context(), k) }()
		time.Sleep(stopLimit - time.Millisecond)
		synctest.Wait()
		if len(h.killed) > 0 || h.held() != held || held == "" {
			t.Errorf("before the deadline: killed %v, held %q, at first %q", h.killed, h.held(), held)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took > stopLimit+2*time.Second || !slices.Equal(h.killed, []string{k.Unit()}) {
			t.Errorf("it took %s, killed %v", took, h.killed)
		}
		if h.held() != "" || h.states() != "alice running, alice stopping, alice stopped" {
			t.Errorf("held %q, events %s", h.held(), h.states())
		}
	})
}

// TestProcessesThatStay stops a server whose processes do not end when they are killed, for which systemd gives up. It
// is stopping and holds its devices, also for the next launcher, until the last process has ended.
func TestProcessesThatStay(t *testing.T) {
	for name, unanswered := range map[string]error{"answered": nil, "not answered": errBroken} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { processesStay(t, unanswered) })
		})
	}
}

func processesStay(t *testing.T, unanswered error) {
	h := gpuHost(t)
	defer func() { h.l.Close() }()
	k := h.key("alice", "")
	if err := h.startWith("gpu", k); err != nil {
		t.Fatal(err)
	}
	held := h.held()
	h.mu.Lock()
	h.left[k.Unit()] = 1
	h.fails["Processes"] = unanswered
	h.mu.Unlock()
	h.change(t.Context(), k.Unit(), systemd.Failed)
	check := func(when string) {
		t.Helper()
		row, err := h.l.Get(t.Context(), k)
		if err != nil || row.State != string(launcherbus.Stopping) || h.held() != held || len(h.reset) > 0 ||
			!h.socketDir("alice") {
			t.Errorf("%s: %+v, %v, held %q, reset %v", when, row, err, h.held(), h.reset)
		}
		if err := h.startWith("gpu", k); err == nil || len(h.reset) > 0 {
			t.Errorf("%s: it can be started: %v, reset %v", when, err, h.reset)
		}
	}
	check("at first")
	time.Sleep(time.Hour)
	check("an hour later")
	h.l.Close()
	h.launch()
	if _, err := h.l.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("with the next launcher")
	if killed := len(h.killed); unanswered == nil && killed < 1000 || unanswered != nil && killed > 0 {
		t.Errorf("killed %d times", killed)
	}
	h.mu.Lock()
	h.left[k.Unit()] = 0
	h.fails["Processes"] = nil
	h.mu.Unlock()
	time.Sleep(time.Minute)
	synctest.Wait()
	h.l.Close()
	if h.held() != "" || h.states() != "alice running, alice failed" || h.socketDir("alice") {
		t.Errorf("held %q, events %s", h.held(), h.states())
	}
}

// TestDeadlineOfAnEarlierStop adopts a server whose stop an earlier launcher has begun, and one that runs again.
func TestDeadlineOfAnEarlierStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		defer h.l.Close()
		k := h.key("alice", "")
		h.units[k.Unit()], h.env[k.Unit()] = systemd.Deactivating, []string{"GIFFORD_PROFILE=lab", "GIFFORD_UID=7"}
		h.stopTimeout = 30 * time.Second
		if _, err := h.l.Adopt(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(stopLimit - time.Millisecond)
		synctest.Wait()
		if len(h.killed) > 0 {
			t.Error("it is killed before the deadline")
		}
		h.fail("Get", errBroken)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(h.killed) > 0 {
			t.Error("it is killed while nobody knows whether it is stopping")
		}
		h.fail("Get", nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(h.killed) != 1 || h.states() != "alice failed" {
			t.Errorf("killed %v, events %s", h.killed, h.states())
		}
		if err := start(h, k); err != nil {
			t.Fatal(err)
		}
		h.change(t.Context(), k.Unit(), systemd.Deactivating)
		h.change(t.Context(), k.Unit(), systemd.Active)
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(h.killed) != 1 || h.l.server(k).overseen {
			t.Errorf("a server that was started again: killed %v", h.killed)
		}
	})
}

// TestKillFails goes on until systemd says that the unit has ended.
func TestKillFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		defer h.l.Close()
		k := h.key("alice", "")
		if err := start(h, k); err != nil {
			t.Fatal(err)
		}
		h.fail("Kill", errBroken)
		h.change(t.Context(), k.Unit(), systemd.Deactivating)
		time.Sleep(stopLimit + 10*killEvery)
		synctest.Wait()
		if n := len(h.killed); n < 10 || n > 11 {
			t.Errorf("killed %d times", n)
		}
		h.set(k.Unit(), "") // without a signal
		time.Sleep(killEvery)
		synctest.Wait()
		h.l.Close()
		if h.states() != "alice running, alice stopping, alice stopped" || h.l.server(k) != nil {
			t.Errorf("events %s", h.states())
		}
	})
}

// TestStartDeadline starts a server that asks systemd for more time without end.
func TestStartDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		defer h.l.Close()
		k := h.key("alice", "")
		h.result = "queued" // nothing comes of the job
		begun := time.Now()
		err := start(h, k)
		// image_timeout, twice start_timeout and stop_timeout.
		if limit := (15*60+2*120+20)*time.Second + stopMargin; time.Since(begun) != limit {
			t.Errorf("it took %s, want %s", time.Since(begun), limit)
		}
		if codeOf(err) != launcherbus.StartFailed || !strings.Contains(err.Error(), "not ready within") {
			t.Error(err)
		}
		if !slices.Equal(h.stops, []string{k.Unit()}) {
			t.Errorf("stopped %v", h.stops)
		}
		h.fail("Stop", errBroken)
		if err := start(h, h.key("bob", "")); !errors.Is(err, errBroken) {
			t.Error(err)
		}
	})
}
