package launcher

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// TestResetBelowMinUID checks that a reset is for accounts from min_uid on.
func TestResetBelowMinUID(t *testing.T) {
	for _, below := range []bool{false, true} {
		h := keepingHost(t)
		life(t, h, "alice", "")
		minUID, want := h.uid, launcherbus.Code("")
		if below {
			minUID, want = h.uid+1, launcherbus.Refused
		}
		h.text = strings.Replace(h.text, "min_uid = 1", "min_uid = "+strconv.FormatUint(uint64(minUID), 10), 1)
		if err := h.l.Reset(t.Context(), h.key("alice", "")); codeOf(err) != want || (err == nil) == below {
			t.Errorf("below min_uid %v: %v", below, err)
		}
	}
}

// TestResetForgets checks what a reset does when its records cannot be removed, when there are none any more, and that
// one that worked is in the log.
func TestResetForgets(t *testing.T) {
	h := keepingHost(t)
	life(t, h, "alice", "")
	log := h.logged()
	if err := h.l.Reset(t.Context(), h.key("alice", "")); err != nil || !strings.Contains(log(), "event=server-reset") {
		t.Errorf("%v, log %s", err, log())
	}
	if err := h.l.files.forgetContainers(h.key("alice", "")); err != nil {
		t.Errorf("no record: %v", err)
	}
	record := filepath.Join(h.dir, "state/kept/alice/_")
	if err := os.MkdirAll(filepath.Join(record, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := h.l.files.forgetContainers(h.key("alice", "")); err == nil ||
		!strings.Contains(err.Error(), "cannot forget") {
		t.Errorf("a record that cannot be removed: %v", err)
	}
	h = keepingHost(t)
	life(t, h, "alice", "")
	if err := os.RemoveAll(filepath.Join(h.dir, "run/users")); err != nil {
		t.Fatal(err)
	}
	before := len(h.units)
	if err := h.l.Reset(t.Context(), h.key("alice", "")); err == nil || len(h.units) != before {
		t.Errorf("no directory of members: %v, units %v", err, h.units)
	}
}

// TestRecorded checks which files are records of servers.
func TestRecorded(t *testing.T) {
	h := newHost(t)
	for _, name := range []string{"file", "alice/_", "alice/x", "alice/d/y", "alice/-bad", "-bad/_"} {
		file := filepath.Join(h.dir, "state/kept", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, key := range h.l.files.recorded() {
		got = append(got, key.String())
	}
	if want := []string{"alice", "alice:x"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if err := os.RemoveAll(filepath.Join(h.dir, "state/kept")); err != nil {
		t.Fatal(err)
	}
	if got := h.l.files.recorded(); len(got) != 0 {
		t.Errorf("without the directory: %v", got)
	}
}

// TestNothingLeft checks what an account is told for which no subordinate ids are left.
func TestNothingLeft(t *testing.T) {
	s, _ := ids(t, map[string]string{"subids": "a:1000:4294966200\n"})
	err := s.ensure(t.Context(), account(t, "alice", 500), policy.SubIDs{First: 1000, Count: 100})
	if codeOf(err) != launcherbus.NoSubIDs || !strings.Contains(err.Error(), "none are left to give") {
		t.Errorf("error is %v", err)
	}
}

// TestResetRecordStays checks that a reset whose record cannot be removed is an error.
func TestResetRecordStays(t *testing.T) {
	h := keepingHost(t)
	k := h.key("alice", "")
	life(t, h, "alice", "")
	h.l.Close()
	record := filepath.Join(h.dir, "state/kept/alice/_")
	h.wait = make(chan struct{})
	done := make(chan error)
	go func() { done <- h.l.Reset(t.Context(), k) }()
	for begun := false; !begun; time.Sleep(time.Millisecond) {
		h.mu.Lock()
		begun = h.units["gifford-reset-alice.service"] != ""
		h.mu.Unlock()
	}
	if err := errors.Join(os.Remove(record), os.MkdirAll(filepath.Join(record, "x"), 0o700)); err != nil {
		t.Fatal(err)
	}
	close(h.wait)
	if err := <-done; err == nil || !strings.Contains(err.Error(), "cannot forget") {
		t.Errorf("error is %v", err)
	}
}
