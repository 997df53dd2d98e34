// Command gifford-launcher is the root side of gifford-hub: it answers the hub's requests on the system bus. Only its
// policy file decides what it does; the hub must never be able to set its options.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/journal"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/launcher"
)

// version is set by the linker.
var version = "development"

func main() {
	config := flag.String("config", policy.File, "read the policy from `FILE`")
	imageAccount := flag.Bool("image-account", false, "give the image keeper's account its subordinate ids and exit")
	showVersion := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *showVersion {
		fmt.Println("gifford-launcher", version)
		return
	}
	if *imageAccount {
		if err := launcher.PrepareImageAccount(*config); err != nil {
			fmt.Fprintln(os.Stderr, "gifford-launcher:", hint.Text(err))
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log, err := journal.New(journal.Config{Identifier: "gifford-launcher"})
	if err != nil {
		fmt.Fprintf(os.Stderr, "gifford-launcher: %v\n", err)
		os.Exit(1)
	}
	err = launcher.Serve(ctx, launcher.Options{
		Policy: launcher.NewPolicyFile(*config).Read,
		Ready:  ready,
		Log:    log,
	})
	if err != nil {
		_, _ = daemon.SdNotify(false, "STATUS=exiting after a fatal error: "+firstLine(err))
		log.Error("exiting after a fatal error", "event", "exit", "error", err, "hint", hint.Of(err))
		stop()
		os.Exit(1)
	}
}
