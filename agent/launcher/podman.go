package launcher

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"syscall"

	"github.com/gifford-lab/gifford-hub/agent/launcherbus"
	"github.com/gifford-lab/gifford-hub/agent/unit"
)

var podmanVersion = regexp.MustCompile(`^podman version (\d+)\.(\d+)`)

// podmanPath is the host's Podman.
const podmanPath = "/usr/bin/podman"

// Podman knows the version of the host's Podman. It asks again when the program has been
// replaced.
type Podman struct {
	mu      sync.Mutex // guards all below
	asked   os.FileInfo
	version unit.Podman
}

// Version gives the version.
func (p *Podman) Version(ctx context.Context) (unit.Podman, error) {
	now, err := os.Stat(podmanPath)
	if err != nil {
		return unit.Podman{}, fmt.Errorf("cannot find podman: %w\nhint: apt install podman", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked != nil && os.SameFile(p.asked, now) && p.asked.ModTime().Equal(now.ModTime()) {
		return p.version, nil
	}
	v, err := askPodman(ctx)
	if err == nil {
		p.asked, p.version = now, v
	}
	return v, err
}

// askPodman runs podman --version as the user nobody.
func askPodman(ctx context.Context) (unit.Podman, error) {
	cmd := exec.CommandContext(ctx, podmanPath, "--version")
	// Podman looks for its settings before it prints its version; it needs a folder that is there.
	cmd.Env, cmd.Dir = []string{"PATH=/usr/bin:/bin", "HOME=/", "XDG_CONFIG_HOME=/etc"}, "/"
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
