package launcher

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// until waits for a condition.
func until(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !reached(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not come to this: %s", what)
		}
	}
}

// socketDir reports whether a server's socket directory is there.
func (h *host) socketDir(user string) bool {
	_, err := os.Stat(filepath.Join(h.dir, "run/servers", user, "_"))
	return err == nil
}

// set changes a unit as systemd does, without a signal.
func (h *host) set(unit string, s systemd.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.units[unit] = s; s == "" {
		delete(h.units, unit)
		delete(h.queued, unit)
	}
}

// fail lets a part of systemd fail; nil lets it answer again.
func (h *host) fail(part string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fails[part] = err
}

// TestEndIsAsked sends each news of an end while systemd says something else of the unit, or nothing. The socket
// directory of a server that runs must stay, and nobody is told of an end; one that is not known is asked for again.
func TestEndIsAsked(t *testing.T) {
	for _, said := range []systemd.State{systemd.Inactive, systemd.Failed} {
		for _, is := range []systemd.State{systemd.Active, systemd.Activating, systemd.Deactivating} {
			h := newHost(t)
			k := h.key("alice", "")
			if err := start(h, k); err != nil {
				t.Fatal(err)
			}
			h.set(k.Unit(), is)
			h.l.Changed(t.Context(), systemd.Change{Name: k.Unit(), State: said})
			h.l.Close()
			if h.states() != "alice running" || !h.socketDir("alice") || h.l.server(k) == nil || len(h.reset) > 0 {
				t.Errorf("%s while it is %s: events %s, reset %v, socket directory %v", said, is, h.states(), h.reset,
					h.socketDir("alice"))
			}
		}
		h := newHost(t)
		k := h.key("alice", "")
		if err := start(h, k); err != nil {
			t.Fatal(err)
		}
		h.fail("Get", errBroken)
		for range 3 {
			h.l.Changed(t.Context(), systemd.Change{Name: k.Unit(), State: said})
		}
		if h.states() != "alice running" || !h.socketDir("alice") || h.l.server(k) == nil {
			t.Errorf("%s without an answer: events %s", said, h.states())
		}
		h.set(k.Unit(), "")
		h.fail("Get", nil)
		until(t, "the end is announced", func() bool { return h.l.server(k) == nil })
		h.l.Close()
		word := map[systemd.State]string{systemd.Inactive: "stopped", systemd.Failed: "failed"}[said]
		if h.states() != "alice running, alice "+word || h.socketDir("alice") {
			t.Errorf("%s: events %s, socket directory %v", said, h.states(), h.socketDir("alice"))
		}
	}
}

// TestStartWithoutAnswer loses systemd's answer to a start. What may run keeps its files; what does not has none.
func TestStartWithoutAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		made    bool // the unit, nevertheless
		unasked bool // systemd does not answer the next question either
	}{"not made": {false, false}, "made": {true, false}, "made, unknown": {true, true},
		"not made, unknown": {false, true}} {
		h := newHost(t)
		k := h.key("alice", "")
		h.fail("StartTransient", errBroken)
		h.lostStart = func() {
			if tt.made {
				h.units[k.Unit()] = systemd.Active
			}
			if tt.unasked {
				h.fails["Get"] = errBroken
			}
		}
		if err := start(h, k); !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", name, err)
		}
		if tt.unasked && (!h.socketDir("alice") || h.l.server(k) == nil) {
			t.Errorf("%s: it is given up", name)
		}
		h.fail("Get", nil)
		until(t, "it is known", func() bool {
			h.l.mu.Lock()
			defer h.l.mu.Unlock()
			s := h.l.servers[k]
			return tt.made && !s.asking || s == nil
		})
		h.l.Close()
		if h.socketDir("alice") != tt.made {
			t.Errorf("%s: socket directory %v", name, h.socketDir("alice"))
		}
	}
}

// queuedHost is a host on which an earlier launcher has queued alice's start.
func queuedHost(t *testing.T) *host {
	h := newHost(t)
	unit := h.key("alice", "").Unit()
	h.units[unit], h.queued[unit], h.env[unit] = systemd.Inactive, true,
		[]string{"GIFFORD_PROFILE=lab", "GIFFORD_UID=7"}
	return h
}

// TestQueued lists, stops and follows a unit whose start an earlier launcher has queued.
func TestQueued(t *testing.T) {
	for _, adopted := range []bool{true, false} {
		h := queuedHost(t)
		k := h.key("alice", "")
		if adopted {
			if _, err := h.l.Adopt(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		rows, err := h.l.List(t.Context())
		if err != nil || len(rows) != 1 || rows[0].State != string(launcherbus.Starting) {
			t.Errorf("list: %+v, %v", rows, err)
		}
		row, err := h.l.Get(t.Context(), k)
		if err != nil || row.State != string(launcherbus.Starting) {
			t.Errorf("get: %+v, %v", row, err)
		}
		if err := h.l.Stop(t.Context(), k); err != nil {
			t.Errorf("stop: %v", err)
		}
		if len(h.units) > 0 {
			t.Errorf("there is %v", h.units)
		}
		if err := h.l.Stop(t.Context(), k); codeOf(err) != launcherbus.NotFound {
			t.Errorf("stop again: %v", err)
		}
	}
}

// TestQueuedEnds checks that the end of a start that never began is announced, although no signal says so.
func TestQueuedEnds(t *testing.T) {
	h := queuedHost(t)
	k := h.key("alice", "")
	if _, err := h.l.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.set(k.Unit(), "")
	until(t, "the end is announced", func() bool { return h.l.server(k) == nil })
	if h.states() != "alice stopped" {
		t.Errorf("events: %s", h.states())
	}
	h = queuedHost(t)
	if _, err := h.l.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.change(context.Background(), k.Unit(), systemd.Activating)
	h.change(context.Background(), k.Unit(), systemd.Active)
	until(t, "nobody asks any more", func() bool {
		h.l.mu.Lock()
		defer h.l.mu.Unlock()
		return !h.l.servers[k].asking
	})
	if h.states() != "alice starting, alice running" {
		t.Errorf("events: %s", h.states())
	}
}

// TestStopOfAStranger checks that a unit of another's making cannot be stopped, and that no answer is not "no unit".
func TestStopOfAStranger(t *testing.T) {
	h := newHost(t)
	k := h.key("alice", "")
	h.units[k.Unit()] = systemd.Active
	if err := h.l.Stop(t.Context(), k); codeOf(err) != launcherbus.NotFound || len(h.units) != 1 {
		t.Errorf("a stranger's unit: %v", err)
	}
	h.fail("Get", errBroken)
	if err := h.l.Stop(t.Context(), k); !errors.Is(err, errBroken) {
		t.Errorf("no answer: %v", err)
	}
}
