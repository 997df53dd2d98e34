package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

const (
	moveTime = 10 * time.Second      // for root to move this process
	moveStep = 20 * time.Millisecond // between readings
	// apiIdle ends a service whose caller has died without closing it.
	apiIdle = "60"
)

// api becomes podman's API service of the member. It first waits until root has moved it into the control group of the
// member's server. Outside of that group, the kernel does not let the member put a process into the container's group.
func api(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(contract.ModeAPI, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	socket := flags.String("socket", "", "")
	server := flags.String("unit", "", "")
	if err := flags.Parse(args); err != nil || *socket == "" || *server == "" || flags.NArg() != 0 {
		return failf(contract.ExitUsage, "cannot read the arguments of api\n%s", usage)
	}
	if err := waitMoved(ctx, "/proc/self/cgroup", *server); err != nil {
		return failf(contract.ExitPodman, "podman's API cannot start: %w", err)
	}
	return syscall.Exec(contract.Podman, []string{contract.Podman, "--events-backend=file", "system", "service",
		"--time=" + apiIdle, "unix://" + *socket}, os.Environ())
}

// waitMoved returns when the process is in a unit's control group.
func waitMoved(ctx context.Context, file, unitName string) error {
	ctx, cancel := context.WithTimeout(ctx, moveTime)
	defer cancel()
	for {
		if in, err := inGroup(file, unitName); in || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.New("root has not moved it into the control group of " + unitName)
		case <-time.After(moveStep):
		}
	}
}

// inGroup reads a file such as /proc/PID/cgroup (cgroups(7)). The line of version 2 is "0::" and the path.
func inGroup(file, unitName string) (bool, error) {
	groups, err := os.ReadFile(file)
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(groups)) {
		if group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok &&
			slices.Contains(strings.Split(group, "/"), unitName) {
			return true, nil
		}
	}
	return false, nil
}
