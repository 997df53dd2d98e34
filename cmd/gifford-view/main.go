// Command gifford-view makes a member's view of the shared images before his server
// starts, and takes it away after its end. systemd runs it as root for the unit, with
// arguments that the launcher has written there.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/view"
)

const usage = `gifford-view is run by the units of Jupyter servers, see gifford-launcher(8):
  gifford-view mount --user NAME [--server NAME] --uid UID --gid GID --map image|host --image REF [--share=false] [--keep PROFILE]
  gifford-view unmount --user NAME [--server NAME]
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
		fmt.Fprintf(os.Stderr, "gifford-view: %v\n", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("cannot read the arguments")

func run(args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	if args[0] == "probe" && len(args) == 1 {
		return view.Standard(os.Stderr).Probe()
	}
	flags := flag.NewFlagSet("gifford-view", flag.ContinueOnError)
	flags.Usage = func() {}
	var r view.Request
	user, server, mapping := flags.String("user", "", ""), flags.String("server", "", ""), flags.String("map", "", "")
	uid, gid := flags.Uint("uid", 0, ""), flags.Uint("gid", 0, "")
	flags.StringVar(&r.Image, "image", "", "")
	flags.StringVar(&r.Keep, "keep", "", "")
	flags.BoolVar(&r.Share, "share", true, "")
	if err := flags.Parse(args[1:]); err != nil || flags.NArg() != 0 {
		return errUsage
	}
	key, err := ident.ParseKey(*user, *server)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	host := view.Standard(os.Stderr)
	switch args[0] {
	case "unmount":
		return host.Unmount(key)
	case "mount":
		r.Key, r.UID, r.GID, r.Mapping = key, uint32(*uid), uint32(*gid), policy.Mapping(*mapping)
		if *uid == 0 || *uid >= 1<<32-1 || *gid == 0 || *gid >= 1<<32-1 || r.Image == "" || strings.ContainsAny(r.Keep, "/.") || r.Mapping != policy.MapImage && r.Mapping != policy.MapHost {
			return errUsage
		}
		return host.Mount(r)
	}
	return errUsage
}
