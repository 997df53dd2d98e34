package unit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// A persistent profile's container is made once, by "podman run" without --rm, kept when
// its unit ends, and started again by "podman start" in the next one. What was installed
// into it stays; all that changes from start to start must come in from outside, for
// Podman 4.3 cannot change a container's environment. So the image's entry point is
// wrapped: a line of shell reads the server's variables from a file in the directory of the
// socket, which the launcher makes again for each start. Keeping the container costs
// nothing at stop; the other way, "podman commit" at each stop, copies all changes each
// time and loses those of a unit that was killed.

const (
	// keptEnvName is the file with the server's variables, in the form that a shell reads,
	// beside the server's socket: the member's, mode 0600, in a directory that the hub's group
	// may pass through alone.
	keptEnvName = "env"
	// SettingsLabel holds on a kept container the hash of what it was made from.
	SettingsLabel = "org.giffordlab.settings"
	// Wrapper is the kept container's entry point, with the image's own as its arguments.
	// The file is gone before anything of the image runs.
	Wrapper = `. ` + socketDir + `/` + keptEnvName + ` && rm -f ` + socketDir + `/` + keptEnvName + ` && exec "$@"`
)

// KeptName is the name of the container that a persistent profile keeps: one for each
// profile, so that another profile in between loses nothing. A profile's name has no dot
// and neither has a server's, so no two of one user are the same.
func (in Input) KeptName() string { return KeptName(in.Key, in.Profile.Name) }

// KeptName is the same for a profile that the policy may no longer have.
func KeptName(k ident.Key, profile string) string { return ContainerName(k) + "." + profile }

func (in Input) containerName() string {
	if in.Profile.Persistent {
		return in.KeptName()
	}
	return ContainerName(in.Key)
}

// runKept is ExecStart of a persistent profile: gifford-container finds the container or
// makes it, and becomes podman.
func (in Input) runKept() []string {
	args := []string{Helper, "kept", "--name", in.KeptName(), "--profile", in.Profile.Name,
		"--settings", in.Settings(), "--environment", path.Join(SocketDir(in.Key), keptEnvName), "--"}
	args = append(args, in.container()...)
	args = append(args, "--")
	args = escape(append(args, in.payload()...))
	// systemd expands it.
	return slices.Insert(args, 2, "--image", "${"+EnvImage+"}")
}

// afterEnd is ExecStopPost. A killed podman leaves its container behind, and the next
// start of that name would fail: so it is removed or, if it is to be kept, ended.
func (in Input) afterEnd() []string {
	if in.Profile.Persistent {
		return []string{Podman, "stop", "--ignore", "--time=0", in.KeptName()}
	}
	return []string{Podman, "rm", "--force", "--ignore", "--time=0", ContainerName(in.Key)}
}

// resetTime is for the removal of a large container from a slow disk.
const resetTime = 5 * time.Minute

// ResetUnit is the name of the unit that removes what was kept of a server.
func ResetUnit(k ident.Key) string { return "gifford-reset-" + k.String() + ".service" }

// Reset is a unit that removes, as the member, the containers that the given profiles
// have kept of a server. in.Profile does not count.
func Reset(in Input, profiles []string) Spec {
	args := []string{Helper, "forget", "--"}
	for _, p := range profiles {
		args = append(args, KeptName(in.Key, p))
	}
	environment := []string{}
	for _, e := range in.environment(StorageConf(in.Key.User)) {
		// Only servers say that they are the launcher's.
		if !strings.HasPrefix(e, "GIFFORD_") {
			environment = append(environment, e)
		}
	}
	return Spec{Name: ResetUnit(in.Key), Properties: []Property{
		{"Description", "Reset of the Jupyter server of " + in.Key.String()},
		{"Slice", Slice},
		{"User", in.Key.User.String()},
		{"Type", "oneshot"},
		{"ExecStart", []Command{command(args...)}},
		{"Environment", environment},
		{"WorkingDirectory", UserDir(in.Key.User)},
		{"UMask", in.Policy.Host.UMask},
		{"SyslogIdentifier", "jupyter-" + in.Key.User.String()},
		{"TimeoutStartUSec", micros(resetTime)},
		{"CollectMode", "inactive-or-failed"},
	}}
}

// Settings is a hash of what a kept container was made from, to tell when the profile
// says something else by now: such a change counts after a reset. Limits are the unit's
// and the server's variables are read at each start: those count at once.
//
// Which devices it holds is the record's to say; here counts what the profile asks for.
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

// ShellEnv turns an environment file as EnvFile makes it into lines that a POSIX shell
// reads: every value in single quotes.
func ShellEnv(envFile []byte) []byte {
	var b strings.Builder
	for line := range strings.Lines(string(envFile)) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !ok || !shellName(name) {
			continue
		}
		b.WriteString("export " + name + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'\n")
	}
	return []byte(b.String())
}

// shellName reports whether a shell takes s for a variable's name (POSIX, "Name").
func shellName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
