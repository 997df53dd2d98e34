package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const gpuRules = `
[gpus]
max_per_user = 2
[[gpus.device]]
match = ["nvidia.com/gpu=0", "amd.com/gpu=*"]
sharing = "shared"
places = 4
unix_groups = ["gpu"]
[[gpus.device]]
match = ["nvidia.com/gpu=*"]
[[gpus.device]]
match = ["*/render=*"]
sharing = "open"
[gpus.group.students]
max_per_user = 1
max = 2
[gpus.group.staff]
max_per_user = "infinity"
[profile.gpu]
image = "a"
gpus = 1
gpu_kind = "nvidia.com/gpu"
gpu_memory = "40G"
gpu_model = "*h100*"
default = true
[profile.screen]
image = "a"
gpus = "all"
[profile.none]
image = "a"
`

// TestGPUs checks how [gpus] and a profile's wish are read.
func TestGPUs(t *testing.T) {
	p := mustParse(t, gpuRules)
	want := GPUs{MaxPerUser: 2, Devices: []GPURule{
		{[]string{"nvidia.com/gpu=0", "amd.com/gpu=*"}, Shared, 4, []string{"gpu"}},
		{[]string{"nvidia.com/gpu=*"}, Exclusive, 0, []string{}},
		{[]string{"*/render=*"}, Open, 0, []string{}},
	}, Groups: []GPUGroup{{"staff", Infinity, 0}, {"students", 1, 2}}}
	if diff := cmp.Diff(want, p.GPUs); diff != "" {
		t.Errorf("[gpus]: %s", diff)
	}
	wishes := map[string]GPUWish{}
	for _, q := range p.Profiles {
		wishes[q.Name] = q.GPUs
	}
	if diff := cmp.Diff(map[string]GPUWish{"gpu": {1, "nvidia.com/gpu", 40 << 30, "*h100*"}, "screen": {Count: AllGPUs},
		"none": {}}, wishes); diff != "" {
		t.Errorf("wishes: %s", diff)
	}
	for name, want := range map[string]Sharing{"nvidia.com/gpu=0": Shared, "nvidia.com/gpu=0:1": Exclusive,
		"x.org/render=card0": Open, "x.org/other=1": Exclusive} {
		if got := p.GPUs.Rule("x.org/unknown=1", name).Sharing; got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if got := mustParse(t, smallest).GPUs.MaxPerUser; got != Infinity {
		t.Errorf("without [gpus] the limit of a user is %d", got)
	}
}

func TestSuits(t *testing.T) {
	h100 := func(w GPUWish) bool {
		return w.Suits("nvidia.com/gpu", []string{"nvidia.com/gpu=0", "nvidia.com/gpu=GPU-1"}, 80<<30,
			"NVIDIA H100 80GB/PCIe")
	}
	tests := map[string]struct {
		wish GPUWish
		want bool
	}{
		"any":            {GPUWish{Count: 1}, true},
		"kind":           {GPUWish{Kind: "nvidia.com/gpu"}, true},
		"other kind":     {GPUWish{Kind: "amd.com/gpu"}, false},
		"vendor pattern": {GPUWish{Kind: "*/gpu"}, true},
		"name":           {GPUWish{Kind: "nvidia.com/gpu=[0-3]"}, true},
		"alias":          {GPUWish{Kind: "nvidia.com/gpu=GPU-*"}, true},
		"mig":            {GPUWish{Kind: "nvidia.com/gpu=*:*"}, false},
		"memory":         {GPUWish{Memory: 80 << 30}, true},
		"more memory":    {GPUWish{Memory: 80<<30 + 1}, false},
		"model":          {GPUWish{Model: "*h100*"}, true},
		"whole model":    {GPUWish{Model: "nvidia h100 80gb/pcie"}, true},
		"other model":    {GPUWish{Model: "*A100*"}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := h100(tt.wish); got != tt.want {
				t.Errorf("suits is %v", got)
			}
		})
	}
	if (GPUWish{Memory: 1}).Suits("a.b/c", nil, 0, "") || (GPUWish{Model: "*x*"}).Suits("a.b/c", nil, 0, "") {
		t.Error("an unknown memory or model suits a wish for one")
	}
}

func TestGPUErrors(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"unknown key": {"[gpus]\nmax = 1\n" + smallest, "launcher.toml:2: gpus.max: unknown key"},
		"limit 0": {"[gpus]\nmax_per_user = 0\n" + smallest,
			"launcher.toml:2: gpus.max_per_user: expected a whole number from 1"},
		"no match": {smallest + "[[gpus.device]]\nmatch = [\"a.b/c=*\"]\n[[gpus.device]]\nsharing = \"open\"\n",
			"launcher.toml:5: gpus.device: each [[gpus.device]] needs match"},
		"match all": {smallest + "[[gpus.device]]\nmatch = [\"*\"]\n",
			"launcher.toml:4: gpus.device.match: expected a "},
		"bad pattern": {smallest + "[[gpus.device]]\nmatch = [\"a/b=[\"]\n",
			"launcher.toml:4: gpus.device.match: expected a "},
		"sharing": {smallest + "[[gpus.device]]\nmatch = [\"a/b=*\"]\nsharing = \"yes\"\n",
			"launcher.toml:5: gpus.device.sharing: expected \"exclusive\""},
		"no places": {smallest + "[[gpus.device]]\nmatch = [\"a/b=*\"]\nsharing = \"shared\"\n",
			"launcher.toml:3: gpus.device: sharing = \"shared\" needs places"},
		"places alone": {smallest + "[[gpus.device]]\nmatch = [\"a/b=*\"]\nplaces = 2\n",
			"launcher.toml:3: gpus.device: places counts with"},
		"group's name": {smallest + "[gpus.group.0]\nmax = 1\n",
			"launcher.toml:3: gpus.group.0: expected the name of a Unix group"},
		"group's key": {smallest + "[gpus.group.a]\nmin = 1\n", "launcher.toml:4: gpus.group.a.min: unknown key"},
		"no limit":    {smallest + "[gpus.group.a]\n", "launcher.toml:3: gpus.group.a: it limits nothing"},
		"gpus as text": {smallest + "gpus = \"some\"\n", "launcher.toml:3: profile.a.gpus: expected a whole " +
			"number up to 64, or \"all\""},
		"gpus negative": {smallest + "gpus = -1\n", "launcher.toml:3: profile.a.gpus: expected a whole number up to " +
			"64"},
		"many gpus": {smallest + "gpus = 65\n", "launcher.toml:3: profile.a.gpus: expected a whole number up to " +
			"64"},
		"kind": {smallest + "gpus = 1\ngpu_kind = \"gpu\"\n",
			"launcher.toml:4: profile.a.gpu_kind: expected a kind"},
		"memory": {smallest + "gpus = 1\ngpu_memory = \"40 GB\"\n",
			"launcher.toml:4: profile.a.gpu_memory: expected a size"},
		"memory no end": {smallest + "gpus = 1\ngpu_memory = \"infinity\"\n",
			"launcher.toml:4: profile.a.gpu_memory: expected a size such as \"40G\""},
		"model": {smallest + "gpus = 1\ngpu_model = \"[\"\n",
			"launcher.toml:4: profile.a.gpu_model: expected a pattern"},
		"which, but not": {smallest + "gpu_model = \"*H100*\"\n",
			"launcher.toml:1: profile.a: gpu_kind, gpu_memory and gpu_model say which"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("launcher.toml", []byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
	mustParse(t, "[defaults]\ngpu_kind = \"nvidia.com/gpu\"\n"+smallest)
}
