package launcher

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// Podman asks the host's podman for its version, and asks again when the program has been replaced. The zero value is
// ready for use.
type Podman struct {
	program string // instead of contract.Podman; for tests

	mu      sync.Mutex // guards all below
	of      time.Time  // the program's modification time
	version contract.PodmanVersion
}

const nobody = 65534

// Version returns the version. The error names the next step.
func (p *Podman) Version(ctx context.Context) (contract.PodmanVersion, error) {
	program := cmp.Or(p.program, contract.Podman)
	info, err := os.Stat(program)
	if err != nil {
		return contract.PodmanVersion{}, hint.With(fmt.Errorf("cannot find podman: %w", err),
			"install the package podman")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of.Equal(info.ModTime()) {
		return p.version, nil
	}
	v, err := askPodman(ctx, program)
	if err != nil {
		return v, err
	}
	if !v.Supported() {
		return v, fmt.Errorf("podman %d.%d is too old: %d.%d is needed", v.Major, v.Minor,
			contract.PodmanMajor, contract.PodmanMinor)
	}
	p.of, p.version = info.ModTime(), v
	return v, nil
}

// askPodman runs "podman --version" as nobody.
func askPodman(ctx context.Context, program string) (contract.PodmanVersion, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--version")
	// Podman reads its settings even then, from directories that must exist.
	cmd.Env = []string{"HOME=/", "XDG_CONFIG_HOME=/"}
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := cmd.Output()
	if err != nil {
		return contract.PodmanVersion{}, fmt.Errorf("cannot ask podman for its version: %w", err)
	}
	return contract.ParsePodmanVersion(string(out))
}
