package launcher

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/root/unit"
)

// Podman asks the host's podman for its version, and again when the program has been
// replaced. The zero value is ready for use.
type Podman struct {
	mu      sync.Mutex // guards all below
	of      time.Time  // the program's modification time
	version unit.Version
}

const nobody = 65534

// Version returns the version. The error names the next step.
func (p *Podman) Version(ctx context.Context) (unit.Version, error) {
	info, err := os.Stat(unit.Podman)
	if err != nil {
		return unit.Version{}, fmt.Errorf("cannot find podman: %w\nhint: install the package podman", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of.Equal(info.ModTime()) {
		return p.version, nil
	}
	v, err := askPodman(ctx)
	if err != nil {
		return v, err
	}
	if !v.Supported() {
		return v, fmt.Errorf("podman %d.%d is too old: 4.3 is needed", v.Major, v.Minor)
	}
	p.of, p.version = info.ModTime(), v
	return v, nil
}

// askPodman runs "podman --version" as nobody.
func askPodman(ctx context.Context) (unit.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, unit.Podman, "--version")
	// Podman looks for its settings even then, in directories that must exist.
	cmd.Env = []string{"HOME=/", "XDG_CONFIG_HOME=/"}
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := cmd.Output()
	if err != nil {
		return unit.Version{}, fmt.Errorf("cannot ask podman for its version: %w", err)
	}
	return unit.ParseVersion(string(out))
}
