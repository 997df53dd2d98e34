package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// settle makes podman see that the unit's container, which an earlier run has left, does not run. Where all processes
// of a unit are killed at once (cgroup.kill of systemd 257), some kernels kill the unit's ExecStopPost as well. podman
// then takes the container for a running one, and fails the first time that it is to replace it. podman is asked only
// if the member has containers at all.
func settle(ctx context.Context, podman, storage string) {
	name := os.Getenv(contract.EnvContainer)
	entries, err := os.ReadDir(filepath.Join(storage, "overlay-containers"))
	if name == "" || err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			// What fails here the start itself reports.
			_ = exec.CommandContext(ctx, podman, "stop", "--ignore", "--time=0", name).Run()
			return
		}
	}
}
