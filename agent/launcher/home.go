package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/launcherbus"
	"github.com/gifford-lab/gifford-hub/agent/policy"
)

// ensureHome checks that the member's home is a real folder of their own, and makes it
// where the policy lets it. Everything is looked at through the open parent folder, so
// that nobody can put a link in between.
func ensureHome(h policy.Host, a accounts.Account) error {
	home := h.HomeOf(a.User)
	parent, err := unix.Open(path.Dir(home), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return refuse(launcherbus.HomeNotCovered, "cannot reach %s, where the homes are: %v\nhint: is the file system mounted?", path.Dir(home), err)
	}
	defer func() { _ = unix.Close(parent) }()
	fd, err := openBelow(parent, a.User.String())
	if errors.Is(err, fs.ErrNotExist) && h.CreateHome {
		fd, err = makeHome(h, parent, a)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refuse(launcherbus.HomeNotCovered, "%s is not there, and the policy does not let the launcher make it\nhint: install -d -m 0700 -o %s %s", home, a.User, home)
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EXDEV):
		return refuse(launcherbus.HomeNotCovered, "%s is not a real folder (a link, a file?), which the policy demands\nhint: ls -ld %s", home, home)
	case err != nil:
		return refuse(launcherbus.HomeNotCovered, "cannot use %s as home: %v", home, err)
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("home %s: %w", home, err)
	}
	if st.Uid != a.UID {
		return refuse(launcherbus.HomeNotCovered, "%s belongs to uid %d and not to %s (uid %d)\nhint: ls -ld %s", home, st.Uid, a.User, a.UID, home)
	}
	return nil
}

// openBelow opens a folder of a parent, without following any link (openat2(2)).
func openBelow(parent int, name string) (int, error) {
	return unix.Openat2(parent, name, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// makeHome makes a missing home in a parent where nobody but root can put anything.
func makeHome(h policy.Host, parent int, a accounts.Account) (int, error) {
	var st unix.Stat_t
	if err := unix.Fstat(parent, &st); err != nil {
		return -1, err
	}
	if st.Uid != 0 || st.Mode&0o022 != 0 {
		return -1, fmt.Errorf("it is missing and cannot be made: its parent folder is not root's alone (mode %04o, uid %d)", st.Mode&0o7777, st.Uid)
	}
	mode, err := strconv.ParseUint(h.HomeMode, 8, 32)
	if err != nil {
		return -1, err
	}
	return makeFolder(parent, a.User.String(), int(a.UID), int(a.GID), uint32(mode))
}

// makeFolder makes a folder below an open one with an owner and a mode, or gives an
// existing one the same, and opens it. The parent must be one that only root can change.
func makeFolder(parent int, name string, uid, gid int, mode uint32) (int, error) {
	if err := unix.Mkdirat(parent, name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return -1, err
	}
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	// The owner first: chown takes the set-group-id bit away.
	if err := errors.Join(unix.Fchown(fd, uid, gid), unix.Fchmod(fd, mode)); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
