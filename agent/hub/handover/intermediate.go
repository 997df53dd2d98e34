package handover

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Lines on the ready pipe: the intermediate names the new process, the new
// process says that it serves.
const (
	pidPrefix = "pid "
	readyLine = "ready\n"
)

// Intermediate must be the first call in main. In the intermediate process it starts this program
// once more, with the same arguments and descriptors, and exits: with 0 if that succeeded. The new
// hub thereby becomes a child of PID 1. In all other processes it returns; in the new hub it first
// hides the descriptors of the handover from child processes.
func Intermediate() {
	switch os.Getenv(envStage) {
	case stageNew:
		guard()
	case stageFork:
		if err := fork(); err != nil {
			fmt.Fprintf(os.Stderr, "gifford-hub: start the new process: %v\n", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// guard sets close-on-exec on the descriptors that Announce takes later.
func guard() {
	for _, name := range []string{envReady, envStderr} {
		if fd, err := strconv.Atoi(os.Getenv(name)); err == nil && fd >= firstFD {
			unix.CloseOnExec(fd)
		}
	}
}

func fork() error {
	ready, err := strconv.Atoi(os.Getenv(envReady))
	if err != nil {
		return fmt.Errorf("read %s: %w", envReady, err)
	}
	last, err := strconv.Atoi(os.Getenv(envStderr))
	if err != nil || last < ready {
		return fmt.Errorf("read %s=%q: want a descriptor above %d", envStderr, os.Getenv(envStderr), ready)
	}
	// The older hub started us by absolute path, and the program's name in
	// process lists and logs comes from it, which /proc/self/exe would lose.
	pid, err := syscall.ForkExec(os.Args[0], os.Args, &syscall.ProcAttr{
		Env: append(without(os.Environ(), envStage, envParent),
			envStage+"="+stageNew, envParent+"="+strconv.Itoa(os.Getpid())),
		Files: sameFDs(last),
	})
	if err != nil {
		return fmt.Errorf("run %s: %w", os.Args[0], err)
	}
	if _, err := unix.Write(ready, []byte(pidPrefix+strconv.Itoa(pid)+"\n")); err != nil {
		return fmt.Errorf("tell the older hub the pid %d: %w", pid, err)
	}
	return nil
}

// sameFDs passes on descriptors 0 to last under the same numbers.
func sameFDs(last int) []uintptr {
	files := make([]uintptr, last+1)
	for fd := range files {
		files[fd] = uintptr(fd)
	}
	return files
}
