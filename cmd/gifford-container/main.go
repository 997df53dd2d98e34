// Command gifford-container prepares a member's container from within its unit, as the
// member: before Podman starts it, it sees to the image, and after, on hosts whose Podman
// cannot, to the network. It is not privileged and not meant to be called by people.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const usage = "usage: gifford-container prepare --image NAME [--archive FILE] [--pull missing|never] [--socket PATH] [--mkdir PATH]\n" +
	"       gifford-container network --pidfile FILE --port PORT"

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%s", usage)
	}
	switch args[0] {
	case "prepare":
		var p preparation
		flags := flag.NewFlagSet("prepare", flag.ContinueOnError)
		flags.StringVar(&p.image, "image", "", "the image's name")
		flags.StringVar(&p.archive, "archive", "", "file that the image is loaded from when it is missing")
		flags.StringVar(&p.pull, "pull", "missing", "whether a missing image may be pulled: missing or never")
		flags.StringVar(&p.socket, "socket", "", "a former server's socket, which is removed")
		flags.StringVar(&p.mkdir, "mkdir", "", "a folder that is made when it is missing")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return p.run(ctx)
	case "network":
		flags := flag.NewFlagSet("network", flag.ContinueOnError)
		pidfile := flags.String("pidfile", "", "file with the container's process id")
		port := flags.Int("port", 0, "loopback port of the host that the container may reach")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return attach(*pidfile, *port)
	}
	return fmt.Errorf("%s", usage)
}
