package unit

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/transient"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

var (
	podman43 = contract.PodmanVersion{Major: 4, Minor: 3}
	podman49 = contract.PodmanVersion{Major: 4, Minor: 9}
	podman50 = contract.PodmanVersion{Major: 5}
	podman54 = contract.PodmanVersion{Major: 5, Minor: 4}
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

const lasting = `
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

func input(t *testing.T, text, user, server string, v contract.PodmanVersion) Input {
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
	in.Devices = []contract.Device{{Name: "nvidia.com/gpu=0", Nodes: []string{"/dev/dri/card0", "/dev/nvidia0"}},
		{Name: "nvidia.com/gpu=1:0", Nodes: []string{"/dev/nvidia-caps/nvidia-cap12", "/dev/nvidia1"}}}
	return in
}

// TestGolden shows whole units; -update writes them again for a reader's eye.
func TestGolden(t *testing.T) {
	tests := map[string]Input{
		"plain":                  input(t, plain, "alice", "", podman54),
		"named":                  input(t, plain, "alice", "gpu-2", podman49),
		"old-podman":             input(t, plain, "bob", "", podman43),
		"hostile":                input(t, hostile, "a.b-c_", "x", podman50),
		"isolated":               input(t, plain+"network = \"isolated\"\n", "alice", "", podman54),
		"persistent-isolated":    input(t, lasting+"network = \"isolated\"\n", "alice", "", podman49),
		"persistent":             input(t, lasting, "alice", "gpu-2", podman54),
		"persistent-old-podman":  input(t, lasting, "alice", "", podman43),
		"persistent-own-command": input(t, own+"persistent = true\n", "alice", "", podman54),
		"own-command":            input(t, own, "alice", "", podman54),
		"mounts":                 input(t, mounted, "alice", "", podman54),
		"devices":                holding(input(t, plain+"gpus = 2\n", "alice", "", podman54)),
		"devices-old-podman":     holding(input(t, plain+"gpus = 2\n", "alice", "", podman43)),
		"persistent-devices":     holding(input(t, lasting+"gpus = 2\n", "alice", "", podman54)),
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

// TestDiskUseGolden shows the unit that measures.
func TestDiskUseGolden(t *testing.T) {
	in := input(t, strings.Replace(hostile, "umask", "usage_time = \"5m\"\numask", 1), "a.b-c_", "", podman50)
	var b strings.Builder
	spec := BuildDiskUse(DiskUseInput{User: in.Key.User, Policy: in.Policy, UIDs: []string{"70000:65536", "9:1"},
		GIDs: []string{"80000:65536"}})
	fmt.Fprintln(&b, spec.Name)
	for _, p := range spec.Properties {
		show(&b, p)
	}
	golden(t, filepath.Join("testdata", "disk-use.golden"), b.String())
}

func show(b *strings.Builder, p transient.Property) {
	commands, ok := p.Value.([]transient.Command)
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

func TestExplain(t *testing.T) {
	in := input(t, plain, "alice", "", podman54)
	for _, status := range []int32{contract.ExitNoImage, contract.ExitLoad, contract.ExitPull,
		contract.ExitDirectory, contract.ExitNetwork, contract.ExitPodman} {
		if Explain(in.Profile, status) == "" {
			t.Errorf("exit status %d has no words", status)
		}
	}
	if got := Explain(in.Profile, 1); got != "" {
		t.Errorf("exit status 1 is explained as %q", got)
	}
}

// TestMetadata checks that a server's unit has what the launcher reads back.
func TestMetadata(t *testing.T) {
	in := holding(input(t, plain, "alice", "gpu-2", podman54))
	var environment []string
	for _, p := range Build(in).Properties {
		if p.Name == "Environment" {
			environment, _ = p.Value.([]string)
		}
	}
	got, ok := contract.ReadMetadata("jupyter-alice:gpu-2.service", environment)
	want := contract.Metadata{Key: in.Key, Profile: "lab", TokenHash: "00ff", UID: 5001,
		Container: "jupyter-alice--gpu-2", Devices: in.Devices}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(ident.User{}, ident.Server{})); !ok || diff != "" {
		t.Errorf("%v: want(-) got(+):\n%s", ok, diff)
	}
}

// TestContract checks that the policy's words are those of the programs that do not link it.
func TestContract(t *testing.T) {
	for theirs, ours := range map[string]string{
		policy.File: contract.PolicyFile, string(policy.MapImage): string(contract.MapImage),
		string(policy.MapHost): string(contract.MapHost), string(policy.PullMissing): contract.PullMissing,
		string(policy.PullNever): contract.PullNever,
	} {
		if theirs != ours {
			t.Errorf("the policy says %q, the contract %q", theirs, ours)
		}
	}
}

// TestView checks what gifford-view is asked for.
func TestView(t *testing.T) {
	tests := map[string]struct {
		text string
		want contract.ViewRequest
	}{
		"plain": {plain, contract.ViewRequest{UID: 5001, GID: 5000, Mapping: contract.MapImage,
			Image: "quay.io/jupyter/scipy-notebook:latest", Share: true}},
		"persistent": {lasting, contract.ViewRequest{UID: 5001, GID: 5000, Mapping: contract.MapImage,
			Image: "quay.io/jupyter/scipy-notebook:latest", Share: true, Persistent: "lab"}},
		"copies, own uid": {"[images]\nshare = false\n[profile.lab]\nimage = \"a\"\nuser_mapping = \"host\"\n",
			contract.ViewRequest{UID: 5001, GID: 5000, Mapping: contract.MapHost, Image: "a"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, input(t, tt.text, "alice", "", podman54).View()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
