package launcher

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// TestMakeRoomWaits starts a server whose last unit has ended while the signal is on its way, and one of which systemd
// says nothing.
func TestMakeRoomWaits(t *testing.T) {
	h := newHost(t)
	k := h.key("alice", "")
	if err := start(h, k); err != nil {
		t.Fatal(err)
	}
	h.units[k.Unit()], h.slow = systemd.Inactive, 2
	close(h.l.server(k).ended)
	if err := start(h, k); err != nil {
		t.Errorf("after the end of the last: %v", err)
	}
	h = newHost(t)
	h.fails["Get"] = errBroken
	if err := start(h, k); !errors.Is(err, errBroken) || len(h.units) != 0 {
		t.Errorf("systemd says nothing: %v, units %v", err, h.units)
	}
}

// TestLeasesOnce checks that a device that is lent counts once, whether systemd knows the unit already or not, and that
// a unit without devices holds nothing.
func TestLeasesOnce(t *testing.T) {
	h := gpuHost(t)
	alice, bob, carol := h.key("alice", ""), h.key("bob", ""), h.key("carol", "")
	if err := errors.Join(h.startWith("gpu", alice), h.startWith("lab", bob)); err != nil {
		t.Fatal(err)
	}
	held, err := h.l.leases(t.Context())
	if err != nil || len(held) != 1 || held[0].Key != alice {
		t.Fatalf("held: %+v, %v", held, err)
	}
	h.l.lending.lent[alice] = held[0] // as before systemd has answered
	early, none := held[0], held[0]
	early.Key, early.Since = bob, early.Since.Add(-1)
	none.Key, none.Devices = carol, nil
	h.l.lending.lent[bob], h.l.lending.lent[carol] = early, none
	held, err = h.l.leases(t.Context())
	if err != nil || len(held) != 2 || held[0].Key != bob || held[1].Key != alice {
		t.Errorf("held: %+v, %v", held, err)
	}
}

// TestStranger checks whose processes are reported on a device that their unit does not hold.
func TestStranger(t *testing.T) {
	for _, tt := range []struct {
		p    gpu.Process
		want bool
	}{
		{gpu.Process{UID: 1000, Unit: "user@1000.service"}, true}, {gpu.Process{UID: 1001}, true},
		{gpu.Process{UID: 999, Unit: "display-manager.service"}, false},
		{gpu.Process{UID: 999, Unit: "jupyter-x.service"}, true},
	} {
		if got := stranger(tt.p, 1000); got != tt.want {
			t.Errorf("%+v: %v", tt.p, got)
		}
	}
}

// TestLendWithoutAnswer checks that a name service that does not answer about a device's group lends nothing.
func TestLendWithoutAnswer(t *testing.T) {
	h := gpuHost(t)
	h.text += "[[gpus.device]]\nmatch = [\"*/gpu=*\"]\nunix_groups = [\"away\"]\n"
	if err := h.startWith("gpu", h.key("alice", "")); err == nil || codeOf(err) != "" ||
		!strings.Contains(err.Error(), "secret detail") || len(h.units) != 0 {
		t.Errorf("error is %v, units %v", err, h.units)
	}
}

// TestWithoutGPUsAgain checks that a persistent container that was made without devices starts without them again.
func TestWithoutGPUsAgain(t *testing.T) {
	h := gpuHost(t)
	k := h.key("alice", "")
	for range 2 {
		r := launcherbus.StartRequest{Key: k, Profile: "keeps", WithoutGPUs: true}
		if err := h.l.Start(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if err := h.l.Stop(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNoDevicesNoQuestion checks that a start without devices does not ask who holds which.
func TestNoDevicesNoQuestion(t *testing.T) {
	h := newHost(t)
	h.fails["List"] = errBroken
	if err := start(h, h.key("alice", "")); err != nil {
		t.Errorf("error is %v", err)
	}
}

// TestNoteBesideStrange checks that nothing is added to a record that cannot be read.
func TestNoteBesideStrange(t *testing.T) {
	h := newHost(t)
	record := filepath.Join(h.dir, "state/kept/alice/_")
	if err := errors.Join(os.Mkdir(filepath.Dir(record), 0o700),
		os.WriteFile(record, []byte("lab\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := h.l.files.noteContainer(h.key("alice", ""), container{"lab", "00", nil}); err == nil {
		t.Error("it is noted")
	}
	if data, err := os.ReadFile(record); err != nil || string(data) != "lab\n" {
		t.Errorf("the record is now %q, %v", data, err)
	}
}
