package unit

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
)

var update = flag.Bool("update", false, "write the golden files")

const hostile = `
[host]
home = "/srv/ho me$HOME%h/{user}"
cluster = ""
umask = "0027"
[profile.odd]
image = "registry.example.org:5000/a/b@sha256:0123"
command = ["sh", "-c", "echo $HOME 100% > x"]
args = ["--flag=a,b"]
env = { GREETING = "a $b 'c' \"d\"" }
user_mapping = "host"
allow_sudo = false
notebook_dir = "{home}/note books"
default_url = "/tree"
memory_max = "1G"
memory_high = "900M"
cpu_quota = "150%"
tasks_max = 100
[[mount]]
source = "/data: x"
target = "/data"
`

const plain = `
[profile.lab]
image = "quay.io/jupyter/scipy-notebook:latest"
archive = "/srv/images/scipy.tar"
`

const kept = `
[profile.lab]
image = "quay.io/jupyter/scipy-notebook:latest"
persistent = true
env = { PRICE = "$5" }
args = ["--x='y'"]
`

const mounted = `
[profile.lab]
image = "a"
[[profile.lab.mount]]
source = "/scratch/{user}"
target = "/scratch/{user}"
read_only = false
create = true
[[mount]]
source = "/data"
target = "/data"
[[mount]]
source = "/srv/others"
target = "/srv/others"
unix_groups = ["others"]
`

const own = "[profile.own]\nimage = \"quay.io/jupyter/base-notebook\"\ncommand = []\n"

func input(t *testing.T, text, user, server string, v Version) Input {
	t.Helper()
	p, err := policy.Parse("launcher.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ident.ParseKey(user, server)
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := p.MountsFor(policy.Person{User: key.User, UID: 5001,
		InGroup: func(string) (bool, error) { return false, nil }}, p.Profiles[0])
	if err != nil {
		t.Fatal(err)
	}
	return Input{Key: key, UID: 5001, GID: 5000, Profile: p.Profiles[0], Policy: p, Mounts: mounts, Podman: v,
		TokenHash: "00ff"}
}

// holding is an input with two devices.
func holding(in Input) Input {
	in.Devices = []Device{{"nvidia.com/gpu=0", []string{"/dev/dri/card0", "/dev/nvidia0"}},
		{"nvidia.com/gpu=1:0", []string{"/dev/nvidia-caps/nvidia-cap12", "/dev/nvidia1"}}}
	return in
}

// TestGolden shows whole units; -update writes them again for a reader's eye.
func TestGolden(t *testing.T) {
	tests := map[string]Input{
		"plain":                  input(t, plain, "alice", "", Version{5, 4}),
		"named":                  input(t, plain, "alice", "gpu-2", Version{4, 9}),
		"old-podman":             input(t, plain, "bob", "", Version{4, 3}),
		"hostile":                input(t, hostile, "a.b-c_", "x", Version{5, 0}),
		"persistent":             input(t, kept, "alice", "gpu-2", Version{5, 4}),
		"persistent-old-podman":  input(t, kept, "alice", "", Version{4, 3}),
		"persistent-own-command": input(t, own+"persistent = true\n", "alice", "", Version{5, 4}),
		"own-command":            input(t, own, "alice", "", Version{5, 4}),
		"mounts":                 input(t, mounted, "alice", "", Version{5, 4}),
		"devices":                holding(input(t, plain+"gpus = 2\n", "alice", "", Version{5, 4})),
		"devices-old-podman":     holding(input(t, plain+"gpus = 2\n", "alice", "", Version{4, 3})),
		"persistent-devices":     holding(input(t, kept+"gpus = 2\n", "alice", "", Version{5, 4})),
	}
	for name, in := range tests {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			spec := Build(in)
			fmt.Fprintln(&b, spec.Name)
			for _, p := range spec.Properties {
				show(&b, p)
			}
			b.WriteString("--- environment file\n")
			b.Write(EnvFile(in, map[string]string{"JUPYTERHUB_API_TOKEN": "secret",
				"JUPYTERHUB_SERVICE_URL": "http://evil/", "JUPYTERHUB_SERVICE_PREFIX": "/jhub" + in.Key.Path()}))
			golden(t, filepath.Join("testdata", name+".golden"), b.String())
			if strings.Contains(strings.SplitN(b.String(), "---", 2)[0], "secret") {
				t.Error("a secret stands in the unit")
			}
		})
	}
}

// TestUsageGolden shows the unit that measures.
func TestUsageGolden(t *testing.T) {
	in := input(t, strings.Replace(hostile, "umask", "usage_time = \"5m\"\numask", 1), "a.b-c_", "", Version{5, 0})
	var b strings.Builder
	spec := BuildUsage(UsageInput{User: in.Key.User, Policy: in.Policy, UIDs: []string{"70000:65536", "9:1"},
		GIDs: []string{"80000:65536"}})
	fmt.Fprintln(&b, spec.Name)
	for _, p := range spec.Properties {
		show(&b, p)
	}
	golden(t, filepath.Join("testdata", "usage.golden"), b.String())
}

