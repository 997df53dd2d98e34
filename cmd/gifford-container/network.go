package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// pasta is the program of the host's package passt.
const pasta = "/usr/bin/pasta"

// network attaches pasta to a container that podman has started without a network. The container gets the host's
// outgoing network and exactly one of the host's loopback ports.
func network(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(contract.ModeNetwork, flag.ContinueOnError)
	pidfile := flags.String("pidfile", "", "")
	port := flags.Uint("port", 0, "")
	if err := flags.Parse(args); err != nil || *pidfile == "" || *port == 0 || *port > 65535 || flags.NArg() != 0 {
		return failf(contract.ExitUsage, "cannot read the arguments of network\n%s", usage)
	}
	pid, err := readPID(*pidfile)
	if err != nil {
		return failf(contract.ExitNetwork, "the container has no process: %w", err)
	}
	return attach(ctx, pasta, pid, pastaArgs(pid, *port))
}

// attach runs pasta and retries for a while: a process that is executing another program cannot be inspected for a
// moment (ptrace(2), PTRACE_MODE_READ).
func attach(ctx context.Context, program string, pid int, args []string) error {
	for end := time.Now().Add(attachTime); ; time.Sleep(attachEvery) {
		out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
		switch {
		case err == nil:
			return nil
		case gone(pid):
			// The container has ended meanwhile. Its own exit status says more than ours.
			return nil
		case ctx.Err() != nil, time.Now().After(end):
			return failf(contract.ExitNetwork, "pasta cannot attach the container's network: %w: %s", err,
				bytes.TrimSpace(out))
		}
	}
}

const (
	attachTime  = 5 * time.Second
	attachEvery = 50 * time.Millisecond
)

// pastaArgs forwards nothing into the container, and one port out of it. Without "--no-map-gw" the gateway's address
// would open every loopback port of the host.
func pastaArgs(pid int, port uint) []string {
	return []string{"--config-net", "--no-map-gw", "--dns-forward", contract.DNSForward, "--quiet",
		"-t", "none", "-u", "none", "-U", "none", "-T", strconv.FormatUint(uint64(port), 10), strconv.Itoa(pid)}
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
