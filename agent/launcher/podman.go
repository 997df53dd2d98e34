package launcher

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"

	"github.com/gifford-lab/gifford-hub/agent/launcherbus"
	"github.com/gifford-lab/gifford-hub/agent/unit"
)

var podmanVersion = regexp.MustCompile(`^podman version (\d+)\.(\d+)`)

// PodmanVersion asks the host's Podman for its version, as the user nobody.
func PodmanVersion(ctx context.Context) (unit.Podman, error) {
	cmd := exec.CommandContext(ctx, "/usr/bin/podman", "--version")
	cmd.Env, cmd.Dir = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent"}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return unit.Podman{}, fmt.Errorf("cannot run podman: %w: %.200s\nhint: gifford-hub check", err, out)
	}
	return parsePodman(string(out))
}

func parsePodman(out string) (unit.Podman, error) {
	m := podmanVersion.FindStringSubmatch(out)
	if m == nil {
		return unit.Podman{}, fmt.Errorf("cannot read podman's version from %.80q", out)
	}
	major, _ := strconv.Atoi(m[1]) // digits, by the expression
	minor, _ := strconv.Atoi(m[2])
	if major < 4 || major == 4 && minor < 3 {
		return unit.Podman{}, refuse(launcherbus.Internal, "podman %d.%d is too old: 4.3 or newer is needed", major, minor)
	}
	return unit.Podman{Major: major, Minor: minor}, nil
}
