package disk

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/mountinfo"
)

// TestStatfsSilent measures a home over which its member has mounted a file system that never answers.
func TestStatfsSilent(t *testing.T) {
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
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("this host has no FUSE: ", err)
	}
	defer unix.Close(fd)
	dir := t.TempDir()
	options := fmt.Sprintf("fd=%d,rootmode=40700,user_id=5001,group_id=5001,allow_other", fd)
	if err := unix.Mount("silent", dir, "fuse", 0, options); err != nil {
		t.Skip("this host lets the tests mount no FUSE: ", err)
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	if f, err := Statfs(dir); !errors.Is(err, mountinfo.ErrForeign) {
		t.Errorf("%+v, %v", f, err)
	}
}
