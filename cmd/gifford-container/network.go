package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// pasta is the program of the host's package passt.
const pasta = "/usr/bin/pasta"

// networkArgs are the arguments of the mode network.
type networkArgs struct {
	pidfile    string
	port       uint
	isolated   bool // the host's addresses are closed to the container
	persistent bool // the container may be one that an earlier version has made
}

// network puts the hub's API on the container's loopback. To a container that podman has started without a network it
// then attaches pasta.
func network(ctx context.Context, args []string) error {
	a, err := parseNetwork(args)
	if err != nil {
		return err
	}
	pid, err := readPID(a.pidfile)
	if a.persistent && errors.Is(err, fs.ErrNotExist) {
		return a.older()
	} else if err != nil {
		return failf(contract.ExitNetwork, "the container has no process: %w", err)
	}
	err = a.connect(ctx, pid)
	if err != nil && gone(pid) {
		// The container has ended meanwhile. Its own exit status says more than ours.
		return nil
	}
	return err
}

func parseNetwork(args []string) (a networkArgs, err error) {
	flags := flag.NewFlagSet(contract.ModeNetwork, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&a.pidfile, "pidfile", "", "")
	flags.UintVar(&a.port, "port", 0, "")
	flags.BoolVar(&a.isolated, "isolated", false, "")
	flags.BoolVar(&a.persistent, "persistent", false, "")
	err = flags.Parse(args)
	if err != nil || a.pidfile == "" || a.port == 0 || a.port > 65535 || flags.NArg() != 0 {
		return a, failf(contract.ExitUsage, "cannot read the arguments of network\n%s", usage)
	}
	return a, nil
}

// older is about a container of which podman writes no number of a process, as versions before 0.2 made it. Its own
// pasta forwards the port.
func (a networkArgs) older() error {
	const reset = "reset the server on the hub's home page, or: gifford-hub servers reset"
	if a.isolated {
		return hint.With(failf(contract.ExitNetwork, "this container was made by an earlier version of gifford-hub "+
			"and cannot be isolated from the host"), reset)
	}
	fmt.Fprintln(os.Stderr, hint.Join("this container was made by an earlier version of gifford-hub and reaches the "+
		"hub through the host's 127.0.0.1:"+strconv.FormatUint(uint64(a.port), 10), reset))
	return nil
}

// connect leaves a forwarder behind, which ends with the unit.
func (a networkArgs) connect(ctx context.Context, pid int) error {
	var in inside
	err := retry(ctx, pid, func() (err error) {
		in, err = enter(ctx, pid, a.port)
		return err
	})
	if err != nil {
		return failf(contract.ExitNetwork, "cannot put the hub's API into the container: %w", err)
	}
	defer in.close()
	if a.isolated {
		if err := in.routes.closeHost(); err != nil {
			return failf(contract.ExitNetwork, "cannot isolate the container: %w", err)
		}
	}
	if err := startForwarder(in, a); err != nil {
		return failf(contract.ExitNetwork, "cannot start the forwarder to the hub's API: %w", err)
	}
	if in.connected {
		return nil
	}
	err = retry(ctx, pid, func() error { return runQuiet(ctx, pasta, pastaArgs(pid)) })
	if err != nil {
		return failf(contract.ExitNetwork, "pasta cannot attach the container's network: %w", err)
	}
	return nil
}

const (
	attachTime  = 5 * time.Second
	attachEvery = 50 * time.Millisecond
)

// retry repeats what fails for a while: a process that is executing another program cannot be inspected for a moment
// (ptrace(2), PTRACE_MODE_READ).
func retry(ctx context.Context, pid int, try func() error) error {
	for end := time.Now().Add(attachTime); ; time.Sleep(attachEvery) {
		err := try()
		if err == nil || gone(pid) || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
	}
}

// runQuiet runs a program; the error has what it printed.
func runQuiet(ctx context.Context, program string, args []string) error {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// pastaArgs forwards nothing into the container or out of it. Without "--no-map-gw" the gateway's address would open
// every loopback port of the host.
func pastaArgs(pid int) []string {
	return []string{"--config-net", "-a", contract.ContainerAddress, "-n", contract.ContainerNetmask,
		"-g", contract.ContainerGateway, "--no-map-gw", "--dns-forward", contract.DNSForward, "--quiet",
		"-t", "none", "-u", "none", "-T", "none", "-U", "none", strconv.Itoa(pid)}
}

func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func readPID(file string) (int, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err == nil && pid <= 1 {
		err = strconv.ErrRange
	}
	return pid, err
}
