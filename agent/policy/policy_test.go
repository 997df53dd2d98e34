package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

const good = `
[host]
create_home = true
unix_groups = ["cgs"]

[defaults]
memory_max = "16G"
env = { A = "1" }

[profile.small]
default = true
image = "quay.io/jupyter/base-notebook:latest"
env = { B = "2" }

[profile.big]
display_name = "Big"
image = "localhost/big:1"
memory_max = "infinity"
cpu_quota = "400%"
command = []
start_timeout = "90s"
`

func TestParse(t *testing.T) {
	p, err := Parse("launcher.toml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	name, small, ok := p.Profile("")
	if !ok || name != "small" || small.MemoryMax != 16<<30 || small.DisplayName != "small" || len(*small.Command) != 1 || !*small.AllowSudo {
		t.Errorf("the default profile is %q: %+v", name, small)
	}
	if diff := cmp.Diff(map[string]string{"A": "1", "B": "2"}, small.Env); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	_, big, _ := p.Profile("big")
	if big.MemoryMax != Infinity || big.CPUQuota != 400 || len(*big.Command) != 0 || time.Duration(big.StartTimeout) != 90*time.Second {
		t.Errorf("big is %+v", big)
	}
	alice, _ := ident.ParseUser("alice")
	if home := p.Host.HomeOf(alice); home != "/cluster/alice" {
		t.Errorf("home of alice is %s", home)
	}
}

func TestParseRefuses(t *testing.T) {
	const profile = "[profile.a]\nimage = \"x\"\n"
	tests := map[string]struct{ text, want string }{
		"unknown key":           {profile + "imagee = \"y\"\n", `launcher.toml:3: unknown key "profile.a.imagee"`},
		"unknown section":       {profile + "[hosts]\n", "launcher.toml:3: unknown key"},
		"wrong type":            {"[host]\nmin_uid = \"x\"\n" + profile, "launcher.toml:2"},
		"no TOML":               {"[host\n", "launcher.toml:1"},
		"no profile":            {"", "nothing to start"},
		"no image":              {"[profile.a]\n", "profile.a: image"},
		"image with an option":  {"[profile.a]\nimage = \"--privileged\"\n", "profile.a: image"},
		"two defaults":          {profile + "default = true\n[profile.b]\nimage=\"y\"\ndefault = true\n", "2 profiles have default"},
		"no default":            {profile + "[profile.b]\nimage=\"y\"\n", "0 profiles have default"},
		"relative home":         {"[host]\nhome = \"cluster/{user}\"\n" + profile, "host.home"},
		"home without user":     {"[host]\nhome = \"/cluster\"\n" + profile, "host.home"},
		"home that climbs":      {"[host]\nhome = \"/cluster/../{user}\"\n" + profile, "host.home"},
		"cluster is root":       {"[host]\ncluster = \"/\"\n" + profile, "host.cluster"},
		"comma in a mount":      {profile + "[[mount]]\nsource = \"/a,dst=/etc\"\ntarget = \"/b\"\n", "mount"},
		"memory":                {profile + "memory_max = \"lots\"\n", "launcher.toml:3"},
		"memory overflows":      {profile + "memory_max = \"99999999999999T\"\n", "launcher.toml:3"},
		"cpu":                   {profile + "cpu_quota = \"4\"\n", "launcher.toml:3"},
		"duration":              {profile + "start_timeout = \"-1s\"\n", "launcher.toml:3"},
		"pull":                  {profile + "pull = \"always\"\n", "pull"},
		"hub variable":          {profile + "env = { JUPYTERHUB_USER = \"bob\" }\n", "env.JUPYTERHUB_USER"},
		"newline in a variable": {profile + "env = { A = \"x\\ny\" }\n", "env.A"},
		"root":                  {"[host]\nmin_uid = 0\n" + profile, "min_uid"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("launcher.toml", []byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse("launcher.toml", []byte(text))
		if err == nil && len(p.problems()) > 0 {
			t.Errorf("a policy with problems was taken: %v", p.problems())
		}
	})
}
