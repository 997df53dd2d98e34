package launcher

import (
	"context"
	"errors"
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

	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

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
	const full = 16 << 20 // far beyond what "go test" itself writes meanwhile
	long := strings.Repeat("x", full+1000)
	for name, write := range map[string]func() error{
		"run/credentials/jupyter-alice.service.env": func() error { return h.l.files.writeCredential(k, []byte(long)) },
		"run/resolv.conf": func() error { return replace(h.l.files.run, "resolv.conf", long, 0o644) },
		"state/subids":    func() error { return replaceSynced(h.l.files.state, ledgerName, []byte(long), nil) },
	} {
		var err error
		withFileSize(t, full, func() { err = write() })
		if !errors.Is(err, unix.EFBIG) {
			t.Errorf("%s: %v", name, err)
		}
		if info, err := os.Stat(filepath.Join(h.dir, name)); err == nil && info.Size() == full {
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
