package check

import (
	"context"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// version is the first numbers of a program's version.
type version struct{ major, minor int }

func (v version) less(major, minor int) bool {
	return v.major < major || v.major == major && v.minor < minor
}

func (v version) String() string { return fmt.Sprintf("%d.%d", v.major, v.minor) }

var numbers = regexp.MustCompile(`(\d+)(?:\.(\d+))?`)

// parseVersion takes the first number of a text; 0.0 when there is none.
func parseVersion(s string) version {
	m := numbers.FindStringSubmatch(s)
	if m == nil {
		return version{}
	}
	major, _ := strconv.Atoi(m[1]) // the pattern has digits only; too many give 0
	minor, _ := strconv.Atoi(m[2])
	return version{major, minor}
}

func (r *run) podmanVersion(ctx context.Context) (version, error) {
	out, err := r.Host.Run(ctx, "podman", "--version")
	return parseVersion(out), err
}

func podman(ctx context.Context, r *run) []finding {
	v, err := r.podmanVersion(ctx)
	switch {
	case err != nil:
		return fail("apt install podman   (dnf install podman)", "podman does not run: %v", err)
	case v.less(contract.PodmanMajor, contract.PodmanMinor):
		return fail("apt install podman   (dnf install podman)", "Podman %s; %d.%d or later is needed", v,
			contract.PodmanMajor, contract.PodmanMinor)
	}
	return ok("Podman %s", v)
}

func crun(ctx context.Context, r *run) []finding {
	out, err := r.Host.Run(ctx, "crun", "--version")
	if err != nil {
		return fail("apt install crun   (dnf install crun)", "crun does not run: %v", err)
	}
	return ok("crun %s", parseVersion(out))
}

// idMaps wants the two programs to be set-uid root or to have file capabilities, as
// distributions do the one or the other.
func idMaps(_ context.Context, r *run) []finding {
	var found []finding
	for _, name := range []string{"newuidmap", "newgidmap"} {
		f, err := r.Host.Stat("/usr/bin/" + name)
		switch {
		case err != nil:
			found = append(found, fail("apt install uidmap   (dnf install shadow-utils)", "%s is missing", name)...)
		case f.Mode&fs.ModeSetuid == 0 && !f.Caps:
			found = append(found, fail("apt install --reinstall uidmap   (dnf reinstall shadow-utils)",
				"%s is not set-uid root and has no file capabilities", name)...)
		}
	}
	if found != nil {
		return found
	}
	return ok("newuidmap and newgidmap may write id maps")
}

// network reports which of the two ways a notebook gets its network.
func network(ctx context.Context, r *run) []finding {
	if _, err := r.Host.Run(ctx, "pasta", "--version"); err != nil { // some builds print nothing
		return fail("apt install passt   (dnf install passt)",
			"pasta is missing: notebooks could not reach the hub")
	}
	v, err := r.podmanVersion(ctx)
	switch {
	case err != nil:
		return unknown("podman --version", "pasta is installed; podman does not report its version")
	case v.less(contract.PastaMajor, contract.PastaMinor):
		return ok("Podman %s has no pasta networks: gifford-container attaches pasta to each notebook", v)
	case !v.less(contract.GuestMajor, contract.GuestMinor) && !r.pastaMapsGuest(ctx):
		return fail("apt install passt   (dnf upgrade passt)", "pasta does not know --map-guest-addr, with which "+
			"Podman %s is asked to leave the host out of a notebook's network; notebooks could not start", v)
	}
	return ok("Podman %s makes pasta networks itself", v)
}

// pastaMapsGuest reports whether pasta has the option of that name. A help that cannot be read proves nothing.
func (r *run) pastaMapsGuest(ctx context.Context) bool {
	help, err := r.Host.Run(ctx, "pasta", "--help")
	return err != nil || !strings.Contains(help, "--no-map-gw") || strings.Contains(help, "--map-guest-addr")
}
