package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"os/exec"

	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// removeContainers removes persistent containers. A missing container is no error.
func removeContainers(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(contract.ModeRemove, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	if err := flags.Parse(args); err != nil || flags.NArg() == 0 {
		return failf(contract.ExitUsage, "cannot read the arguments of remove\n%s", usage)
	}
	return image{podman: contract.Podman, out: os.Stderr}.remove(ctx, flags.Args())
}

// remove removes the containers. It tries a second time where podman asks for a repair first.
func (i image) remove(ctx context.Context, names []string) error {
	args := append([]string{"rm", "--force", "--ignore", "--time=0", "--"}, names...)
	out, err := exec.CommandContext(ctx, i.podman, args...).CombinedOutput()
	if err != nil && bytes.Contains(out, []byte(migrateAdvice)) {
		if err := i.fix(ctx); err != nil {
			return err
		}
		out, err = exec.CommandContext(ctx, i.podman, args...).CombinedOutput()
	}
	if err != nil {
		return failf(contract.ExitPodman, "podman cannot remove the container: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