// FuzzReadUsage checks that whatever a member writes gives a result in its bounds or none.
func FuzzReadUsage(f *testing.F) {
	f.Add(`{"ended":5,"storage":{"bytes":1,"files":2,"unread":3},"home":{"bytes":4,"files":5,"unread":6}}`)
	now := time.Unix(1000, 0)
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ReadUsage(strings.NewReader(text), now)
		if err != nil {
			return
		}
		for _, n := range []int64{u.Ended, u.Storage.Bytes, u.Storage.Files, u.Storage.Unread, u.Home.Bytes,
			u.Home.Files, u.Home.Unread} {
			if n < 0 || n > maxCount || u.Ended > now.Unix()+1 {
				t.Errorf("%q gives %+v", text, u)
			}
		}
	})
}

func show(b *strings.Builder, p Property) {
	commands, ok := p.Value.([]Command)
	if !ok {
		fmt.Fprintf(b, "%s = %v\n", p.Name, p.Value)
		return
	}
	for _, c := range commands {
		fmt.Fprintf(b, "%s\n", p.Name)
		for _, a := range c.Args {
			fmt.Fprintf(b, "  %s\n", a)
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the unit has changed (go test -update shows it as a diff):\n%s", diff)
	}
}

// TestMetadata checks that what Build writes is read back, and that other units are none of ours.
func TestMetadata(t *testing.T) {
	in := holding(input(t, plain, "alice", "gpu-2", Version{5, 4}))
	var environment []string
	for _, p := range Build(in).Properties {
		if p.Name == "Environment" {
			environment, _ = p.Value.([]string)
		}
	}
	got, ok := ReadMetadata("jupyter-alice:gpu-2.service", environment)
	want := Metadata{in.Key, "lab", "00ff", 5001, "jupyter-alice--gpu-2", in.Devices}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(ident.User{}, ident.Server{})); !ok || diff != "" {
		t.Errorf("%v: want(-) got(+):\n%s", ok, diff)
	}
	for name, env := range map[string][]string{
		"jupyter-hub.service":   {"PATH=/bin"},
		"jupyter-alice.service": nil,
		"jupyter-bob.service":   {"GIFFORD_PROFILE=x", "GIFFORD_UID=-1"},
		"ssh.service":           environment,
	} {
		if _, ok := ReadMetadata(name, env); ok {
			t.Errorf("%s is taken for a server of ours", name)
		}
	}
}

// TestNames checks that no two servers of one user share a name, whatever they are called.
func TestNames(t *testing.T) {
	seen := map[string]ident.Key{}
	for _, user := range []string{"a", "a-", "a--b", "a_"} {
		for _, server := range []string{"", "b", "b-c"} {
			key, err := ident.ParseKey(user, server)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{user + " " + ContainerName(key), user + " " + KeptName(key, "b"),
				user + " " + KeptName(key, "b-c"), SocketPath(key), CredentialPath(key)} {
				if other, taken := seen[name]; taken {
					t.Errorf("%v and %v are both %q", key, other, name)
				}
				seen[name] = key
			}
		}
	}
	longest, err := ident.ParseKey(strings.Repeat("u", 32), strings.Repeat("s", 30))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(SocketPath(longest)); n > 107 {
		t.Errorf("the longest socket path has %d bytes; sun_path takes 107", n)
	}
}

func TestParseVersion(t *testing.T) {
	tests := map[string]struct {
		text      string
		want      Version
		ok        bool
		supported bool
	}{
		"trixie":   {"podman version 5.4.2\n", Version{5, 4}, true, true},
		"bookworm": {"podman version 4.3.1\n", Version{4, 3}, true, true},
		"suffix":   {"podman version 5.0.0-dev", Version{5, 0}, true, true},
		"old":      {"podman version 3.4.4", Version{3, 4}, true, false},
		"empty":    {"", Version{}, false, false},
		"words":    {"podman version five", Version{}, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseVersion(tt.text)
			if got != tt.want || (err == nil) != tt.ok || got.Supported() != tt.supported {
				t.Errorf("got %v, %v, supported %v", got, err, got.Supported())
			}
		})
	}
}

func TestExplain(t *testing.T) {
	in := input(t, plain, "alice", "", Version{5, 4})
	for _, status := range []int32{ExitNoImage, ExitLoad, ExitPull, ExitDirectory, ExitNetwork, ExitPodman} {
		if Explain(in.Profile, status) == "" {
			t.Errorf("exit status %d has no words", status)
		}
	}
	if got := Explain(in.Profile, 1); got != "" {
		t.Errorf("exit status 1 is explained as %q", got)
	}
}
