package launcher

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// ended runs and stops a server of alice's that leaves something in the directory of its socket.
func ended(t *testing.T, h *host, leave func(dir string) error) {
	t.Helper()
	k := h.key("alice", "")
	if err := start(h, k); err != nil {
		t.Fatal(err)
	}
	if err := leave(filepath.Join(h.dir, "run/servers/alice/_")); err != nil {
		t.Fatal(err)
	}
	if err := h.l.Stop(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	h.l.Close()
}

// TestFreshDirectory checks what is left of a run, who removes it, and that the next start has an empty directory
// whether or not that could be removed.
func TestFreshDirectory(t *testing.T) {
	tests := map[string]struct {
		leave func(dir string) error
		swept int      // by a unit, when the server has ended
		left  []string // if that fails, beside the directory of the next start
	}{
		"nothing": {func(string) error { return nil }, 0, nil},
		"files": {func(dir string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, "nb.sock"), nil, 0o600), os.Symlink("/", dir+"/link"))
		}, 0, nil},
		"a tree": {func(dir string) error { return os.MkdirAll(filepath.Join(dir, "a/b/c"), 0) }, 1, []string{".0"}},
		"more files": {func(dir string) (err error) {
			for i := range 3 * maxFiles {
				err = errors.Join(err, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600))
			}
			return err
		}, 1, []string{".0"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.fails["Sweep"] = errBroken
			ended(t, h, tt.leave)
			if len(h.swept) != tt.swept {
				t.Errorf("swept %v", h.swept)
			}
			if err := start(h, h.key("alice", "")); err != nil {
				t.Fatal(err)
			}
			servers := filepath.Join(h.dir, "run/servers/alice")
			if got, want := entries(t, servers), append(tt.left, "_"); !slices.Equal(got, want) {
				t.Errorf("%v are there, want %v", got, want)
			}
			if got := entries(t, servers+"/_"); len(got) > 0 {
				t.Errorf("the next server finds %v", got)
			}
			h.fails = map[string]error{}
			h.l.Tidy(t.Context(), nil)
			h.l.Close()
			if got := entries(t, servers); !slices.Equal(got, []string{"_"}) {
				t.Errorf("%v are there after a launcher's start", got)
			}
		})
	}
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

// TestTooManyRetired refuses a start when nothing of a hundred runs could be removed.
func TestTooManyRetired(t *testing.T) {
	h := newHost(t)
	ended(t, h, func(string) error { return nil })
	for i := range contract.MaxRetired {
		if err := os.MkdirAll(filepath.Join(h.dir, fmt.Sprintf("run/servers/alice/.%d/x", i)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(h.dir, "run/servers/alice/_"), 0o700); err != nil {
		t.Fatal(err)
	}
	h.fails["Sweep"] = errBroken
	if err := start(h, h.key("alice", "")); codeOf(err) != launcherbus.Refused ||
		!strings.Contains(hint.Text(err), "journalctl -u gifford-sweep@alice.service") {
		t.Errorf("the start: %v", err)
	}
	if err := start(h, h.key("bob", "")); err != nil {
		t.Errorf("bob's start: %v", err)
	}
	h.fails = map[string]error{}
	h.l.clear(t.Context(), h.key("alice", "")) // starts the unit
	if err := start(h, h.key("alice", "")); err != nil {
		t.Errorf("when they are removed: %v", err)
	}
}

// silent mounts in a mount namespace of the test's own a FUSE file system of alice's that never answers.
func silent(t *testing.T, dir string) {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("this host has no FUSE: ", err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) }) // ends what waits for an answer
	options := fmt.Sprintf("fd=%d,rootmode=40755,user_id=4242,group_id=4242,allow_other", fd)
	if err := unix.Mount("silent", dir, "fuse", 0, options); err != nil {
		t.Skip("this host lets the tests mount no FUSE: ", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// TestSilentFileSystems mounts a file system that never answers over each directory of a member's that root opens. A
// question to it would hold this test for ever.
func TestSilentFileSystems(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test, and the namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Skip("this host lets the tests make no mount namespace: ", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	h := newHost(t)
	h.text += "persistent = true\n"
	k := h.key("alice", "")
	ended(t, h, func(string) error { return nil })
	sockets := filepath.Join(h.dir, "run/servers/alice/_")
	if err := os.Mkdir(sockets, 0o700); err != nil {
		t.Fatal(err)
	}

	silent(t, sockets)
	h.fails["Sweep"] = errBroken
	if err := start(h, k); codeOf(err) != launcherbus.Refused || !strings.Contains(hint.Text(err), "fusermount3 -u") {
		t.Errorf("with a file system over the sockets: %v", err)
	}
	h.l.tidy(t.Context(), k)
	h.fails = map[string]error{}
	if err := start(h, k); err != nil {
		t.Errorf("when it can be unmounted: %v", err)
	}
	if err := h.l.Stop(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	h.l.Close()

	members := filepath.Join(h.dir, "state/users/alice")
	silent(t, members)
	if err := start(h, k); codeOf(err) != launcherbus.Refused ||
		!strings.Contains(hint.Text(err), "fusermount3 -u "+members) {
		t.Errorf("with a file system over the member's directory: %v", err)
	}
	if rows, err := h.l.Persistent(t.Context()); err != nil || len(rows) != 1 {
		t.Errorf("the persistent containers: %v, %v", rows, err)
	}
	if _, err := h.l.DiskUse(t.Context(), k.User, false); err != nil {
		t.Errorf("the disk use: %v", err)
	}
	if err := unix.Unmount(members, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}

	silent(t, filepath.Join(h.dir, "cluster/alice"))
	if err := start(h, k); codeOf(err) != launcherbus.HomeNotCovered ||
		!strings.Contains(hint.Text(err), "fusermount3 -u") {
		t.Errorf("with a file system over the home: %v", err)
	}
}
