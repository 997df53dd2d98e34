package nofollow

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/mountinfo"
)

// silent mounts a FUSE file system of the account uid that never answers.
func silent(t *testing.T, dir string, uid int) {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("this host has no FUSE: ", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40755,user_id=%d,group_id=%d,allow_other", fd, uid, uid)
	if err := unix.Mount("silent", dir, "fuse", 0, options); err != nil {
		_ = unix.Close(fd)
		t.Skip("this host lets the tests mount no FUSE: ", err)
	}
	t.Cleanup(func() {
		_ = unix.Close(fd) // ends what waits for an answer
		_ = unix.Unmount(dir, unix.MNT_DETACH)
	})
}

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

// TestForeign opens through mounts. A question to the member's file system would never return.
func TestForeign(t *testing.T) {
	ownMounts(t)
	dir := t.TempDir()
	for _, name := range []string{"member", "root", "tmpfs"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	silent(t, filepath.Join(dir, "member"), 5001)
	silent(t, filepath.Join(dir, "root"), 0)
	if err := unix.Mount("none", filepath.Join(dir, "tmpfs"), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(filepath.Join(dir, "tmpfs"), unix.MNT_DETACH) })
	above, err := Directory(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer above.Close()
	for name, want := range map[string]error{"member": mountinfo.ErrForeign, "member/below": mountinfo.ErrForeign,
		"root":  nil,
		"tmpfs": nil} {
		if f, err := Directory(filepath.Join(dir, name)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		} else if err == nil {
			_ = f.Close()
		}
	}
	if _, err := Entry(above, "member", false); !errors.Is(err, mountinfo.ErrForeign) {
		t.Errorf("Entry: %v", err)
	}
	for _, name := range []string{"member", "root", "tmpfs"} {
		if _, err := Listed(above, name); !errors.Is(err, unix.EXDEV) {
			t.Errorf("Listed enters %s: %v", name, err)
		}
		if _, err := Regular(above, name+"/file", 0); !errors.Is(err, unix.EXDEV) {
			t.Errorf("Regular enters %s: %v", name, err)
		}
	}
}

// TestNameless opens through a mount beside one without a name, as fusermount3 -o fsname= makes it.
func TestNameless(t *testing.T) {
	ownMounts(t)
	dir := t.TempDir()
	for _, name := range []string{"nameless", "named"} {
		place := filepath.Join(dir, name)
		if err := os.Mkdir(place, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(strings.TrimPrefix(name, "nameless"), place, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(place, unix.MNT_DETACH) })
	}
	f, err := Directory(filepath.Join(dir, "named"))
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
}
