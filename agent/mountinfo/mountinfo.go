// Package mountinfo finds out, from the kernel's list of mounts alone, on which file systems it is safe to wait. It
// must never ask a file system anything: one of a member's may never answer.
package mountinfo

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrForeign says that a name leads into a file system that somebody other than root has mounted there (FUSE). Every
// question to it may wait for its program for ever, uninterruptibly.
var ErrForeign = errors.New("a file system that another than root has mounted is there")

// Mount is one line of proc_pid_mountinfo(5).
type Mount struct {
	ID      uint64
	Point   string // where it is, as this process sees it
	Foreign bool   // a FUSE file system that is not root's
}

// Read returns the mounts of this thread's mount namespace, which is the process's. No file system is asked.
func Read() ([]Mount, error) {
	f, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return read(f)
}

// maxLine bounds what is held of one line, in bytes. A member can make the path to a mount as long as they want.
const maxLine = 64 << 10

// read reads the lines of the table. The kernel escapes blanks, tabs and line feeds, but no other character that
// could be taken for a separator, and what a member calls their file system may be empty.
func read(from io.Reader) (all []Mount, err error) {
	for lines := bufio.NewReader(from); ; {
		line, whole, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("cannot read the list of mounts: %w", err)
		}
		m, err := readMount(line, whole)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
}

// readLine returns the next line, and whether it is all of it.
func readLine(from *bufio.Reader) (line string, whole bool, err error) {
	var b []byte
	for whole = true; ; {
		part, more, err := from.ReadLine()
		if err != nil {
			return "", false, err
		}
		if len(b)+len(part) > maxLine {
			part, whole = part[:maxLine-len(b)], false
		}
		if b = append(b, part...); !more {
			return string(b), whole, nil
		}
	}
}

// readMount reads one line. A mount whose line is longer than what was read counts as foreign, since nobody has read
// whose it is.
func readMount(line string, whole bool) (Mount, error) {
	left, right, _ := strings.Cut(line, " - ")
	place, super := strings.Split(left, " "), strings.SplitN(right, " ", 3)
	if len(place) < 5 || whole && (len(place) < 6 || len(super) < 3) {
		return Mount{}, fmt.Errorf("cannot read the list of mounts: line %.80q", line)
	}
	id, err := strconv.ParseUint(place[0], 10, 64)
	if err != nil {
		return Mount{}, fmt.Errorf("cannot read the list of mounts: %w", err)
	}
	return Mount{ID: id, Point: unescape(place[4]), Foreign: !whole || foreign(super[0], super[2])}, nil
}

// foreign reports whether a file system is FUSE's and not root's. A FUSE file system that does not say whose it is
// counts as foreign.
func foreign(kind, options string) bool {
	if kind != "fuse" && kind != "fuseblk" && !strings.HasPrefix(kind, "fuse.") {
		return false
	}
	for option := range strings.SplitSeq(options, ",") {
		if option == "user_id=0" {
			return false
		}
	}
	return true
}

// unescape is the inverse of the kernel's mangle_path: a blank, tab, line feed or backslash stands as three octal
// digits after a backslash.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Of returns the ID of the mount that an open file is on. A place (O_PATH) does.
func Of(file *os.File) (uint64, error) {
	var st unix.Statx_t
	err := unix.Statx(int(file.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, 0, &st)
	if err == nil && st.Mask&unix.STATX_MNT_ID == 0 {
		err = unix.ENOSYS
	}
	if err != nil {
		return 0, fmt.Errorf("cannot find the mount of %s: %w", file.Name(), err)
	}
	return st.Mnt_id, nil
}

// Refuse returns ErrForeign, wrapped, if a file that was opened as a place only is on a foreign mount, or on one that
// is not in the list.
func Refuse(file *os.File) error {
	own, err := Of(file)
	if err != nil {
		return err
	}
	mounts, err := Read()
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if m.ID == own && !m.Foreign {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", file.Name(), ErrForeign)
}
