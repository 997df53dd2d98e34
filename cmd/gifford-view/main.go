// Command gifford-view makes a member's view of the shared images before their server starts, and removes it after its
// end. systemd runs it as root, as gifford-view@.service and gifford-unview@.service; its request is a file that the
// launcher left in a directory of root's. As gifford-sweep@.service it removes what members left in their servers'
// directories.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/root/sweep"
	"github.com/gifford-lab/gifford-hub/agent/root/view"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

const usage = `gifford-view is run by systemd for each Jupyter server, see gifford-launcher(8):
  gifford-view mount USER[:SERVER]
  gifford-view unmount USER[:SERVER]
  gifford-view detach USER
  gifford-view sweep USER
  gifford-view probe
`

// exitUsage is EX_USAGE of sysexits(3).
const exitUsage = 64

func main() {
	err := run(os.Args[1:])
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "gifford-view: %v\n%s", err, usage)
		os.Exit(exitUsage)
	default:
		fmt.Fprintln(os.Stderr, "gifford-view:", hint.Text(err))
		os.Exit(1)
	}
}

var errUsage = errors.New("cannot read the arguments")

func run(args []string) error {
	host := view.Standard(os.Stderr)
	if len(args) == 1 && args[0] == "probe" {
		return host.Probe()
	}
	if len(args) != 2 {
		return errUsage
	}
	switch args[0] {
	case "detach":
		return onMember(sweep.Mounts, args[1])
	case "sweep":
		return onMember(sweep.Retired, args[1])
	}
	key, err := ident.ParseUnit("jupyter-" + args[1] + ".service")
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	switch args[0] {
	case "mount":
		return host.Mount(key)
	case "unmount":
		return host.Unmount(key)
	}
	return errUsage
}

func onMember(do func(runDir string, user ident.User) error, name string) error {
	user, err := ident.ParseUser(name)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return do(contract.RunDir, user)
}
