// Package handover connects the hub to its service manager: it takes the listening sockets that
// systemd opened, notifies systemd of the hub's state, and hands sockets and service over to a
// newer binary without refusing or interrupting a connection.
//
// The steps of a reload: the old process calls Successor, which starts the new
// binary with the listeners at fd 3 and up, by way of a short-lived
// intermediate process (Intermediate) so that the new process becomes a child
// of PID 1. The new process takes the sockets with Listeners and calls
// Announce once it can serve: systemd learns the new main process, the old
// process then closes its listeners and drains. systemd takes
// READY=1 and MAINPID= from the new process only under NotifyAccess=all.
//
// The package must never accept a connection, never decide when to reload,
// never exit a process other than the intermediate, and never leave its
// environment variables to programs that the hub starts.
package handover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
)

// Environment variables between an old process, the intermediate and a new
// process. They mean nothing to anyone else.
const (
	envStage     = "GIFFORD_HANDOVER"       // stageFork or stageNew
	envReady     = "GIFFORD_READY_FD"       // fd number of the ready pipe's write end
	envStderr    = "GIFFORD_STDERR_FD"      // fd number of the real standard error
	envStream    = "GIFFORD_JOURNAL_STREAM" // JOURNAL_STREAM for the real standard error
	envParent    = "GIFFORD_PARENT_PID"     // the intermediate's pid
	envJournal   = "JOURNAL_STREAM"         // systemd.exec(5)
	envListenFDs = "LISTEN_FDS"             // sd_listen_fds(3), as the two below
	envNames     = "LISTEN_FDNAMES"
	envListenPID = "LISTEN_PID"
	envUsec      = "WATCHDOG_USEC" // sd_watchdog_enabled(3)
	envWatchPID  = "WATCHDOG_PID"

	stageFork = "fork" // this process is the intermediate
	stageNew  = "1"    // this process is the new hub

	firstFD = 3 // SD_LISTEN_FDS_START
)

// ErrNoListeners says that nobody passed this process a listening socket.
var ErrNoListeners = errors.New(
	"no listening sockets were passed: the hub is started by its socket; run `systemctl start gifford-hub.socket`")

// Listeners returns the listening sockets passed to this process, by systemd
// or by an older hub, keyed by FileDescriptorName= of the socket unit. It works
// once: it takes the LISTEN_ variables out of the environment. The error is
// ErrNoListeners, or says which sockets cannot be listened on.
func Listeners() (map[string][]net.Listener, error) {
	if os.Getenv(envStage) == stageNew {
		if err := adopt(); err != nil {
			return nil, err
		}
	}
	defer clean(envStage, envListenPID, envListenFDs, envNames)
	passed, _ := strconv.Atoi(os.Getenv(envListenFDs))
	names := os.Getenv(envNames)
	listeners, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("take the listening sockets passed to this process: %w", err)
	}
	if len(listeners) == 0 && passed == 0 {
		return nil, ErrNoListeners
	}
	got := 0
	for _, group := range listeners {
		got += len(group)
		keepPaths(group)
	}
	if got != passed {
		closeAll(listeners)
		return nil, fmt.Errorf("%d of the %d sockets passed to this process (%s) are listening stream sockets meant "+
			"for it; check LISTEN_PID and ListenStream= in gifford-hub.socket",
			got, passed, names)
	}
	return listeners, nil
}

// adopt sets our pid in variables that systemd or the older hub wrote for another one: the older
// hub could not know our pid.
func adopt() error {
	pid := strconv.Itoa(os.Getpid())
	if err := os.Setenv(envListenPID, pid); err != nil {
		return fmt.Errorf("set %s: %w", envListenPID, err)
	}
	if os.Getenv(envUsec) == "" {
		return nil
	}
	if err := os.Setenv(envWatchPID, pid); err != nil {
		return fmt.Errorf("set %s: %w", envWatchPID, err)
	}
	return nil
}

// keepPaths makes closing a UNIX listener leave its path alone, which the
// next process and systemd still use.
func keepPaths(listeners []net.Listener) {
	for _, listener := range listeners {
		if unix, ok := listener.(*net.UnixListener); ok {
			unix.SetUnlinkOnClose(false)
		}
	}
}

func closeAll(listeners map[string][]net.Listener) {
	for _, group := range listeners {
		for _, listener := range group {
			_ = listener.Close() // we never used it; another process may
		}
	}
}

func clean(names ...string) {
	for _, name := range names {
		_ = os.Unsetenv(name) // fails for malformed names alone
	}
}

// without returns environ without the named variables.
func without(environ []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(names, name)
	})
}
