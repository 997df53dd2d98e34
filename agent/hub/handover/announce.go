package handover

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// orphanWait is how long Announce waits for the intermediate to end, which it
// does as soon as it has started us.
const orphanWait = 10 * time.Second

// Announce says that this process is ready to serve, and shows status in
// `systemctl status`. On a normal start it sends READY=1 to systemd. After a
// handover it also makes this process the service's main process and then lets the older hub
// drain. The error names whom it could not notify; the older hub then continues to serve and this
// process should end.
func Announce(status string) error {
	ready, inherited, err := takeFD(envReady)
	if err != nil {
		return err
	}
	if !inherited {
		return Notify{}.Ready(status)
	}
	if err := awaitAdoption(); err != nil {
		return err
	}
	if err := restoreStderr(); err != nil {
		return err
	}
	mainPID := "MAINPID=" + strconv.Itoa(os.Getpid())
	if err := send(daemon.SdNotifyReady, mainPID, statusLine(status)); err != nil {
		return err
	}
	if _, err := unix.Write(ready, []byte(readyLine)); err != nil {
		return fmt.Errorf("tell the older hub that this process is ready: %w; it gave up waiting or died", err)
	}
	// Closed on success alone: to the older hub the end of the pipe without the
	// line means that this process is gone.
	return unix.Close(ready)
}

// awaitAdoption waits until the intermediate has ended and this process is a child of PID 1.
// Notified earlier, systemd would not supervise a process that is not its own child, and would
// miss its end.
func awaitAdoption() error {
	parent, err := strconv.Atoi(os.Getenv(envParent))
	clean(envParent)
	if err != nil {
		return fmt.Errorf("read the intermediate's pid from %s: %w", envParent, err)
	}
	for deadline := time.Now().Add(orphanWait); os.Getppid() == parent; {
		if time.Now().After(deadline) {
			return fmt.Errorf("intermediate process %d did not end within %s", parent, orphanWait)
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// restoreStderr puts the real standard error back: until now it was a pipe
// through which the older hub learned why a new one fails to start, and that
// pipe ends with the older hub.
func restoreStderr() error {
	real, inherited, err := takeFD(envStderr)
	if err != nil {
		return err
	}
	stream, known := os.LookupEnv(envStream)
	clean(envStream, envJournal)
	if !inherited {
		return nil
	}
	if err := unix.Dup3(real, int(os.Stderr.Fd()), 0); err != nil {
		return fmt.Errorf("restore standard error: %w", err)
	}
	if err := unix.Close(real); err != nil {
		return fmt.Errorf("close the copy of standard error: %w", err)
	}
	if known {
		return os.Setenv(envJournal, stream)
	}
	return nil
}

// takeFD returns the descriptor whose number is in the variable name, and
// takes it out of the environment and away from child processes.
func takeFD(name string) (fd int, found bool, err error) {
	text, found := os.LookupEnv(name)
	clean(name)
	if !found {
		return 0, false, nil
	}
	fd, err = strconv.Atoi(text)
	if err == nil && fd < firstFD {
		err = errors.New("no standard stream can be meant")
	}
	if err != nil {
		return 0, false, fmt.Errorf("read the descriptor in %s=%q: %w", name, text, err)
	}
	unix.CloseOnExec(fd)
	return fd, true, nil
}
