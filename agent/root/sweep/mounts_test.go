package sweep

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
)

// ownMounts puts the test into a mount namespace of its own.
func ownMounts(t *testing.T) {
	t.Helper()
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
}

// silent mounts a FUSE file system of alice's that never answers.
func silent(t *testing.T, dir string) {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("this host has no FUSE: ", err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) }) // ends what waits for an answer
	options := fmt.Sprintf("fd=%d,rootmode=40755,user_id=5001,group_id=5001,allow_other", fd)
	if err := unix.Mount("silent", dir, "fuse", 0, options); err != nil {
		t.Skip("this host lets the tests mount no FUSE: ", err)
	}
}

// TestMounts detaches all that is mounted below the member's directories, and nothing else.
func TestMounts(t *testing.T) {
	ownMounts(t)
	run, servers, alice := host(t)
	other := filepath.Join(run, "servers", "alice2")
	strange := filepath.Join(servers, ".0", "a b\\\n", "c")
	for _, dir := range []string{filepath.Join(servers, "_"), strange, filepath.Join(servers, "gpu", "x"), other} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	silent(t, filepath.Join(servers, "_"))
	silent(t, filepath.Join(servers, "_")) // over the first
	silent(t, strange)
	for _, dir := range []string{filepath.Join(servers, "gpu"), other} {
		if err := unix.Mount("none", dir, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	}
	if err := os.Mkdir(filepath.Join(servers, "gpu", "y"), 0o755); err != nil {
		t.Fatal(err)
	}
	silent(t, filepath.Join(servers, "gpu", "y")) // goes with the one that it is in
	// What can be removed goes, and no file system is entered.
	if err := Retired(run, alice); err == nil {
		t.Error("a retired directory with a mount in it was removed")
	}
	if err := Mounts(run, alice); err != nil {
		t.Error(err)
	}
	if left, err := below(filepath.Join(run, "servers")); err != nil || !slices.Equal(left, []string{"alice2"}) {
		t.Errorf("%q are left (%v)", left, err)
	}
	if err := Retired(run, alice); err != nil {
		t.Error(err)
	}
	if got := names(t, servers); !slices.Equal(got, []string{"_", "gpu"}) {
		t.Errorf("%q are left", got)
	}
}

// TestSandbox removes as the unit does, which has a mount at the member's directory (systemd's ReadWritePaths=) and may
// not list it as the member.
func TestSandbox(t *testing.T) {
	ownMounts(t)
	run, servers, alice := host(t)
	old := filepath.Join(servers, ".7")
	if err := errors.Join(os.MkdirAll(filepath.Join(old, "a", "b"), 0o755), os.Chown(old, 5001, -1),
		os.Chown(filepath.Join(old, "a"), 5001, -1), os.Chown(filepath.Join(old, "a", "b"), 5001, -1),
		os.Chmod(servers, 0o711), os.Chmod(filepath.Dir(servers), 0o711), os.Chmod(run, 0o711),
		os.Chmod(filepath.Dir(run), 0o711)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(servers, servers, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(servers, unix.MNT_DETACH) })
	if err := unix.Setfsuid(5001); err != nil {
		t.Fatal(err)
	}
	if err := Retired(run, alice); err == nil || !strings.Contains(err.Error(), "cannot remove .7") &&
		!strings.Contains(err.Error(), servers+"/.7: permission denied") {
		t.Errorf("as the member: %v", err) // but for the directory itself, which is in one of root's
	}
	if err := unix.Setfsuid(0); err != nil {
		t.Fatal(err)
	}
	if got := names(t, old); len(got) > 0 {
		t.Errorf("the member left %v", got)
	}
	if err := Retired(run, alice); err != nil {
		t.Error(err)
	}
	if got := names(t, servers); len(got) > 0 {
		t.Errorf("root left %v", got)
	}
}

// TestDetachHostile has a way to a mount that leads elsewhere by the time that it is detached.
func TestDetachHostile(t *testing.T) {
	ownMounts(t)
	run, servers, alice := host(t)
	other := filepath.Join(run, "other")
	for _, dir := range []string{filepath.Join(other, "m"), filepath.Join(servers, "_", "plain")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount("none", filepath.Join(other, "m"), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(filepath.Join(other, "m"), unix.MNT_DETACH) })
	for name, to := range map[string]string{"way": other, "end": filepath.Join(other, "m")} {
		if err := os.Symlink(to, filepath.Join(servers, "_", name)); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := serversOf(run, alice)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for point, want := range map[string]error{"_/way/m": unix.ELOOP, "_/end": unix.ELOOP, "_/plain": unix.EINVAL,
		"_/none": unix.ENOENT, "../../other/m": unix.EXDEV} {
		if err := detach(dir, point); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", point, err, want)
		}
	}
	if left, err := below(run); err != nil || len(left) != 1 || !strings.HasSuffix(left[0], "other/m") {
		t.Errorf("%q are left (%v)", left, err)
	}
}
