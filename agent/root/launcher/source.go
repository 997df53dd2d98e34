package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/mountinfo"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// perUserMode is that of a mount's source that the launcher makes for a member.
const perUserMode = 0o700

// checkMounts checks the source of each mount before the unit is made. The member's Podman opens the same path later
// and finds the same thing, because only root can change any part of the path.
func checkMounts(mounts []policy.Mount, a accounts.Account) error {
	for _, m := range mounts {
		if err := checkSource(m, a); err != nil {
			return err
		}
	}
	return nil
}

func checkSource(m policy.Mount, a accounts.Account) error {
	parent, err := trustedDirectory(path.Dir(m.Source))
	if err != nil {
		return err
	}
	defer parent.Close()
	if m.User {
		return asMount(home{m.Source, a, m.Create, perUserMode, "directory"}.ensure(), m)
	}
	// Asking for a directory lets an automounter mount it; a file has none.
	last, err := nofollow.Entry(parent, path.Base(m.Source), true)
	if errors.Is(err, unix.ENOTDIR) {
		last, err = nofollow.Entry(parent, path.Base(m.Source), false)
	}
	if err != nil {
		return badPart(m.Source, err)
	}
	return last.Close()
}

// trustedDirectory opens a directory in which only root can put one thing in the place of another, and the same holds
// for all above it: each belongs to root, nobody else may write to it, and none is reached through a link.
func trustedDirectory(name string) (*os.File, error) {
	at, err := nofollow.Directory("/")
	if err != nil {
		return nil, badPart("/", err)
	}
	for _, part := range strings.Split(strings.Trim(name, "/"), "/") {
		if err := wantRootsAlone(at); err != nil {
			return nil, errors.Join(err, at.Close())
		}
		if part == "" {
			break
		}
		next, err := nofollow.Entry(at, part, true)
		_ = at.Close()
		if err != nil {
			return nil, badPart(path.Join(at.Name(), part), err)
		}
		at = next
	}
	if err := wantRootsAlone(at); err != nil {
		return nil, errors.Join(err, at.Close())
	}
	return at, nil
}

func wantRootsAlone(dir *os.File) error {
	info, err := dir.Stat()
	if err != nil {
		return badPart(dir.Name(), err)
	}
	if !nofollow.RootAlone(info) {
		return fail(launcherbus.MountRefused, "cannot trust a mount's source below %s: others than root may write "+
			"to that directory", dir.Name()).WithHint("chown root %s; chmod go-w %s; or another source in %s",
			dir.Name(), dir.Name(), policy.File)
	}
	return nil
}

// badPart says which part of a mount's source is wrong, and what to do.
func badPart(name string, err error) error {
	switch {
	case errors.Is(err, unix.ELOOP):
		return fail(launcherbus.MountRefused, "a mount's source leads through the symbolic link %s, which the "+
			"launcher does not follow", name).WithHint("write where it leads into %s", policy.File)
	case errors.Is(err, fs.ErrNotExist):
		return fail(launcherbus.MountRefused, "a mount's source is missing: there is no %s", name).
			WithHint("make it, or take the mount out of %s", policy.File)
	case errors.Is(err, mountinfo.ErrForeign):
		return fail(launcherbus.MountRefused, "a mount's source leads through a file system that another than root "+
			"has mounted: %s", name).WithHint("fusermount3 -u %s", name)
	case errors.Is(err, unix.ENOTDIR):
		return fail(launcherbus.MountRefused, "a mount's source leads through %s, which is not a directory", name).
			WithHint("another source in %s", policy.File)
	}
	return fail(launcherbus.MountRefused, "a mount's source cannot be opened: %s: %v", name, err)
}

// asMount turns an error about a member's own directory into one about the mount.
func asMount(err error, m policy.Mount) error {
	var public *launcherbus.Error
	if errors.As(err, &public) {
		return &launcherbus.Error{Code: launcherbus.MountRefused,
			Message: fmt.Sprintf("cannot mount %s: %s", m.Target, public.Message), Hint: public.Hint}
	}
	return err
}
