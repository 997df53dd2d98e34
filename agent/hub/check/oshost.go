package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/hub/disk"
)

// Bounds of what the real host is asked.
const (
	runTimeout   = 10 * time.Second
	fetchTimeout = 10 * time.Second
	maxFetch     = 1 << 20
)

// OS is the host that this process runs on.
type OS struct{ client *http.Client }

// NewHost returns the real host.
func NewHost() *OS { return &OS{&http.Client{Timeout: fetchTimeout}} }

// Root reports whether the process runs as root.
func (*OS) Root() bool { return os.Geteuid() == 0 }

// ReadFile is os.ReadFile.
func (*OS) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

// Stat returns the mode and owner of a file, and whether it has capabilities. It takes what the kernel knows: a file
// system that a member has mounted over their home could let root wait for an answer for ever.
func (*OS) Stat(path string) (File, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_BASIC_STATS, &st); err != nil {
		return File{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	f := File{Mode: fileMode(uint32(st.Mode)), Owner: name("passwd", st.Uid), Group: name("group", st.Gid)}
	if f.Mode.IsRegular() {
		n, err := unix.Getxattr(path, "security.capability", nil)
		f.Caps = err == nil && n > 0
	}
	return f, nil
}

// fileMode turns the kernel's mode into Go's.
func fileMode(st uint32) fs.FileMode {
	mode := fs.FileMode(st & 0o777)
	for bit, of := range map[uint32]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid,
		unix.S_ISVTX: fs.ModeSticky} {
		if st&bit != 0 {
			mode |= of
		}
	}
	switch st & unix.S_IFMT {
	case unix.S_IFREG:
		return mode
	case unix.S_IFDIR:
		return mode | fs.ModeDir
	case unix.S_IFLNK:
		return mode | fs.ModeSymlink
	case unix.S_IFSOCK:
		return mode | fs.ModeSocket
	case unix.S_IFIFO:
		return mode | fs.ModeNamedPipe
	case unix.S_IFCHR:
		return mode | fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		return mode | fs.ModeDevice
	}
	return mode | fs.ModeIrregular
}

// Free measures the file system on which a directory is.
func (*OS) Free(path string) (free, total int64, err error) {
	f, err := disk.Statfs(path)
	return f.Free, f.Total, err
}

// name asks getent, since this program itself reads only files in /etc. It returns the number where there is no name.
func name(database string, id uint32) string {
	number := strconv.FormatUint(uint64(id), 10)
	if out, err := exec.Command("getent", database, number).Output(); err == nil {
		name, _, _ := strings.Cut(string(out), ":")
		return name
	}
	return number
}

// Run runs a program for at most ten seconds, in the C locale.
func (*OS) Run(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if text := strings.TrimSpace(stderr.String()); err != nil && text != "" {
		err = fmt.Errorf("%s: %w", text, err)
	}
	return strings.TrimSpace(stdout.String()), err
}

// Fetch gets a URL for at most ten seconds.
func (h *OS) Fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxFetch))
}

// Listener finds the listening socket of a port in /proc/net/tcp and tcp6, and the
// process that holds it.
func (*OS) Listener(port int) (string, error) {
	var errs []error
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if inode := listening(string(b), port); inode != "" {
			return holder(inode), nil
		}
	}
	if len(errs) == 2 {
		return "", errors.Join(errs...)
	}
	return "", nil
}

// listening returns the inode of the socket that listens on a port, in the format of
// /proc/net/tcp (proc_pid_net(5)): the fourth field is the state, 0A is LISTEN.
func listening(table string, port int) string {
	suffix := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], suffix) {
			return f[9]
		}
	}
	return ""
}

// holder names a process with that socket, "?" when none can be seen.
func holder(inode string) string {
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return "?"
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != "socket:["+inode+"]" {
			continue
		}
		comm, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(link)), "comm"))
		if err == nil {
			return strings.TrimSpace(string(comm))
		}
	}
	return "?"
}
