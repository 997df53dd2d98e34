package unit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

func (in Input) containerName() string {
	if in.Profile.Persistent {
		return in.persistentName()
	}
	return contract.ContainerName(in.Key)
}

func (in Input) persistentName() string { return contract.PersistentName(in.Key, in.Profile.Name) }

// runPersistent is ExecStart of a persistent profile: gifford-container finds the container or makes it, and becomes
// podman.
func (in Input) runPersistent() []string {
	args := []string{contract.Helper, contract.ModePersistent, "--name", in.persistentName(),
		"--profile", in.Profile.Name, "--settings", in.Settings(),
		"--environment", path.Join(contract.SocketDir(in.Key), contract.PersistentEnvName), "--"}
	args = append(args, in.container()...)
	args = append(args, "--")
	args = escape(append(args, in.payload()...))
	// systemd expands it.
	return slices.Insert(args, 2, "--image", "${"+contract.EnvImage+"}")
}

// afterEnd is ExecStopPost. A killed podman leaves its container behind, and the next start of that name would fail. So
// afterEnd removes the container or, if it is persistent, stops it.
func (in Input) afterEnd() []string {
	if in.Profile.Persistent {
		return []string{contract.Podman, "stop", "--ignore", "--time=0", in.persistentName()}
	}
	return []string{contract.Podman, "rm", "--force", "--ignore", "--time=0", contract.ContainerName(in.Key)}
}

// Settings is a hash of the settings of a persistent container. With it gifford-container detects that the profile has
// changed since; such a change applies after a reset. Limits are the unit's, and the server's variables are read at
// each start: both apply at once.
//
// Of devices the hash contains what the profile requests. The launcher's record names the devices that the server
// holds.
func (in Input) Settings() string {
	without := in
	without.Devices = nil
	parts := append(without.container(), in.Profile.Image, "--")
	parts = append(parts, in.payload()...)
	if w := in.Profile.GPUs; w.Count != 0 && !in.WithoutGPUs {
		parts = append(parts, fmt.Sprintf("gpus %d %q %d %q", w.Count, w.Kind, w.Memory, w.Model))
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}
