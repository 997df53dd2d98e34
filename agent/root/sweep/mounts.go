package sweep

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/mountinfo"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
)

// maxRounds bounds the work for a member who mounts as fast as Mounts unmounts.
const maxRounds = 100

// Mounts detaches every mount below the directories of a member's servers, whether a server runs there or not: nobody
// but the member can have made one, and a server needs none. Nothing is asked of the file systems, and what still uses
// them goes on (umount2(2), MNT_DETACH). The caller must be in the host's mount namespace.
func Mounts(runDir string, user ident.User) error {
	dir, err := serversOf(runDir, user)
	if err != nil || dir == nil {
		return err
	}
	defer dir.Close()
	for range maxRounds {
		points, err := below(path.Join(runDir, "servers", user.String()))
		if err != nil || len(points) == 0 {
			return err
		}
		// With one, all below it go.
		failed, gone := error(nil), false
		for _, point := range points {
			err := detach(dir, point)
			failed, gone = errors.Join(failed, err), gone || err == nil
		}
		if !gone {
			return failed
		}
	}
	return fmt.Errorf("file systems are mounted below %s as fast as they are removed", dir.Name())
}

// below lists what is mounted below a directory, by paths relative to it.
func below(dir string) (points []string, err error) {
	mounts, err := mountinfo.Read()
	for _, m := range mounts {
		if rest, ok := strings.CutPrefix(m.Point, dir+"/"); ok {
			points = append(points, rest)
		}
	}
	return points, err
}

// detach removes the upmost mount at a path below dir. The way to it may be the member's, so only its last step leads
// into another file system.
func detach(dir *os.File, point string) error {
	parent, err := nofollow.Listed(dir, path.Dir(point))
	if err != nil {
		return err
	}
	defer parent.Close()
	fd, err := unix.Openat2(int(parent.Fd()), path.Base(point), &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_BENEATH,
	})
	if err != nil {
		return fmt.Errorf("cannot find the mount %s: %w", path.Join(dir.Name(), point), err)
	}
	defer unix.Close(fd)
	// The descriptor's own name: nobody can put another thing in its place. It is a link, so UMOUNT_NOFOLLOW cannot be.
	if err := unix.Unmount(fmt.Sprintf("/proc/thread-self/fd/%d", fd), unix.MNT_DETACH); err != nil {
		return fmt.Errorf("cannot unmount %s: %w", path.Join(dir.Name(), point), err)
	}
	return nil
}
