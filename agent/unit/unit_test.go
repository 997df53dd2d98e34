package unit

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
)

var update = flag.Bool("update", false, "write the golden files anew")

const policyText = `
[host]
umask = "0027"
[profile.small]
default = true
image = "localhost/small:1"
archive = "/srv/small.tar"
memory_max = "4G"
cpu_quota = "150%"
tasks_max = 2000
env = { PRICE = "$5 %h" }
args = ["--debug", "$HOME"]
[profile.host]
image = "localhost/host:1"
user_mapping = "host"
allow_sudo = false
notebook_dir = "notebooks"
default_url = "/lab"
command = []
[[mount]]
source = "/data"
target = "/data"
`

func request(t *testing.T, user, server, profile string, podman Podman) Request {
	t.Helper()
	p, err := policy.Parse("launcher.toml", []byte(policyText))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ident.ParseKey(user, server)
	if err != nil {
		t.Fatal(err)
	}
	name, prof, ok := p.Profile(profile)
	if !ok {
		t.Fatalf("no profile %q", profile)
	}
	return Request{Key: key, UID: 5001, Home: p.Host.HomeOf(key.User), ProfileName: name, Profile: prof, Host: p.Host, Mounts: p.Mounts,
		Podman: podman, TokenHash: "abc123", StateDir: "/var/lib/gifford-launcher/users/" + user,
		StorageConf: "/run/gifford-launcher/users/" + user + "/storage.conf",
		SocketDir:   "/run/gifford-launcher/servers/" + user + "/_", EnvFile: "/run/gifford-launcher/credentials/" + key.Unit() + ".env"}
}

// TestGolden shows, in testdata, all that systemd is asked for.
func TestGolden(t *testing.T) {
	tests := map[string]Request{
		"default":    request(t, "alice", "", "", Podman{5, 4}),
		"podman-4.3": request(t, "alice", "", "", Podman{4, 3}),
		"host-named": request(t, "a.b", "gpu-1", "host", Podman{5, 4}),
	}
	for name, r := range tests {
		t.Run(name, func(t *testing.T) {
			text, err := json.MarshalIndent(map[string]any{"name": r.Key.Unit(), "properties": r.Properties(),
				"environment": strings.Split(r.Env(map[string]string{"JUPYTERHUB_SERVICE_PREFIX": "/user/x/", "JUPYTERHUB_API_TOKEN": "SECRET"}), "\n")}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(text)+"\n"); diff != "" {
				t.Errorf("the unit is not as in %s (-want +got); run the test with -update and read the change:\n%s", file, diff)
			}
		})
	}
}

// TestNoSecretInTheUnit checks that the token reaches neither properties nor arguments.
func TestNoSecretInTheUnit(t *testing.T) {
	r := request(t, "alice", "", "", Podman{5, 4})
	env := r.Env(map[string]string{"JUPYTERHUB_API_TOKEN": "SECRET"})
	if !strings.Contains(env, "JUPYTERHUB_API_TOKEN=SECRET\n") {
		t.Fatal("the environment lacks the token")
	}
	text, _ := json.Marshal(r.Properties())
	if strings.Contains(string(text), "SECRET") {
		t.Error("the token stands in the unit")
	}
}

// TestHubCannotMoveHome checks that what the hub sends never replaces what the policy
// decides.
func TestHubCannotMoveHome(t *testing.T) {
	r := request(t, "alice", "", "", Podman{5, 4})
	env := r.Env(map[string]string{"HOME": "/cluster/bob", "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:1/", "MEM_LIMIT": "1"})
	for _, line := range []string{"HOME=/cluster/alice\n", "JUPYTERHUB_SERVICE_URL=http://127.0.0.1:8888", "MEM_LIMIT=4294967296\n"} {
		if !strings.Contains(env, line) {
			t.Errorf("%q is not in:\n%s", line, env)
		}
	}
}
