package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/mountinfo"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// home is a directory of a member's own: HOME, or the source of a mount with {user}.
type home struct {
	path   string
	owner  accounts.Account
	create bool
	mode   uint32
	what   string // for people
}

func homeOf(h policy.Host, a accounts.Account) home {
	return home{h.HomeOf(a.User), a, h.CreateHome, uint32(h.HomeMode.Perm()), "home directory"}
}

// ensure wants a directory of the member's own that is reached without a symbolic link, and makes it where the policy
// allows that. Errors are for people, with code HomeNotCovered.
func (h home) ensure() error {
	err := h.check()
	if errors.Is(err, fs.ErrNotExist) && h.create {
		if err = h.make(); err == nil {
			return nil
		}
	}
	var public *launcherbus.Error
	switch {
	case err == nil, errors.As(err, &public):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return notCovered("the %s %s is missing, and the policy does not let the launcher make it", h.what, h.path).
			WithHint("install -d -o %s -m %04o %s", h.owner.User, h.mode, h.path)
	case errors.Is(err, unix.ELOOP):
		return notCovered("the %s %s is, or is reached through, a symbolic link, which the launcher does not follow",
			h.what, h.path)
	case errors.Is(err, mountinfo.ErrForeign):
		return notCovered("the %s %s is, or is reached through, a file system that another than root has mounted",
			h.what, h.path).WithHint("fusermount3 -u %s", h.path)
	case errors.Is(err, unix.ENOTDIR):
		return notCovered("%s is not a directory", h.path)
	}
	return notCovered("the %s %s cannot be used: %v", h.what, h.path, err)
}

func notCovered(format string, args ...any) *launcherbus.Error {
	return fail(launcherbus.HomeNotCovered, format, args...)
}

func (h home) check() error {
	dir, err := nofollow.Directory(h.path)
	if err != nil {
		return err
	}
	defer dir.Close()
	info, err := dir.Stat()
	if err != nil {
		return err
	}
	if owner := nofollow.Owner(info); owner != h.owner.UID {
		return notCovered("the %s %s belongs to uid %d, not to %s (uid %d)", h.what, h.path, owner, h.owner.User,
			h.owner.UID)
	}
	return nil
}

// make makes the directory in one that only root can write, so that nobody can put another thing in its place before it
// has its owner.
func (h home) make() error {
	parent, err := nofollow.Directory(path.Dir(h.path))
	if err != nil {
		return err
	}
	defer parent.Close()
	info, err := parent.Stat()
	if err != nil {
		return err
	}
	if !nofollow.RootAlone(info) {
		return notCovered("the %s %s is missing and is not made, since others than root may write to %s", h.what,
			h.path, parent.Name())
	}
	at, name := int(parent.Fd()), path.Base(h.path)
	if err := unix.Mkdirat(at, name, 0o700); errors.Is(err, unix.EROFS) {
		return notCovered("the %s %s is missing, and %s is read-only for the launcher", h.what, h.path,
			parent.Name()).WithHint("systemctl edit gifford-launcher: [Service] ReadWritePaths=%s", parent.Name())
	} else if err != nil {
		return fmt.Errorf("cannot make it: %w", err)
	}
	if err := h.hand(at, name); err != nil {
		_ = unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
		return err
	}
	return nil
}

// hand sets the mode of the new directory and then its owner.
func (h home) hand(parent int, name string) error {
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open the new directory: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Fchmod(fd, h.mode); err != nil {
		return fmt.Errorf("cannot set the new directory's mode: %w", err)
	}
	if err := unix.Fchown(fd, int(h.owner.UID), int(h.owner.GID)); err != nil {
		return fmt.Errorf("cannot give the new directory to %s: %w", h.owner.User, err)
	}
	return nil
}
