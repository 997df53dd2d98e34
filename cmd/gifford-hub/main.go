// Command gifford-hub is the hub (gifford-hub serve) and its operator's commands. It parses flags, reads the settings
// and prints; the daemon is agent/hub. It must never start a notebook itself: the hub asks the launcher.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/gifford-lab/gifford-hub/agent/hub/handover"
)

// version is set by the linker (Makefile).
var version = "0.0.0~dev"

func main() {
	handover.Intermediate() // before anything else: it may exit, as the helper of a reload
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	a := &app{stdout: os.Stdout, stderr: os.Stderr, lookup: os.LookupEnv}
	return a.execute(ctx, os.Args[1:])
}
