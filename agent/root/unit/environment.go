package unit

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// EnvFile returns the container's environment in the form of podman's --env-file: what the hub sent and what only the
// launcher knows (JupyterHub's Spawner.get_env), which wins. It holds secrets. Values have no line breaks: the launcher
// has refused them.
func EnvFile(in Input, fromHub map[string]string) []byte {
	env := maps.Clone(fromHub)
	if env == nil {
		env = map[string]string{}
	}
	prefix := env["JUPYTERHUB_SERVICE_PREFIX"]
	if prefix == "" {
		prefix = in.Key.Path()
	}
	env["JUPYTERHUB_SERVICE_URL"] = "http://127.0.0.1:" + servicePort + prefix
	maps.Copy(env, in.profileEnvironment())
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(env)) {
		fmt.Fprintf(&b, "%s=%s\n", name, env[name])
	}
	return []byte(b.String())
}

// profileEnvironment is what follows from the profile.
func (in Input) profileEnvironment() map[string]string {
	p := in.Profile
	env := map[string]string{"JUPYTERHUB_ROOT_DIR": in.notebookDir(), "JUPYTER_IMAGE_SPEC": p.Image}
	if p.DefaultURL != "" {
		env["JUPYTERHUB_DEFAULT_URL"] = p.DefaultURL
	}
	if p.MemoryMax != policy.Infinity {
		env["MEM_LIMIT"] = strconv.FormatUint(p.MemoryMax, 10)
	}
	if p.CPUQuota != policy.Infinity {
		env["CPU_LIMIT"] = strconv.FormatFloat(float64(p.CPUQuota)/1e6, 'f', -1, 64)
	}
	return env
}

// podmanEnvironment is podman's. HOME is local, so that podman never touches the network home.
func (in Input) podmanEnvironment(storageConf string) []string {
	env := []string{
		"HOME=" + contract.UserDir(in.Key.User),
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"XDG_RUNTIME_DIR=/run/user/" + strconv.FormatUint(uint64(in.UID), 10),
		"CONTAINERS_STORAGE_CONF=" + storageConf,
	}
	if !in.Podman.HasPasta() {
		// Podman 4.3 leaves the unit's cgroup for a scope of the user's manager where it sees cgroup v1 controllers.
		// Without a bus it cannot.
		env = append(env, "DBUS_SESSION_BUS_ADDRESS=unix:path=/dev/null")
	}
	return env
}

func (in Input) metadata() contract.Metadata {
	return contract.Metadata{Key: in.Key, Profile: in.Profile.Name, TokenHash: in.TokenHash, UID: in.UID,
		Container: in.containerName(), Devices: in.Devices}
}
