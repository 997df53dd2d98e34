package handover

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// child is a successor that is being started: the intermediate and our ends of the two pipes.
type child struct {
	intermediate *os.Process
	ready        *os.File // lines of the ready protocol
	stderr       *os.File // what the successor writes before it is ready
}

// spawn starts the intermediate of cfg.Path with the listeners and pipes.
func spawn(cfg Config) (*child, error) {
	names, fds, err := dupAll(cfg.Listeners)
	defer func() { closeFDs(fds) }()
	if err != nil {
		return nil, err
	}
	ready, readyEnd, err := pipe()
	if err != nil {
		return nil, fmt.Errorf("make the ready pipe: %w", err)
	}
	fds = append(fds, readyEnd)
	stderr, stderrEnd, err := pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the pipe for standard error: %w", err), ready.Close())
	}
	defer func() { _ = unix.Close(stderrEnd) }()
	pid, err := syscall.ForkExec(cfg.Path, append([]string{cfg.Path}, cfg.Args...), &syscall.ProcAttr{
		Env:   environ(os.Environ(), names, stderrEnd),
		Files: files(fds, stderrEnd, cfg.Stderr.Fd()),
	})
	if err != nil {
		err = fmt.Errorf("start the new hub %s: %w; check that the file is there and executable", cfg.Path, err)
		return nil, errors.Join(err, ready.Close(), stderr.Close())
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return nil, fmt.Errorf("find the process %d just started: %w", pid, err)
	}
	return &child{intermediate: process, ready: ready, stderr: stderr}, nil
}

// files lays descriptors out: the standard streams, the listeners and the
// ready pipe (fds) from 3, the real standard error last.
func files(fds []int, stderrEnd int, real uintptr) []uintptr {
	out := []uintptr{0, 1, uintptr(stderrEnd)}
	for _, fd := range fds {
		out = append(out, uintptr(fd))
	}
	return append(out, real)
}

// environ returns the intermediate's environment, for the descriptors as
// files lays them out.
func environ(own []string, names []string, stderrEnd int) []string {
	env := without(own, envStage, envReady, envStderr, envStream, envParent,
		envListenFDs, envNames, envListenPID, envJournal)
	ready := firstFD + len(names)
	env = append(env,
		envStage+"="+stageFork,
		envListenFDs+"="+strconv.Itoa(len(names)),
		envNames+"="+strings.Join(names, ":"),
		envReady+"="+strconv.Itoa(ready),
		envStderr+"="+strconv.Itoa(ready+1))
	stream, logged := os.LookupEnv(envJournal)
	var stat unix.Stat_t
	if !logged || unix.Fstat(stderrEnd, &stat) != nil {
		return env
	}
	// The new hub's standard error is our pipe until Announce, but it must log to the journal
	// directly: JOURNAL_STREAM names the pipe, so that its logger accepts it as the journal's.
	return append(env, envStream+"="+stream,
		fmt.Sprintf("%s=%d:%d", envJournal, stat.Dev, stat.Ino))
}

// dupAll copies the listeners' descriptors, ordered by name. The descriptors
// returned are open even with an error.
func dupAll(listeners map[string][]net.Listener) (names []string, fds []int, err error) {
	for _, name := range slices.Sorted(maps.Keys(listeners)) {
		for _, listener := range listeners[name] {
			fd, err := dup(listener)
			if err != nil {
				return nil, fds, fmt.Errorf("copy listener %q (%s): %w", name, listener.Addr(), err)
			}
			names, fds = append(names, name), append(fds, fd)
		}
	}
	return names, fds, nil
}

// dup copies a descriptor without net's File and os's Fd, which would make
// the shared socket blocking and our own Accept hang on Close.
func dup(listener net.Listener) (int, error) {
	conn, ok := listener.(syscall.Conn)
	if !ok {
		return 0, fmt.Errorf("%T has no descriptor; pass the listener below it", listener)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var copied int
	var failed error
	err = raw.Control(func(fd uintptr) {
		copied, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, firstFD)
	})
	return copied, errors.Join(err, failed)
}

// pipe returns a pipe whose read end knows deadlines and Close, and whose
// write end blocks, as a standard stream must.
func pipe() (read *os.File, write int, err error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, 0, err
	}
	if err := unix.SetNonblock(ends[0], true); err != nil {
		closeFDs(ends[:])
		return nil, 0, err
	}
	return os.NewFile(uintptr(ends[0]), "pipe"), ends[1], nil
}

func closeFDs(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd) // copies: the originals report errors
	}
}
