package launcher

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// TestListCalls checks that neither a list nor an event costs a question for each of 500 servers, and that a unit of
// another's making costs no more than one of its own.
func TestListCalls(t *testing.T) {
	h := newHost(t)
	const servers = 500
	for i := range servers {
		name := fmt.Sprintf("jupyter-u%d.service", i)
		h.units[name], h.env[name] = systemd.Active, []string{"GIFFORD_PROFILE=lab",
			fmt.Sprintf("GIFFORD_UID=%d", 1000+i)}
	}
	h.units["jupyter-stranger.service"] = systemd.Active
	if _, err := h.l.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	calls := func(what string, listed, asked int, do func()) {
		t.Helper()
		h.listed, h.asked = 0, 0
		do()
		if h.listed != listed || h.asked != asked {
			t.Errorf("%s: %d lists and %d questions for single units, want %d and %d", what, h.listed, h.asked, listed,
				asked)
		}
	}
	calls("List", 1, 1, func() {
		rows, err := h.l.List(t.Context())
		if err != nil || len(rows) != servers {
			t.Errorf("%d rows, %v", len(rows), err)
		}
		for _, r := range rows {
			var i uint32
			if _, err := fmt.Sscanf(r.User, "u%d", &i); err != nil || r.UID != 1000+i || r.Profile != "lab" {
				t.Errorf("row %+v, %v", r, err)
			}
		}
	})
	calls("GPUs", 1, 1, func() {
		if _, err := h.l.GPUs(t.Context()); err != nil {
			t.Error(err)
		}
	})
	calls("an event", 0, 0, func() { h.change(t.Context(), "jupyter-u7.service", systemd.Deactivating) })
	calls("an end", 0, 1, func() { h.change(t.Context(), "jupyter-u7.service", systemd.Inactive) })
}

// TestEventsCarryTheRow checks that each event says all that List says of the server, for one that this launcher
// started and for one of an earlier launcher.
func TestEventsCarryTheRow(t *testing.T) {
	h := gpuHost(t)
	k := h.key("alice", "gpu")
	if err := h.startWith("gpu", k); err != nil {
		t.Fatal(err)
	}
	since := time.UnixMicro(1700000000000001)
	h.l.Changed(t.Context(), systemd.Change{Name: k.Unit(), State: systemd.Active, Since: since})
	rows, err := h.l.List(t.Context())
	if err != nil || len(rows) != 1 {
		t.Fatalf("list: %+v, %v", rows, err)
	}
	want := launcherbus.Server{Key: k, Profile: "gpu", State: launcherbus.Running, UID: h.uid,
		Socket: "/run/gifford-launcher/servers/alice/gpu/nb.sock", Started: since,
		Devices: []string{"lab.example/gpu=0"}}
	same := func(what string, got launcherbus.Server) {
		t.Helper()
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(ident.Key{})); diff != "" {
			t.Errorf("%s: want(-) got(+):\n%s", what, diff)
		}
	}
	if diff := cmp.Diff(want.Row(), rows[0]); diff != "" {
		t.Errorf("List: want(-) got(+):\n%s", diff)
	}
	same("an event", h.events[len(h.events)-1].Server)
	h.launch()
	if _, err := h.l.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	want.Started = time.Time{} // this systemd does not say
	want.State = launcherbus.Stopping
	h.change(t.Context(), k.Unit(), systemd.Deactivating)
	same("an event of an adopted unit", h.events[len(h.events)-1].Server)
	want.State = launcherbus.Failed
	h.end = systemd.Outcome{Result: "exit-code", PreExit: 71}
	h.change(t.Context(), k.Unit(), systemd.Failed)
	last := h.events[len(h.events)-1]
	same("a failure", last.Server)
	if last.Result != "exit-code" || last.Exit != 71 {
		t.Errorf("the failure is %s %d", last.Result, last.Exit)
	}
}

// TestLateNews takes over a queued unit that has ended by the time its first news is handled, or is not ours. An end is
// one only if systemd says so.
func TestLateNews(t *testing.T) {
	ours := []string{"GIFFORD_PROFILE=lab", "GIFFORD_UID=1"}
	tests := map[string]struct {
		state systemd.State // now; "" for none
		env   []string
		want  string
	}{
		"runs":      {systemd.Active, ours, "alice starting"},
		"failed":    {systemd.Failed, ours, "alice starting, alice failed"},
		"forgotten": {"", ours, ""},
		"another's": {systemd.Active, nil, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.env["jupyter-alice.service"] = tt.env
			if tt.state != "" {
				h.units["jupyter-alice.service"] = tt.state
			}
			for _, s := range []systemd.State{systemd.Activating, systemd.Failed} {
				h.l.Changed(t.Context(), systemd.Change{Name: "jupyter-alice.service", State: s})
			}
			if got := h.states(); got != tt.want {
				t.Errorf("events: %s; want %s", got, tt.want)
			}
		})
	}
}

// TestStrangeChanges checks that what is no unit of ours, or a state without a word of ours, is no event.
func TestStrangeChanges(t *testing.T) {
	h := newHost(t)
	if err := start(h, h.key("alice", "")); err != nil {
		t.Fatal(err)
	}
	h.events = nil
	for _, c := range []systemd.Change{{Name: "jupyter-alice.service", State: "odd"},
		{Name: "jupyter-../x.service", State: systemd.Active}, {Name: "ssh.service", State: systemd.Failed}} {
		h.l.Changed(context.Background(), c)
	}
	if len(h.events) != 0 {
		t.Errorf("events: %+v", h.events)
	}
}
