package launcher

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/root/unit"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// TestEnvBounds checks the largest environment that is allowed, and one more of each.
func TestEnvBounds(t *testing.T) {
	many := map[string]string{}
	for i := range maxVariables {
		many["JUPYTERHUB_"+strings.Repeat("A", i+1)] = ""
	}
	more := maps.Clone(many)
	more["JUPYTERHUB_Z"] = ""
	for name, tt := range map[string]struct {
		env map[string]string
		ok  bool
	}{
		"none": {nil, true}, "most variables": {many, true}, "one more": {more, false},
		"longest value":  {map[string]string{"JUPYTERHUB_A": strings.Repeat("x", maxValue)}, true},
		"longer":         {map[string]string{"JUPYTERHUB_A": strings.Repeat("x", maxValue+1)}, false},
		"old token":      {map[string]string{"JPY_API_TOKEN": "x"}, true},
		"its like":       {map[string]string{"JPY_API_TOKEN2": "x"}, false},
		"blank":          {map[string]string{"JUPYTERHUB_A": "a b"}, true},
		"tilde":          {map[string]string{"JUPYTERHUB_A": "~é"}, true},
		"unit separator": {map[string]string{"JUPYTERHUB_A": "\x1f"}, false},
		"delete":         {map[string]string{"JUPYTERHUB_A": "\x7f"}, false},
		"replacement":    {map[string]string{"JUPYTERHUB_A": "\ufffd"}, false},
	} {
		if err := checkEnv(tt.env); (err == nil) != tt.ok || err != nil && codeOf(err) != launcherbus.Refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestParseRanges checks which lines of subuid(5) are ranges.
func TestParseRanges(t *testing.T) {
	got := parseRanges([]byte("a:1:2\nb:x:3\nc:4:x\nd:5:0\n:6:7\n#e:8:9\nf:10\ng:1:2:3\nh:4294967296:1\n" +
		"i:1:4294967296\n\n4242:4294967295:4294967295"))
	want := []idRange{{"a", 1, 2}, {"4242", 1<<32 - 1, 1<<32 - 1}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestLastRange gives the last ids that there are, and no invalid one.
func TestLastRange(t *testing.T) {
	for first, want := range map[uint32]bool{1<<32 - 2 - 100: true, 1<<32 - 1 - 100: false} {
		if r, ok := free(nil, policy.SubIDs{First: first, Count: 100}); ok != want {
			t.Errorf("%v: %v", r, ok)
		}
	}
}

// TestForeign checks whose uid is one of another's subordinate ids.
func TestForeign(t *testing.T) {
	for line, foreign := range map[string]bool{"bob:5001:1": true, "bob:5000:2": true, "bob:5000:1": false,
		"bob:5002:1": false, "alice:5001:1": false, "5001:5000:9": false, "5002:5000:9": true} {
		for _, file := range []string{"subuid", "subgid", "ledger"} {
			var f subIDFiles
			*map[string]*[]idRange{"subuid": &f.uids, "subgid": &f.gids, "ledger": &f.ledger}[file] =
				parseRanges([]byte(line))
			if err := f.foreign(account(t, "alice", 5001)); (codeOf(err) == launcherbus.NoSubIDs) != foreign ||
				(err != nil) != foreign {
				t.Errorf("%s in %s: %v", line, file, err)
			}
		}
	}
}

// TestLedger checks that the ledger has each range once.
func TestLedger(t *testing.T) {
	s, dir := ids(t, map[string]string{"subuid": "bob:1:9\n", "subgid": "bob:1:9\n", "subids": "bob:1:9\n"})
	if err := s.ensure(t.Context(), account(t, "alice", 5001), policy.SubIDs{First: 1000, Count: 100}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, ledgerName))
	if diff := cmp.Diff(ledgerHead+"bob:1:9\nalice:1000:100\n", string(data)); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// TestSubIDFiles checks that a file in /etc keeps its owner, and that one that is no file stays what it is.
func TestSubIDFiles(t *testing.T) {
	s, dir := ids(t, map[string]string{"subuid": "bob:1:9\n", "real": ""})
	if os.Getuid() == 0 {
		if err := os.Chown(filepath.Join(dir, "subuid"), member, member); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.Stat(filepath.Join(dir, "subuid"))
	if err != nil {
		t.Fatal(err)
	}
	rules := policy.SubIDs{First: 1000, Count: 100}
	if err := s.ensure(t.Context(), account(t, "alice", 5001), rules); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(filepath.Join(dir, "subuid"))
	if err != nil || nofollow.Owner(after) != nofollow.Owner(before) || after.Mode() != before.Mode() {
		t.Errorf("%v, %v, %v", before, after, err)
	}
	made, err := os.Stat(filepath.Join(dir, "subgid"))
	if err != nil || made.Mode().Perm() != 0o644 {
		t.Errorf("the new file is %v, %v", made, err)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, "subgid")),
		os.Symlink("real", filepath.Join(dir, "subgid"))); err != nil {
		t.Fatal(err)
	}
	if err := s.ensure(t.Context(), account(t, "dora", 5002), rules); codeOf(err) != launcherbus.NoSubIDs ||
		!strings.Contains(err.Error(), "/etc/subgid cannot be changed: it is not a regular file") {
		t.Errorf("a link as subgid: %v", err)
	}
}

// TestLocks checks what is left of locks that is not available, and that only a dead holder's lock is taken away.
func TestLocks(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel() // so that each lock is tried once
	other := "1\x00"
	s, dir := ids(t, map[string]string{"subgid.lock": other})
	if _, err := s.lock(over); err == nil || !strings.Contains(err.Error(), "subgid.lock is held by process 1") {
		t.Errorf("subgid.lock is another's: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "sub*"))
	if err != nil || !slices.Equal(left, []string{filepath.Join(dir, "subgid.lock")}) {
		t.Errorf("left: %v, %v", left, err)
	}
	pwd, err := os.OpenFile(filepath.Join(dir, ".pwd.lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pwd.Close()
	if err := unix.FcntlFlock(pwd.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.lock(over); !errors.Is(err, unix.EAGAIN) {
		t.Errorf(".pwd.lock is another's: %v", err)
	}
	for content, want := range map[string]string{"": "exist", "junk": "exist", "0": "exist", "-999999": "exist",
		"99999999999999999999": "exist", "1\n": "is held by process 1", "999999999": "which is gone"} {
		s, dir := ids(t, map[string]string{"subuid.lock": content})
		if err := s.lockFile("subuid.lock"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", content, err)
		}
		data, err := os.ReadFile(filepath.Join(dir, "subuid.lock"))
		if taken := errors.Is(err, os.ErrNotExist); taken != (want == "which is gone") ||
			!taken && string(data) != content {
			t.Errorf("the lock of %q is now %q, %v", content, data, err)
		}
	}
}

// TestFullDisk checks that a file that cannot be written whole is an error and replaces none.
func TestFullDisk(t *testing.T) {
	h := newHost(t)
	k := h.key("alice", "")
	long := strings.Repeat("x", 5000)
	for name, write := range map[string]func() error{
		"run/credentials/jupyter-alice.service.env": func() error { return h.l.files.writeCredential(k, []byte(long)) },
		"run/resolv.conf": func() error { return replace(h.l.files.run, "resolv.conf", long, 0o644) },
		"state/subids":    func() error { return replaceSynced(h.l.files.state, ledgerName, []byte(long), nil) },
	} {
		var err error
		withFileSize(t, 4096, func() { err = write() })
		if !errors.Is(err, unix.EFBIG) {
			t.Errorf("%s: %v", name, err)
		}
		if info, err := os.Stat(filepath.Join(h.dir, name)); err == nil && info.Size() == 4096 {
			t.Errorf("%s has half of it", name)
		}
	}
	if left, err := filepath.Glob(filepath.Join(h.dir, "state/.subids*")); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// withFileSize runs do with a bound on how large a file may become, as on a full disk.
func withFileSize(t *testing.T, size uint64, do func()) {
	t.Helper()
	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
			t.Fatal(err)
		}
	}()
	do()
}

// TestNotOurs checks which units are neither listed nor found: those that have ended, of a state without a word, or of
// another's making.
func TestNotOurs(t *testing.T) {
	ours := []string{"GIFFORD_PROFILE=lab", "GIFFORD_UID=1"}
	for name, tt := range map[string]struct {
		state  systemd.State
		env    []string
		listed bool
	}{
		"runs": {systemd.Active, ours, true}, "ends": {systemd.Deactivating, ours, true},
		"is loaded again": {"reloading", ours, true}, "has failed": {systemd.Failed, ours, false},
		"has ended": {systemd.Inactive, ours, false}, "odd state": {"odd", ours, false},
		"another's runs": {systemd.Active, nil, false}, "another's failed": {systemd.Failed, nil, false},
	} {
		h := newHost(t)
		h.units["jupyter-alice.service"], h.env["jupyter-alice.service"] = tt.state, tt.env
		rows, err := h.l.List(t.Context())
		if err != nil || (len(rows) == 1) != tt.listed {
			t.Errorf("%s: listed %+v, %v", name, rows, err)
		}
		row, err := h.l.Get(t.Context(), h.key("alice", ""))
		if (err == nil) != tt.listed || !tt.listed && codeOf(err) != launcherbus.NotFound || tt.listed &&
			row.User != "alice" {
			t.Errorf("%s: found %+v, %v", name, row, err)
		}
	}
}

// TestForgotten checks for which units a start waits until systemd has forgotten them.
func TestForgotten(t *testing.T) {
	ours := []string{"GIFFORD_PROFILE=lab", "GIFFORD_UID=1"}
	for name, tt := range map[string]struct {
		state  systemd.State
		env    []string
		queued bool
		asked  int
	}{
		"ours has ended": {systemd.Inactive, ours, false, 3}, "another's has ended": {systemd.Inactive, nil, false, 1},
		"ours is queued": {systemd.Inactive, ours, true, 1}, "ours runs": {systemd.Active, ours, false, 1},
		"ours has failed": {systemd.Failed, ours, false, 1},
	} {
		h := newHost(t)
		h.units["jupyter-alice.service"], h.env["jupyter-alice.service"] = tt.state, tt.env
		h.queued["jupyter-alice.service"], h.slow = tt.queued, 2
		u, err := h.l.forgotten(t.Context(), h.key("alice", ""))
		if gone := errors.Is(err, systemd.ErrNotLoaded); gone != (tt.asked > 1) || !gone && (err != nil ||
			u.State != tt.state) || h.asked != tt.asked {
			t.Errorf("%s: asked %d times, %+v, %v", name, h.asked, u, err)
		}
	}
	h := newHost(t)
	h.units["jupyter-alice.service"], h.env["jupyter-alice.service"], h.slow = systemd.Inactive, ours, 1000
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.l.forgotten(over, h.key("alice", "")); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller is gone: %v", err)
	}
}

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

// TestStopJobFails checks that a stop whose job fails is an error.
func TestStopJobFails(t *testing.T) {
	h := newHost(t)
	if err := start(h, h.key("alice", "")); err != nil {
		t.Fatal(err)
	}
	h.fails["StopJob"] = errBroken
	if err := h.l.Stop(t.Context(), h.key("alice", "")); !errors.Is(err, errBroken) {
		t.Errorf("error is %v", err)
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

// TestGoneMember checks that a record without the member's directory is not outdated: there is no container.
func TestGoneMember(t *testing.T) {
	h := keepingHost(t)
	life(t, h, "alice", "")
	if err := h.l.files.noteContainer(h.key("bob", ""), container{"lab", "00", nil}); err != nil {
		t.Fatal(err)
	}
	rows, err := h.l.Persistent(t.Context())
	want := []launcherbus.PersistentRow{{User: "alice", Profile: "lab"}, {User: "bob", Profile: "lab"}}
	if diff := cmp.Diff(want, rows); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// TestMembersDirectory checks that a member's directory is theirs and a directory.
func TestMembersDirectory(t *testing.T) {
	h := newHost(t)
	at := filepath.Join(h.dir, "state/users/alice")
	if err := os.Symlink("/etc", at); err != nil {
		t.Fatal(err)
	}
	if err := memberDirectory(h.l.files.state, "users/alice", private, 0, 0); err == nil ||
		!strings.Contains(err.Error(), "cannot open a member's directory") {
		t.Errorf("a link out of the launcher's directory: %v", err)
	}
	for name, put := range map[string]func() error{
		"another's directory": func() error { return os.Mkdir(at, 0o700) },
		"the member's file": func() error {
			return errors.Join(os.WriteFile(at, nil, 0o600),
				os.Chown(at, member, -1))
		},
	} {
		if os.Getuid() != 0 {
			t.Skip("only root can give files away; the end-to-end tests run as root")
		}
		if err := errors.Join(os.RemoveAll(at), put()); err != nil {
			t.Fatal(err)
		}
		if err := memberDirectory(h.l.files.state, "users/alice", private, member, member); err == nil ||
			!strings.Contains(err.Error(), "belongs to uid") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLongSource checks what is said of a mount's source that cannot be opened for another reason than the usual ones.
func TestLongSource(t *testing.T) {
	dir := rootsDirectory(t)
	err := checkSource(policy.Mount{Source: filepath.Join(dir, strings.Repeat("x", 300)), Target: "/x"},
		account(t, "alice", member))
	wantRefusal(t, err, "cannot be opened")
}

// TestDiskUseStates checks when a measurement is under way, and what hinders its start or its answer.
func TestDiskUseStates(t *testing.T) {
	for state, want := range map[systemd.State]bool{systemd.Activating: true, systemd.Deactivating: true,
		systemd.Active: false, systemd.Failed: false, systemd.Inactive: false} {
		h := newHost(t)
		h.units["gifford-usage-alice.service"] = state
		u, err := h.l.DiskUse(t.Context(), h.key("alice", "").User, false)
		if err != nil || u.Measuring != want {
			t.Errorf("%s: %+v, %v", state, u, err)
		}
	}
	for _, obstacle := range []string{"state/users/alice", "etc/subuid"} {
		h := newHost(t)
		var err error
		if obstacle == "etc/subuid" {
			err = os.Mkdir(filepath.Join(h.dir, obstacle), 0o755)
		} else {
			err = os.WriteFile(filepath.Join(h.dir, obstacle), nil, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.l.DiskUse(t.Context(), h.key("alice", "").User, true); err == nil || len(h.units) != 0 {
			t.Errorf("with %s in the way: %v, units %v", obstacle, err, h.units)
		}
	}
	h := newHost(t)
	log := h.logged()
	for _, what := range []string{"none", "no directory"} {
		if what == "no directory" {
			if err := os.RemoveAll(filepath.Join(h.dir, "state/users")); err != nil {
				t.Fatal(err)
			}
		}
		u, err := h.l.DiskUse(t.Context(), h.key("alice", "").User, false)
		if err != nil || !u.Measured.IsZero() || strings.Contains(log(), "usage-unreadable") {
			t.Errorf("%s: %+v, %v, %s", what, u, err, log())
		}
	}
	if err := os.MkdirAll(filepath.Dir(h.usageFile()), 0o755); err != nil {
		t.Fatal(err)
	}
	h.leave(t, "junk")
	if _, err := h.l.DiskUse(t.Context(), h.key("alice", "").User, false); err != nil ||
		!strings.Contains(log(), "event=usage-unreadable") {
		t.Errorf("%v, %s", err, log())
	}
}

// TestProfileImages checks that an image that the store does not have is normal, and a reference that it cannot read is
// not.
func TestProfileImages(t *testing.T) {
	h := newHost(t)
	h.text += "[images]\nshare = true\n"
	log := h.logged()
	if images, err := h.l.Images(t.Context()); err != nil || len(images.Profiles) != 0 || log() != "" {
		t.Errorf("no image: %+v, %v, %s", images, err, log())
	}
	rules, err := h.l.policy()
	if err != nil {
		t.Fatal(err)
	}
	rules.Profiles[0].Image = "A b"
	if images := h.l.profileImages(rules); len(images) != 0 || !strings.Contains(log(), "event=images-unreadable") ||
		!strings.Contains(log(), "profile=lab") {
		t.Errorf("a strange reference: %v, %s", images, log())
	}
}

// TestFailureLogged checks that only an end whose reason systemd does not say is a warning.
func TestFailureLogged(t *testing.T) {
	for part, warns := range map[string]bool{"": false, "Outcome": true, "ResetFailed": true} {
		h := newHost(t)
		if err := start(h, h.key("alice", "")); err != nil {
			t.Fatal(err)
		}
		log := h.logged()
		if part != "" {
			h.fails[part] = errBroken
		}
		h.change(t.Context(), "jupyter-alice.service", systemd.Failed)
		if strings.Contains(log(), "event=unit-failed") != warns || !strings.Contains(log(), "event=server-failed") {
			t.Errorf("without %q: %s", part, log())
		}
	}
}

// logged lets the launcher write its log into a text and returns what reads it.
func (h *host) logged() func() string {
	var text strings.Builder
	h.l.cfg.Log = slog.New(slog.NewTextHandler(&text, nil))
	return text.String
}

// TestOtherProfile checks that a container is of today only if its own profile is there and still persistent.
func TestOtherProfile(t *testing.T) {
	h := keepingHost(t)
	life(t, h, "alice", "")
	record := filepath.Join(h.dir, "state/kept/alice/_")
	data, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	outdated := func(what string, want bool) {
		t.Helper()
		rows, err := h.l.Persistent(t.Context())
		if err != nil || len(rows) != 1 || rows[0].Outdated != want {
			t.Errorf("%s: %+v, %v", what, rows, err)
		}
	}
	outdated("as it was made", false)
	text := h.text
	h.text = strings.Replace(text, "persistent = true", "persistent = false", 1)
	outdated("no longer persistent", true)
	h.text = text
	if err := os.WriteFile(record, []byte(strings.Replace(string(data), "lab", "gone", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	outdated("of a profile that is gone", true)
	if err := os.WriteFile(record, []byte("lab\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if rows, err := h.l.Persistent(t.Context()); err == nil || rows != nil {
		t.Errorf("a record that cannot be read: %+v, %v", rows, err)
	}
	rules, err := h.l.policy()
	if err != nil {
		t.Fatal(err)
	}
	in := unit.Input{Key: h.key("alice", ""), Profile: rules.Profiles[0], Policy: rules}
	if _, err := h.l.lend(t.Context(), &in, h.l.names()); err == nil {
		t.Error("devices are lent though nobody knows which are in the container")
	}
}

// TestCredentialWhileStarting checks that the credential of a start that an earlier launcher began stays until the unit
// runs.
func TestCredentialWhileStarting(t *testing.T) {
	h := newHost(t)
	k := h.key("alice", "")
	h.env[k.Unit()], h.units[k.Unit()] = []string{"GIFFORD_PROFILE=lab", "GIFFORD_UID=1"}, systemd.Activating
	if err := h.l.files.writeCredential(k, []byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, state := range []systemd.State{systemd.Activating, systemd.Active} {
		h.change(t.Context(), k.Unit(), state)
		if left := leftIn(t, h.dir); (left != "") != (state == systemd.Activating) {
			t.Errorf("%s: left %q", state, left)
		}
	}
}

// TestSubIDsChange lets subuid become unreadable while a start waits for its lock.
func TestSubIDsChange(t *testing.T) {
	s, dir := ids(t, map[string]string{"subuid.lock": "1\x00"})
	done := make(chan error)
	go func() {
		done <- s.ensure(t.Context(), account(t, "alice", 5001), policy.SubIDs{First: 1000, Count: 100})
	}()
	for { // it makes .pwd.lock after it has read the files
		if _, err := os.Stat(filepath.Join(dir, ".pwd.lock")); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "subuid"), 0o755),
		os.Remove(filepath.Join(dir, "subuid.lock"))); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), "cannot read the subordinate ids") {
		t.Errorf("error is %v", err)
	}
}

// TestHomeNotMade checks what keeps a directory from being made or given away.
func TestHomeNotMade(t *testing.T) {
	dir := rootsDirectory(t)
	h := home{filepath.Join(dir, strings.Repeat("x", 300)), account(t, "alice", member), true, 0o750, "home directory"}
	if err := h.make(); err == nil || !strings.Contains(err.Error(), "cannot make it") {
		t.Errorf("too long a name: %v", err)
	}
	for name, want := range map[string]string{"none": "cannot open the new directory",
		"sys": "cannot set the new directory's mode"} {
		proc, err := os.Open("/proc") // nobody may change the mode of what is there
		if err != nil {
			t.Fatal(err)
		}
		defer proc.Close()
		if err := h.hand(int(proc.Fd()), name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBusLost checks that a launcher without a name on the bus says so.
func TestBusLost(t *testing.T) {
	bus, err := privateBus(t)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.Close(); err != nil {
		t.Fatal(err)
	}
	if err := export(bus, map[string]any{}); err == nil || !strings.Contains(err.Error(), "cannot take the name") {
		t.Errorf("error is %v", err)
	}
}

// TestFirstNews checks which first news of a unit that an earlier launcher had queued make it this launcher's.
func TestFirstNews(t *testing.T) {
	for state, want := range map[systemd.State]string{systemd.Activating: "alice starting",
		systemd.Active: "alice running", systemd.Deactivating: "", systemd.Failed: "", systemd.Inactive: ""} {
		h := newHost(t)
		h.env["jupyter-alice.service"] = []string{"GIFFORD_PROFILE=lab", "GIFFORD_UID=1"}
		h.units["jupyter-alice.service"] = state
		h.l.Changed(t.Context(), systemd.Change{Name: "jupyter-alice.service", State: state})
		if got := h.states(); got != want {
			t.Errorf("%s: events %q, want %q", state, got, want)
		}
		known := h.l.server(h.key("alice", ""))
		h.l.Changed(t.Context(), systemd.Change{Name: "jupyter-alice.service", State: systemd.Active})
		if known != nil && h.l.server(h.key("alice", "")) != known {
			t.Errorf("%s: the next news make it another", state)
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

// TestErrorsOverTheBus checks that each kind of method hands its operation's error to the caller.
func TestErrorsOverTheBus(t *testing.T) {
	h := newHost(t)
	h.fails["List"] = errBroken
	methods := h.l.Methods(t.Context(), func(context.Context, string) (uint32, error) { return hubUID, nil })
	for name, tt := range map[string]struct {
		args []any
		code launcherbus.Code
	}{
		"List": {nil, launcherbus.Internal}, "Get": {[]any{"alice", ""}, launcherbus.NotFound},
		"Stop": {[]any{"alice", ""}, launcherbus.NotFound}, "Images": {nil, launcherbus.Internal},
	} {
		if err := call(t, methods[name], tt.args...); err == nil ||
			err.Name != launcherbus.Interface+".Error."+string(tt.code) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := call(t, methods["Get"], "../alice", ""); err == nil ||
		err.Name != launcherbus.Interface+".Error."+string(launcherbus.Refused) {
		t.Errorf("Get of no name: %v", err)
	}
}

// TestKnownRuns checks that a start of what runs or starts is refused at once.
func TestKnownRuns(t *testing.T) {
	for _, state := range []systemd.State{systemd.Active, systemd.Activating} {
		h := newHost(t)
		k := h.key("alice", "")
		if err := start(h, k); err != nil {
			t.Fatal(err)
		}
		h.units[k.Unit()], h.asked = state, 0
		if err := start(h, k); codeOf(err) != launcherbus.AlreadyExists || h.asked != 1 {
			t.Errorf("%s: %v, after %d questions", state, err, h.asked)
		}
	}
}

// TestProfilesWithoutPolicy checks that a policy that cannot be read is not one without profiles.
func TestProfilesWithoutPolicy(t *testing.T) {
	h := newHost(t)
	h.text = "not a policy"
	if rows, err := h.l.Profiles(t.Context()); codeOf(err) != launcherbus.Internal || rows != nil {
		t.Errorf("%v, %v", rows, err)
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

// TestOverlaps checks that ranges that touch do not overlap.
func TestOverlaps(t *testing.T) {
	r := idRange{start: 100, count: 10}
	for other, want := range map[idRange]bool{{start: 90, count: 10}: false, {start: 90, count: 11}: true,
		{start: 110, count: 1}: false, {start: 109, count: 1}: true, {start: 1, count: 1000}: true} {
		if r.overlaps(other) != want || other.overlaps(r) != want {
			t.Errorf("%v: not %v", other, want)
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

// TestLockNotWritten checks that a lock that cannot be written is not held.
func TestLockNotWritten(t *testing.T) {
	s, dir := ids(t, nil)
	if err := os.MkdirAll(filepath.Join(dir, "subuid.lock."+strconv.Itoa(os.Getpid()), "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.lockFile("subuid.lock"); err == nil {
		t.Error("it is held")
	}
}
