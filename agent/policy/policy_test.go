package policy

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

const smallest = "[profile.a]\nimage = \"localhost/a\"\n"

func mustParse(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := Parse("launcher.toml", []byte(text))
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return p
}

// TestErrors checks that each mistake is named with its file, line and key.
func TestErrors(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"unknown key":      {"[host]\nclutser = \"/c\"\n" + smallest, "launcher.toml:2: host.clutser: unknown key"},
		"unknown section":  {"[hosts]\nx = 1\n" + smallest, "launcher.toml:1: hosts: unknown section; did you mean"},
		"key of a profile": {smallest + "imgae = \"b\"\n", "launcher.toml:3: profile.a.imgae: unknown key"},
		"syntax":           {"[host\n", "launcher.toml:1: cannot read this as TOML"},
		"twice":            {smallest + "image = \"b\"\n", "launcher.toml:3: "},
		"type": {"[host]\ncreate_home = \"yes\"\n" + smallest,
			"launcher.toml:2: host.create_home: expected true or false"},
		"number as text": {"[host]\nmin_uid = \"x\"\n" + smallest,
			"launcher.toml:2: host.min_uid: expected a whole number from 1"},
		"negative": {"[host]\nmin_uid = -1\n" + smallest,
			"launcher.toml:2: host.min_uid: expected a whole number"},
		"port": {"[host]\nhub_api_port = 99999\n" + smallest,
			"launcher.toml:2: host.hub_api_port: expected a port"},
		"port 0": {"[host]\nhub_api_port = 0\n" + smallest,
			"launcher.toml:2: host.hub_api_port: expected a port"},
		"root allowed": {"[host]\nmin_uid = 0\n" + smallest, "launcher.toml:2: host.min_uid: expected"},
		"relative path": {"[host]\ncluster = \"cluster\"\n" + smallest,
			"launcher.toml:2: host.cluster: expected an absolute path"},
		"comma in path": {"[host]\ncluster = \"/a,readonly=false\"\n" + smallest,
			"launcher.toml:2: host.cluster: expected an absolute path"},
		"home for all": {"[host]\nhome = \"/cluster\"\n" + smallest,
			"launcher.toml:2: host.home: expected an absolute path with {user}"},
		"home for two": {"[host]\nhome = \"/{user}/x\"\n" + smallest, "launcher.toml:2: host.home: expected"},
		"user": {"[host]\ndeny_users = [\"../x\"]\n" + smallest,
			"launcher.toml:2: host.deny_users: expected a list of user names"},
		"group": {"[host]\nunix_groups = [\"0\"]\n" + smallest,
			"launcher.toml:2: host.unix_groups: expected a list of Unix groups"},
		"size": {smallest + "memory_max = \"16 GB\"\n",
			"launcher.toml:3: profile.a.memory_max: expected a size"},
		"size 0": {smallest + "memory_max = \"0\"\n",
			"launcher.toml:3: profile.a.memory_max: expected a size"},
		"size overflow": {smallest + "memory_max = \"99999999T\"\n",
			"launcher.toml:3: profile.a.memory_max: expected a size"},
		"quota": {smallest + "cpu_quota = \"4\"\n",
			"launcher.toml:3: profile.a.cpu_quota: expected a percentage"},
		"tasks":      {smallest + "tasks_max = -5\n", "launcher.toml:3: profile.a.tasks_max: expected a whole number"},
		"tasks 0":    {smallest + "tasks_max = 0\n", "launcher.toml:3: profile.a.tasks_max: expected a whole number"},
		"bare quota": {smallest + "cpu_quota = 4\n", "launcher.toml:3: profile.a.cpu_quota: expected a percentage"},
		"bare time":  {smallest + "stop_timeout = 20\n", "launcher.toml:3: profile.a.stop_timeout: expected a time"},
		"bare mask":  {"[host]\numask = 18\n" + smallest, "launcher.toml:2: host.umask: expected an octal"},
		"bare path":  {"[host]\ncluster = 5\n" + smallest, "launcher.toml:2: host.cluster: expected an absolute path"},
		"control": {smallest + "description = \"a\\nb\"\n",
			"launcher.toml:3: profile.a.description: expected text; it holds a control"},
		"variable": {smallest + "env = { A = \"a\\nb\" }\n", "expected text without control characters"},
		"time": {smallest + "start_timeout = \"soon\"\n",
			"launcher.toml:3: profile.a.start_timeout: expected a time"},
		"option as image": {"[profile.a]\nimage = \"--privileged\"\n",
			"launcher.toml:2: profile.a.image: expected an image name"},
		"transport": {"[profile.a]\nimage = \"docker-archive:/etc/shadow\"\n",
			"launcher.toml:2: profile.a.image: expected an image name"},
		"pull": {smallest + "pull = \"always\"\n",
			"launcher.toml:3: profile.a.pull: expected \"missing\" or \"never\""},
		"no image":   {"[profile.a]\ndefault = true\n", "launcher.toml:1: profile.a.image: it is missing"},
		"no profile": {"[host]\n", "launcher.toml: profile: there is none"},
		"no default": {smallest + "[profile.b]\nimage = \"b\"\n", "profile: write default = true"},
		"two defaults": {smallest + "default = true\n[profile.b]\nimage = \"b\"\ndefault = true\n",
			"profile: write default = true"},
		"profile name": {"[profile.\"a b\"]\nimage = \"x\"\n", "expected a name of 1 to 40"},
		"hub's variable": {smallest + "env = { JUPYTERHUB_USER = \"bob\" }\n",
			"profile.a.env.JUPYTERHUB_USER: expected the name of a variable"},
		"mount":        {smallest + "[[mount]]\nsource = \"/data\"\n", "mount: each [[mount]] needs"},
		"few ids":      {"[subids]\ncount = 10\n" + smallest, "launcher.toml:2: subids.count: expected"},
		"too high ids": {"[subids]\nfirst = 4294967000\n" + smallest, "subids: first + count is beyond"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("launcher.toml", []byte(tt.text))
			if err == nil || !strings.HasPrefix(err.Error(), "launcher.toml") ||
				!strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
}

// TestDefaults checks what a profile takes from [defaults] and that profiles share nothing.
func TestDefaults(t *testing.T) {
	p := mustParse(t, `
[defaults]
memory_max = "2G"
args = ["--x"]
env = { A = "1" }
[profile.plain]
image = "quay.io/jupyter/base-notebook:2025-01-01"
default = true
[profile.own]
image = "b@sha256:00"
args = ["--y", "--z"]
env = { B = "2" }
command = []
cpu_quota = "150%"
tasks_max = 10
memory_max = "infinity"
archive = "/srv/b.tar"
`)
	if names := []string{p.Profiles[0].Name, p.Profiles[1].Name}; !cmp.Equal(names, []string{"plain", "own"}) {
		t.Errorf("order of profiles: %v; want the default first", names)
	}
	plain, own := p.Profiles[0], p.Profiles[1]
	type taken struct {
		Memory, CPU, Tasks uint64
		Args, Command      []string
		Env                map[string]string
		Pull               Pull
	}
	of := func(q Profile) taken {
		return taken{q.MemoryMax, q.CPUQuota, q.TasksMax, q.Args, q.Command, q.Env, q.Pull}
	}
	if diff := cmp.Diff(taken{2 << 30, Infinity, Infinity, []string{"--x"}, []string{"jupyterhub-singleuser"},
		map[string]string{"A": "1"}, PullMissing}, of(plain)); diff != "" {
		t.Errorf("plain: %s", diff)
	}
	if diff := cmp.Diff(taken{Infinity, 1500000, 10, []string{"--y", "--z"}, []string{},
		map[string]string{"A": "1", "B": "2"}, PullNever}, of(own)); diff != "" {
		t.Errorf("own: %s", diff)
	}
}

// TestShipped checks that the policy of the package can be used and that it sets what the table says.
func TestShipped(t *testing.T) {
	data, err := os.ReadFile("../../packaging/launcher.toml")
	if err != nil {
		t.Fatal(err)
	}
	p := mustParse(t, string(data))
	if q := p.Profiles[0]; q.Name != "scipy" || q.MemoryMax != 16<<30 || q.CPUQuota != 4_000_000 || q.TasksMax != 4096 {
		t.Errorf("the shipped profile is %+v", q)
	}
}

func TestPermit(t *testing.T) {
	p := mustParse(t, `
[host]
deny_users = ["mallory"]
unix_groups = ["cgs", "staff"]
[profile.a]
image = "a"
default = true
[profile.gpu]
image = "g"
unix_groups = ["gpu"]
`)
	broken := errors.New("no answer")
	tests := map[string]struct {
		user    string
		uid     uint32
		groups  string
		profile string
		want    string // profile, or part of the refusal
		ok      bool
	}{
		"default":           {"alice", 5001, "cgs", "", "a", true},
		"second group":      {"alice", 5001, "staff", "a", "a", true},
		"group's profile":   {"alice", 5001, "cgs gpu", "gpu", "gpu", true},
		"not in group":      {"carol", 5003, "", "", "not in the Unix group cgs, staff", false},
		"not for them":      {"alice", 5001, "cgs", "gpu", "may not use profile gpu", false},
		"system account":    {"daemon", 1, "cgs", "", "accounts below 1000", false},
		"root":              {"root", 0, "cgs", "", "accounts below 1000", false},
		"denied":            {"mallory", 5010, "cgs", "", "deny_users", false},
		"no such profile":   {"alice", 5001, "cgs", "x", "no profile \"x\"", false},
		"name service away": {"alice", 5001, "broken", "", "no answer", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			user, err := ident.ParseUser(tt.user)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Permit(Person{user, tt.uid, func(g string) (bool, error) {
				if tt.groups == "broken" {
					return false, broken
				}
				return strings.Contains(" "+tt.groups+" ", " "+g+" "), nil
			}}, tt.profile)
			if tt.ok && (err != nil || got.Name != tt.want) {
				t.Errorf("got %q, %v; want %q", got.Name, err, tt.want)
			}
			if !tt.ok && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
}

// FuzzParse checks that nothing panics and that what is accepted keeps the rules that
// the unit package relies on.
func FuzzParse(f *testing.F) {
	data, err := os.ReadFile("../../packaging/launcher.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(smallest))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("f", data)
		if err != nil {
			return
		}
		for _, q := range p.Profiles {
			if q.Image == "" || q.Image[0] == '-' || strings.ContainsAny(q.Image, " ,\n") ||
				strings.ContainsAny(q.Archive, ",\n\"") {
				t.Errorf("accepted image %q, archive %q", q.Image, q.Archive)
			}
		}
		for _, path := range []string{p.Host.Cluster, p.Host.Home} {
			if strings.ContainsAny(path, ",\"\n\\") {
				t.Errorf("accepted path %q", path)
			}
		}
		if p.Host.MinUID == 0 {
			t.Error("root may have a server")
		}
	})
}
