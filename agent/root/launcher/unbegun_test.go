package launcher

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
)

// TestStopBeforeBegin checks that a server leaves nothing that looks like one that runs when it is stopped before its
// unit begins: systemd announces no end then.
func TestStopBeforeBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		defer h.l.Close()
		k := h.key("alice", "")
		h.l.servers[k] = &server{ended: make(chan struct{})} // of no key
		h.units[k.Unit()], h.queued[k.Unit()] = systemd.Inactive, true
		if err := h.l.Stop(t.Context(), k); err != nil {
			t.Error(err)
		}
		h.l.wg.Wait()
		if h.l.server(k) != nil {
			t.Error("the launcher takes a server that has never begun for one that runs")
		}
		if h.states() != " stopped" {
			t.Errorf("events: %s", h.states())
		}
	})
}

// TestLeaveTwice checks that an end that is noticed twice is one.
func TestLeaveTwice(t *testing.T) {
	h := newHost(t)
	s := h.l.enter(made{})
	h.l.leave(s.Key, s, systemd.Outcome{Exit: 3})
	h.l.leave(s.Key, s, systemd.Outcome{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	waitEnd(ctx, s)
	if s.outcome.Exit != 3 {
		t.Errorf("outcome is %+v", s.outcome)
	}
}
