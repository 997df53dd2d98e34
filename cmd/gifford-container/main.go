// Command gifford-container prepares one notebook as its member, inside the member's unit: it gets the image, puts the
// hub's API on the container's loopback and, where podman does not, attaches the network. It also measures the disk use
// of a member's files. It must never need a privilege. It must never print the contents of the server's environment.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

const usage = `usage:
  gifford-container prepare --image REF --pull missing|never [--archive FILE] [--directory DIR] [--profile NAME]
      [--timeout 15m]
  gifford-container persistent --name CONTAINER --image REF --settings HASH --environment FILE
      -- [OPTION…] -- [COMMAND…]
  gifford-container remove -- CONTAINER…
  gifford-container api --socket FILE --unit SERVER-UNIT
  gifford-container network --pidfile FILE --port PORT [--isolated] [--persistent]
  gifford-container disk-use --result FILE --storage DIR --home DIR [--uids FIRST:COUNT]... [--gids FIRST:COUNT]...
  gifford-container --version
`

// version is set by the linker.
var version = "development"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err := run(ctx, os.Args[1:])
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "gifford-container:", hint.Text(err))
	status := 1
	var failed *failure
	if errors.As(err, &failed) {
		status = failed.status
	}
	stop()
	os.Exit(status)
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return &failure{contract.ExitUsage, errors.New("no command\n" + strings.TrimSpace(usage))}
	}
	switch contract.Mode(args[0]) {
	case contract.ModePrepare:
		return prepare(ctx, args[1:])
	case contract.ModeAPI:
		return api(ctx, args[1:])
	case contract.ModePersistent:
		return runPersistent(ctx, args[1:])
	case contract.ModeRemove:
		return removeContainers(ctx, args[1:])
	case contract.ModeNetwork:
		return network(ctx, args[1:])
	case modeListen:
		return listen(args[1:])
	case modeForward:
		return forward(args[1:])
	case contract.ModeDiskUse:
		return diskUse(ctx, args[1:])
	case "--version":
		fmt.Println("gifford-container", version)
		return nil
	case "--help", "-h":
		fmt.Print(usage)
		return nil
	}
	return &failure{contract.ExitUsage, fmt.Errorf("unknown command %q\n%s", args[0], usage)}
}

// failure is an error with the exit status by which the launcher knows what failed (unit.Explain).
type failure struct {
	status int
	err    error
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

func failf(status int, format string, args ...any) error {
	return &failure{status, fmt.Errorf(format, args...)}
}
