// Command gifford-gpus asks the vendors' tools what the GPUs do, and leaves the answers in a file for the launcher. It
// runs as an account of its own, only where there are CDI specifications, and takes no requests.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/gpuwatch"
	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/journal"
)

// version is set by the linker.
var version = "development"

func main() {
	file := flag.String("file", gpu.StateFile, "write what the GPUs do to `FILE`")
	showVersion := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *showVersion {
		fmt.Println("gifford-gpus", version)
		return
	}
	if err := watch(*file); err != nil {
		fmt.Fprintln(os.Stderr, "gifford-gpus:", hint.Text(err))
		os.Exit(1)
	}
}

// watch measures until a signal ends it, or there are no CDI specifications.
func watch(file string) error {
	if os.Geteuid() == 0 {
		return hint.New("this must not run as root: a vendor's tool is a large program",
			"systemctl start gifford-gpus.path")
	}
	log, err := journal.New(journal.Config{Identifier: "gifford-gpus"})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	w, err := gpuwatch.New(gpuwatch.Config{Dirs: gpu.DefaultDirs(), File: file, Proc: "/proc", Sys: "/sys",
		Every: gpuwatch.Every, Log: log})
	if err != nil {
		return err
	}
	return w.Run(ctx, func() { _, _ = daemon.SdNotify(false, daemon.SdNotifyReady) })
}
