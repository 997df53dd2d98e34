// Package nofollow opens files and directories by names that members can influence, as root. The kernel refuses every
// symbolic link in the name (openat2(2)), so a member cannot lead root to another place. A file system that a member
// has mounted there is refused before anything is asked of it, so a member cannot make root wait. It must never create,
// change or remove anything, and never open for reading what its caller has not asked to read.
package nofollow

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/mountinfo"
)

// InvalidUID and InvalidGID are no account's. They stand for an owner that is not known, which must never be taken for
// root.
const (
	InvalidUID uint32 = 1<<32 - 1
	InvalidGID uint32 = 1<<32 - 1
)

const noLinks = unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// Directory opens a directory by an absolute path, as a place only (O_PATH): it cannot be listed. No permission on the
// directory itself is needed, which root lacks on some network file systems. The error wraps ELOOP for a link anywhere
// in the path, and mountinfo.ErrForeign for a file system that a member has mounted there.
func Directory(name string) (*os.File, error) {
	at, err := open(unix.AT_FDCWD, "/", "/", unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY})
	for part := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		if err != nil || part == "" {
			break
		}
		// One part after the other: to pass through a member's file system is a question to it, too.
		above := at
		at, err = Entry(above, part, true)
		_ = above.Close()
	}
	return at, err
}

// Entry opens one name in a directory as a place only (O_PATH). With directory it wants one and lets an
// automounter mount it. The error wraps mountinfo.ErrForeign if a member has mounted a file system there.
func Entry(dir *os.File, name string, directory bool) (*os.File, error) {
	// No O_NOFOLLOW: with O_PATH it opens a link itself instead of refusing it.
	how := unix.OpenHow{Flags: unix.O_PATH, Resolve: noLinks | unix.RESOLVE_BENEATH}
	if directory {
		how.Flags |= unix.O_DIRECTORY
	}
	file, err := open(int(dir.Fd()), name, path.Join(dir.Name(), name), how)
	if err != nil {
		return nil, err
	}
	if err := refuseForeign(dir, file); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// refuseForeign fails if a file that was opened by one name in dir is on a foreign mount of its own.
func refuseForeign(dir, file *os.File) error {
	above, err := mountinfo.Of(dir)
	if err != nil {
		return err
	}
	if own, err := mountinfo.Of(file); err != nil || own == above {
		return err
	}
	return mountinfo.Refuse(file)
}

// Listed opens a directory below dir for listing it. It does not enter another file system (EXDEV).
func Listed(dir *os.File, name string) (*os.File, error) {
	return open(int(dir.Fd()), name, path.Join(dir.Name(), name), unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY,
		Resolve: noLinks | unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV,
	})
}

// Regular opens a file below a directory for reading, if it is a regular one that belongs to owner. It does not wait
// for a FIFO's writer, and does not enter another file system: a FUSE mount that a member placed there could hang.
func Regular(dir *os.File, name string, owner uint32) (*os.File, error) {
	file, err := open(int(dir.Fd()), name, path.Join(dir.Name(), name), unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY,
		Resolve: noLinks | unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV,
	})
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && (!info.Mode().IsRegular() || Owner(info) != owner) {
		err = fmt.Errorf("%s is not a regular file of uid %d", file.Name(), owner)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

func open(at int, name, full string, how unix.OpenHow) (*os.File, error) {
	how.Flags |= unix.O_CLOEXEC
	fd, err := unix.Openat2(at, name, &how)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: full, Err: err}
	}
	return os.NewFile(uintptr(fd), full), nil
}

// Owner returns the uid of a file, InvalidUID if it is not known.
func Owner(info fs.FileInfo) uint32 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Uid
	}
	return InvalidUID
}

// Group returns the gid of a file, InvalidGID if it is not known.
func Group(info fs.FileInfo) uint32 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Gid
	}
	return InvalidGID
}

// RootAlone reports whether only root may write to a file or directory. An ACL that lets others write shows as the
// group's right.
func RootAlone(info fs.FileInfo) bool {
	return Owner(info) == 0 && info.Mode().Perm()&0o022 == 0
}
