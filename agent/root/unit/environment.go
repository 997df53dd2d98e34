package unit

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
)

// EnvFile returns the container's environment in the form of podman's --env-file: what the
// hub sent and what only the launcher knows (JupyterHub's Spawner.get_env), which wins.
// It holds secrets. Values have no line breaks: the launcher has refused them.
func EnvFile(in Input, fromHub map[string]string) []byte {
	env := maps.Clone(fromHub)
	if env == nil {
		env = map[string]string{}
	}
	p := in.Profile
	prefix := env["JUPYTERHUB_SERVICE_PREFIX"]
	if prefix == "" {
		prefix = in.Key.Path()
	}
	env["JUPYTERHUB_SERVICE_URL"] = "http://127.0.0.1:" + servicePort + prefix
	env["JUPYTERHUB_ROOT_DIR"] = in.notebookDir()
	env["JUPYTER_IMAGE_SPEC"] = p.Image
	if p.DefaultURL != "" {
		env["JUPYTERHUB_DEFAULT_URL"] = p.DefaultURL
	}
	if p.MemoryMax != policy.Infinity {
		env["MEM_LIMIT"] = strconv.FormatUint(p.MemoryMax, 10)
	}
	if p.CPUQuota != policy.Infinity {
		env["CPU_LIMIT"] = strconv.FormatFloat(float64(p.CPUQuota)/1e6, 'f', -1, 64)
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(env)) {
		fmt.Fprintf(&b, "%s=%s\n", name, env[name])
	}
	return []byte(b.String())
}

// Metadata is what a unit's environment says of its server.
type Metadata struct {
	Key       ident.Key
	Profile   string
	TokenHash string
	UID       uint32
	Container string // its name in the member's store
	Devices   []Device
}

// ReadMetadata reads back what Build wrote into a unit. It is false for a unit that the
// launcher has not made, whatever its name is.
func ReadMetadata(name string, environment []string) (Metadata, bool) {
	key, err := ident.ParseUnit(name)
	if err != nil {
		return Metadata{}, false
	}
	values := map[string]string{}
	for _, e := range environment {
		name, value, _ := strings.Cut(e, "=")
		values[name] = value
	}
	uid, err := strconv.ParseUint(values[envUID], 10, 32)
	if err != nil || values[envProfile] == "" {
		return Metadata{}, false
	}
	return Metadata{key, values[envProfile], values[envTokenHash], uint32(uid), values[envContainer],
		readDevices(values[envDevices], values[envNodes])}, true
}

// Version is Podman's.
type Version struct{ Major, Minor int }

// ParseVersion reads what "podman --version" prints: "podman version 5.4.2".
func ParseVersion(s string) (Version, error) {
	words := strings.Fields(s)
	if len(words) != 3 || words[1] != "version" {
		return Version{}, fmt.Errorf("cannot read Podman's version from %.60q", s)
	}
	parts := strings.SplitN(words[2], ".", 3)
	if len(parts) < 2 {
		return Version{}, fmt.Errorf("cannot read Podman's version from %.60q", s)
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return Version{}, fmt.Errorf("cannot read Podman's version from %.60q", s)
	}
	return Version{major, minor}, nil
}

// Supported reports whether "--userns=keep-id:uid=…" is there (Podman 4.3).
func (v Version) Supported() bool { return v.Major > 4 || v.Major == 4 && v.Minor >= 3 }

// hasPasta reports whether podman itself can attach pasta (Podman 4.4).
func (v Version) hasPasta() bool { return v.Major > 4 || v.Major == 4 && v.Minor >= 4 }

// The exit statuses of gifford-container, in words for people.
const (
	ExitUsage     = 64 // wrong arguments
	ExitNoImage   = 71 // the image is missing and may not be pulled
	ExitLoad      = 72 // the archive cannot be loaded
	ExitPull      = 73 // the registry does not give the image
	ExitDirectory = 74 // the notebook directory cannot be made
	ExitNetwork   = 75 // no network for the container
	ExitPodman    = 76 // podman's own state is broken
)

// Explain says what a failed ExecStartPre or ExecStartPost means for a person; "" when
// the status is none of ours.
func Explain(p policy.Profile, status int32) string {
	return map[int32]string{
		ExitNoImage: fmt.Sprintf("image %q is not on this host, and profile %q does not allow pulling it", p.Image,
			p.Name),
		ExitLoad:      fmt.Sprintf("image %q cannot be loaded from %s", p.Image, p.Archive),
		ExitPull:      fmt.Sprintf("image %q cannot be pulled", p.Image),
		ExitDirectory: fmt.Sprintf("the notebook directory %s cannot be made", p.NotebookDir),
		ExitNetwork:   "the container got no network",
		ExitPodman:    "podman's state of this member is broken",
	}[status]
}
