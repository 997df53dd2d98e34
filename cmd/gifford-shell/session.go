package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/root/memberpodman"
)

// modeSession is the first argument of the process that becomes the member.
const modeSession = "session"

// endTime is for that process to end after an interrupt.
const endTime = 5 * time.Second

// sessionArgs are what root hands to that process.
type sessionArgs struct {
	uid, gid          uint // the member's
	socket, container string
	root              bool // of the container
	command           []string
}

// start runs that process and returns its exit status. It says itself what goes wrong.
func (a sessionArgs) start(ctx context.Context) (int, error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{modeSession, "--uid", decimal(a.uid), "--gid",
		decimal(a.gid), "--socket", a.socket, "--container", a.container, "--root=" + strconv.FormatBool(a.root), "--"},
		a.command...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// Nothing of root's environment is the member's business.
	cmd.Env, cmd.Dir = []string{"TERM=" + os.Getenv("TERM")}, "/"
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endTime
	defer restoreTerminal(os.Stdin)()
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil
	case exit != nil:
		return 0, fmt.Errorf("the session was ended: %s", exit.ProcessState)
	case err != nil:
		return 0, fmt.Errorf("cannot start the session: %w", err)
	}
	return 0, nil
}

func decimal(n uint) string { return strconv.FormatUint(uint64(n), 10) }

// restoreTerminal returns what sets a terminal back to what it is now: the member may end the process that has changed
// it.
func restoreTerminal(f *os.File) func() {
	state, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return func() {} // it is no terminal
	}
	return func() { _ = unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, state) }
}

// session is that process.
func session(ctx context.Context, args []string) (int, error) {
	var a sessionArgs
	flags := flag.NewFlagSet(modeSession, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.UintVar(&a.uid, "uid", 0, "")
	flags.UintVar(&a.gid, "gid", 0, "")
	flags.StringVar(&a.socket, "socket", "", "")
	flags.StringVar(&a.container, "container", "", "")
	flags.BoolVar(&a.root, "root", false, "")
	if err := flags.Parse(args); err != nil || flags.NArg() == 0 || a.uid > 1<<32-1 || a.gid > 1<<32-1 {
		return 0, errors.New("cannot read the arguments of session")
	}
	if err := memberpodman.Become(uint32(a.uid), uint32(a.gid)); err != nil {
		return 0, err
	}
	s, err := memberpodman.NewSession(a.socket, uint32(a.uid), a.container)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	return s.Run(ctx, execOf(a.root, flags.Args()))
}

// execOf is a command with this process's streams.
func execOf(root bool, command []string) memberpodman.Exec {
	e := memberpodman.Exec{Command: command, Root: root, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	e.Terminal = memberpodman.IsTerminal(os.Stdin) && memberpodman.IsTerminal(os.Stdout)
	if term := os.Getenv("TERM"); e.Terminal && term != "" {
		e.Env = append(e.Env, "TERM="+term)
	}
	return e
}
