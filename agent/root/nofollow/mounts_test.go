package nofollow

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestReadMounts reads what the kernel writes, and refuses what it does not.
func TestReadMounts(t *testing.T) {
	const text = `21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 21 0:44 / /run rw master:2 propagate_from:1 - tmpfs tmpfs rw,size=8k
31 30 0:45 / /run/a\040b\134c rw - fuse.sshfs x:\040y rw,user_id=5001,group_id=0,allow_other
32 30 0:46 / /cluster rw - fuse.glusterfs x rw,user_id=0,group_id=0
33 30 0:47 / /x\04 rw - fuse none rw
34 30 0:48 / /sys/fs/fuse rw - fusectl none rw
35 30 0:49 / /ntfs rw - fuseblk /dev/b rw,user_id=10
`
	got, err := readMounts(strings.NewReader(text))
	want := []Mount{{21, "/", false}, {30, "/run", false}, {31, "/run/a b\\c", true}, {32, "/cluster", false},
		{33, "/x\\04", true}, {34, "/sys/fs/fuse", false}, {35, "/ntfs", true}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, %s", err, diff)
	}
	for name, text := range map[string]string{"short": "21 1 8:1 / /\n", "no type": "21 1 8:1 / / rw - ext4 x\n",
		"number": "x 1 8:1 / / rw - ext4 x rw\n", "long": strings.Repeat("x", 1<<20+1)} {
		if got, err := readMounts(strings.NewReader(text)); err == nil {
			t.Errorf("%s: read as %v", name, got)
		}
	}
}

// FuzzReadMounts checks that no text makes the reader panic, and that a FUSE mount of somebody's is never taken for
// root's.
func FuzzReadMounts(f *testing.F) {
	f.Add("31 30 0:45 / /run/a\\040b rw - fuse.sshfs x rw,user_id=5001")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := readMounts(strings.NewReader(text))
		for _, m := range all {
			if err == nil && !m.Foreign && strings.Contains(text, " - fuse ") && !strings.Contains(text, "user_id=0") {
				if len(all) == 1 {
					t.Errorf("%q is read as %+v", text, m)
				}
			}
		}
	})
}

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
	for name, want := range map[string]error{"member": ErrForeign, "member/below": ErrForeign, "root": nil,
		"tmpfs": nil} {
		if f, err := Directory(filepath.Join(dir, name)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		} else if err == nil {
			_ = f.Close()
		}
	}
	if _, err := Entry(above, "member", false); !errors.Is(err, ErrForeign) {
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
