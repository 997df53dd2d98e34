package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// mountAt writes a global mount.
func mountAt(source, target, more string) string {
	return "[[mount]]\nsource = \"" + source + "\"\ntarget = \"" + target + "\"\n" + more
}

// TestMountErrors checks that no mount can cover what is not the administrator's to cover,
// and that each mistake is told with its line.
func TestMountErrors(t *testing.T) {
	const profiles = "[profile.a.mount]\n"
	tests := map[string]struct{ text, want string }{
		"unknown key": {mountAt("/d", "/d", "readonly = true\n"),
			"launcher.toml:6: mount.readonly: unknown key"},
		"unknown key, profile": {"[[profile.a.mount]]\nsource = \"/d\"\ntarget = \"/d\"\nro = true\n",
			"launcher.toml:6: profile.a.mount.ro: unknown key"},
		"of the defaults": {"[[defaults.mount]]\nsource = \"/d\"\ntarget = \"/d\"\n",
			"launcher.toml:3: defaults.mount: mounts of every container are written as [[mount]]"},
		"not a list": {profiles, "launcher.toml:3: "},
		"no target, profile": {"[[profile.a.mount]]\nsource = \"/d\"\n",
			"launcher.toml:3: profile.a.mount: each [[profile.a.mount]] needs"},
		"the second has none": {mountAt("/a", "/a", "") + mountAt("/b", "/b", "") + "[[mount]]\nsource = \"/c\"\n",
			"launcher.toml:9: mount: each"},
		"relative":            {mountAt("d", "/d", ""), "launcher.toml:4: mount.source: expected an absolute path"},
		"up":                  {mountAt("/srv/../etc", "/d", ""), "launcher.toml:4: mount.source: expected"},
		"the root":            {mountAt("/", "/d", ""), "launcher.toml:4: mount.source: expected"},
		"option":              {mountAt("/d,rw", "/d", ""), "launcher.toml:4: mount.source: expected"},
		"below a member's":    {mountAt("/scratch/{user}/x", "/d", ""), "launcher.toml:4: mount.source: expected"},
		"device":              {mountAt("/dev/fuse", "/d", ""), "launcher.toml:4: mount.source: expected"},
		"part of a name":      {mountAt("/scratch/x{user}", "/d", ""), "launcher.toml:4: mount.source: expected"},
		"members in the root": {mountAt("/{user}", "/d", ""), "launcher.toml:4: mount.source: expected"},
		"create without a member": {mountAt("/scratch", "/d", "create = true\n"),
			"launcher.toml:3: mount: create = true makes directories of members alone"},
		"group": {mountAt("/d", "/d", "unix_groups = [\"-x\"]\n"),
			"launcher.toml:6: mount.unix_groups: expected a list of Unix groups"},
		"target root":       {mountAt("/d", "/", ""), "launcher.toml:5: mount.target: expected"},
		"target proc":       {mountAt("/d", "/proc", ""), "launcher.toml:5: mount.target: expected"},
		"target in proc":    {mountAt("/d", "/proc/sys/kernel", ""), "launcher.toml:5: mount.target: expected"},
		"target sys":        {mountAt("/d", "/sys/fs/cgroup", ""), "launcher.toml:5: mount.target: expected"},
		"target dev":        {mountAt("/d", "/dev/shm", ""), "launcher.toml:5: mount.target: expected"},
		"target the socket": {mountAt("/d", "/run/jupyter", ""), "launcher.toml:5: mount.target: expected"},
		"target in the socket's": {mountAt("/d", "/run/jupyter/nb.sock", ""),
			"launcher.toml:5: mount.target: expected"},
		"target by another name":  {mountAt("/d", "/var/run/jupyter", ""), "launcher.toml:5: mount.target: expected"},
		"target run":              {mountAt("/d", "/run", ""), "launcher.toml:5: mount.target: expected"},
		"target etc":              {mountAt("/d", "/etc", ""), "launcher.toml:5: mount.target: expected"},
		"target passwd":           {mountAt("/d", "/etc/passwd", ""), "launcher.toml:5: mount.target: expected"},
		"target resolver":         {mountAt("/d", "/etc/resolv.conf", ""), "launcher.toml:5: mount.target: expected"},
		"target {user} in a part": {mountAt("/d", "/d/x{user}", ""), "launcher.toml:5: mount.target: expected"},
		"target /{user}":          {mountAt("/d", "/{user}", ""), "launcher.toml:5: mount.target: expected"},
		"target shared directory": {mountAt("/d", "/cluster", ""),
			"launcher.toml:3: mount: the target /cluster would cover"},
		"target homes": {"[host]\nhome = \"/srv/homes/{user}\"\n" + mountAt("/d", "/srv", ""),
			"launcher.toml:5: mount: the target /srv would cover"},
		"target home": {mountAt("/d", "/cluster/{user}", ""),
			"launcher.toml:3: mount: the target /cluster/{user} would cover"},
		"twice": {mountAt("/d", "/d", "") + mountAt("/e", "/d", ""),
			"launcher.toml:6: mount: the target /d is that of another"},
		"twice, profile": {mountAt("/d", "/d", "") + "[[profile.a.mount]]\nsource = \"/e\"\ntarget = \"/d\"\n",
			"launcher.toml:6: profile.a.mount: the target /d is that of another"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("launcher.toml", []byte(smallest+tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
}

// TestMountsFor checks who sees what, and where.
func TestMountsFor(t *testing.T) {
	p := mustParse(t, smallest+"default = true\n"+
		mountAt("/data", "/data", "")+
		mountAt("/srv/lab", "/srv/lab", "unix_groups = [\"lab\", \"guests\"]\nread_only = false\n")+
		"[[profile.a.mount]]\nsource = \"/scratch/{user}\"\ntarget = \"/scratch/{user}/own\"\nread_only = "+
		"false\ncreate = true\n"+
		"[profile.b]\nimage = \"b\"\n[[profile.b.mount]]\nsource = \"/x\"\ntarget = \"/x\"\nunix_groups = [\"gone\"]\n"+
		"[profile.c]\nimage = \"c\"\n[[profile.c.mount]]\nsource = \"/x\"\ntarget = \"/cluster/bob\"\n")
	tests := map[string]struct {
		user, groups, profile string
		want                  string // source>target for each, or part of the error
	}{
		"member": {"alice", "lab", "a", "/data>/data:ro /srv/lab>/srv/lab /scratch/alice>/scratch/alice/own+"},
		"second group": {"alice", "guests", "a", "/data>/data:ro /srv/lab>/srv/lab " +
			"/scratch/alice>/scratch/alice/own+"},
		"others":        {"bob", "", "a", "/data>/data:ro /scratch/bob>/scratch/bob/own+"},
		"unknown group": {"bob", "", "b", "no group gone"},
		"another's":     {"alice", "", "c", "/data>/data:ro /x>/cluster/bob:ro"},
		"over the home": {"bob", "", "c", "would cover the home directory /cluster/bob"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			user, err := ident.ParseUser(tt.user)
			if err != nil {
				t.Fatal(err)
			}
			who := Person{user, 5001, func(g string) (bool, error) {
				if g == "gone" {
					return false, errors.New("no group gone")
				}
				return strings.Contains(tt.groups, g), nil
			}}
			profile, err := p.Permit(who, tt.profile)
			if err != nil {
				t.Fatal(err)
			}
			list, err := p.MountsFor(who, profile)
			got := shown(list)
			if err != nil {
				got = err.Error()
			}
			if err != nil && !strings.Contains(got, tt.want) || err == nil && got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if diff := cmp.Diff([]Mount{{Source: "/scratch/{user}", Target: "/scratch/{user}/own", User: true, Create: true,
		UnixGroups: []string{}}}, p.Profiles[0].Mounts); diff != "" {
		t.Errorf("the policy's own has changed: %s", diff)
	}
}

func shown(list []Mount) string {
	var words []string
	for _, m := range list {
		word := m.Source + ">" + m.Target
		if m.ReadOnly {
			word += ":ro"
		}
		if m.Create {
			word += "+"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}
