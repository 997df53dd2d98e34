// Package sweep removes, for gifford-sweep@USER.service, what a member has left in the directories of their servers'
// sockets: file systems mounted there, and the directories that the launcher has retired. All of it is hostile: trees
// without end, modes without rights, files that come back. It must never follow a link, enter another file system, use
// "..", or remove anything outside the directories of that member.
package sweep

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// batch is how many names are read at a time.
const batch = 512

// serversOf opens the directory, root's, with those of a member's servers, as a place only: the member may not list it.
// It is nil if there is none.
func serversOf(runDir string, user ident.User) (*os.File, error) {
	dir, err := nofollow.Directory(path.Join(runDir, "servers", user.String()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return dir, err
}

// Retired removes a member's retired directories as far as the caller's rights go, and says what it could not remove.
// It goes on until nothing more can be removed: its time must be limited from outside.
func Retired(runDir string, user ident.User) error {
	dir, err := serversOf(runDir, user)
	if err != nil || dir == nil {
		return err
	}
	defer dir.Close()
	for n := range contract.MaxRetired {
		err = errors.Join(err, remove(dir, contract.RetiredName(n)))
	}
	return err
}

// remove removes one directory, if it is there, with all below it. Its depth costs neither memory nor descriptors:
// directories of directories come up to the first level, so that none is ever entered below the second.
func remove(parent *os.File, name string) error {
	top, err := nofollow.Listed(parent, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer top.Close()
	l := leveller{top: top}
	for l.changed = true; l.changed; {
		l.changed = false
		err = l.pass(top, l.flatten)
	}
	if err != nil || os.Geteuid() != 0 { // it is in a directory of root's
		return err
	}
	return rmdir(parent, name)
}

// leveller empties the directory top.
type leveller struct {
	top     *os.File
	moved   int  // names the next directory that comes up
	changed bool // something was removed or moved
}

// pass does something with each directory in dir that is not empty, and removes all else. Of what fails it returns the
// last.
func (l *leveller) pass(dir *os.File, full func(dir *os.File, name string) error) (failed error) {
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for {
		names, err := dir.Readdirnames(batch)
		for _, name := range names {
			switch err := unlink(dir, name); {
			case err == nil:
				l.changed = true
			case errors.Is(err, unix.ENOTEMPTY):
				if err := full(dir, name); err != nil {
					failed = err
				}
			case !errors.Is(err, fs.ErrNotExist):
				failed = err
			}
		}
		if errors.Is(err, io.EOF) {
			return failed
		} else if err != nil {
			return err
		}
	}
}

// flatten brings the directories in a directory up to the first level, removes its files, and then itself.
func (l *leveller) flatten(dir *os.File, name string) error {
	child, err := nofollow.Listed(dir, name)
	if err != nil {
		return err
	}
	defer child.Close()
	if err := l.pass(child, l.raise); err != nil {
		return err
	}
	if err := rmdir(dir, name); err != nil {
		return err
	}
	l.changed = true
	return nil
}

// raise moves a directory to the first level, by a name that is free there.
func (l *leveller) raise(dir *os.File, name string) error {
	for {
		l.moved++
		err := unix.Renameat2(int(dir.Fd()), name, int(l.top.Fd()), strconv.Itoa(l.moved), unix.RENAME_NOREPLACE)
		if err == nil {
			l.changed = true
			return nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("cannot move %s: %w", path.Join(dir.Name(), name), err)
		}
	}
}

// unlink removes a file, or a directory if it is empty (ENOTEMPTY if it is not).
func unlink(dir *os.File, name string) error {
	err := unix.Unlinkat(int(dir.Fd()), name, 0)
	if errors.Is(err, unix.EISDIR) {
		return rmdir(dir, name)
	} else if err != nil {
		return fmt.Errorf("cannot remove %s: %w", path.Join(dir.Name(), name), err)
	}
	return nil
}

func rmdir(dir *os.File, name string) error {
	if err := unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR); err != nil {
		return fmt.Errorf("cannot remove %s: %w", path.Join(dir.Name(), name), err)
	}
	return nil
}
