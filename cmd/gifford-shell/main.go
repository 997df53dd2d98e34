// Command gifford-shell runs a command in the container of a member's running server, for "gifford-hub servers shell",
// which has written it to the hub's log before. It is a program of its own so that the hub links neither Podman's
// client nor systemd's. Nothing but an administrator may start it. Root starts the member's Podman and stops it; what
// Podman says is read by a second process of this program, which has become the member before.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/printable"
	"github.com/gifford-lab/gifford-hub/agent/root/memberpodman"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
)

const usage = `usage: gifford-shell [--root] --user USER [--server NAME] [--who ADMINISTRATOR] [-- COMMAND…]
People use it as: gifford-hub servers shell`

// exitOurs is the status when the command could not be run, as podman exec has it.
const exitOurs = 125

// maxWho bounds the administrator's name in a unit's description, in characters.
const maxWho = 200

// version is set by the linker.
var version = "development"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	status, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gifford-hub:", hint.Text(err))
		status = exitOurs
	}
	os.Exit(status)
}

func run(ctx context.Context, args []string) (int, error) {
	if len(args) > 0 && args[0] == modeSession {
		return session(ctx, args[1:])
	}
	flags := flag.NewFlagSet("gifford-shell", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprintln(os.Stderr, usage) }
	root := flags.Bool("root", false, "")
	user := flags.String("user", "", "")
	server := flags.String("server", "", "")
	who := flags.String("who", "root", "")
	showVersion := flags.Bool("version", false, "")
	if err := flags.Parse(args); err != nil {
		return 0, err
	}
	if *showVersion {
		fmt.Println("gifford-shell", version)
		return 0, nil
	}
	key, err := ident.ParseKey(*user, *server)
	if err != nil {
		return 0, err
	}
	return shell(ctx, key, *who, sessionArgs{root: *root, command: command(flags.Args())})
}

// command is what was asked for, or the best shell that the image has.
func command(args []string) []string {
	if len(args) > 0 {
		return args
	}
	return []string{"/bin/sh", "-c", "if command -v bash >/dev/null; then exec bash -l; fi; exec sh -l"}
}

// shell opens the member's Podman as root, and leaves all else to a process that becomes the member.
func shell(ctx context.Context, key ident.Key, who string, a sessionArgs) (int, error) {
	// An interrupt ends the command, not the connection by which its API is stopped.
	sd, err := systemd.Connect(context.WithoutCancel(ctx))
	if err != nil {
		return 0, err
	}
	defer sd.Close()
	api, err := memberpodman.Open(ctx, sd, key, printable.Line(who, maxWho))
	if errors.Is(err, memberpodman.ErrNotRunning) {
		return 0, hint.Withf(fmt.Errorf("server %s does not run", key), "gifford-hub servers start %s", key)
	} else if err != nil {
		return 0, err
	}
	defer api.Close()
	a.socket, a.container, a.uid, a.gid = api.Socket, api.Container, uint(api.UID), uint(api.GID)
	return a.start(ctx)
}
