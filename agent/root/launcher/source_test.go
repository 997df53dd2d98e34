package launcher

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// member is the uid of who plays tricks in the tests.
const member = 4242

// rootsDirectory returns a directory that is root's up to "/", as t.TempDir is not, with things in
// it as a member and an administrator could have left them.
func rootsDirectory(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can make what only root may write; test/e2e does it too")
	}
	dir, err := os.MkdirTemp("/var/lib", "gifford-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	at := func(name string) string { return filepath.Join(dir, name) }
	err = errors.Join(
		os.Chmod(dir, 0o755),
		os.MkdirAll(at("data/deep"), 0o755), os.WriteFile(at("data/file"), nil, 0o644),
		os.Mkdir(at("alice"), 0o755), os.Mkdir(at("alice/sub"), 0o755), os.Chown(at("alice"), member, member),
		os.Mkdir(at("bob"), 0o755), os.Chown(at("bob"), member+1, member+1),
		os.Mkdir(at("group"), 0o755), os.Mkdir(at("group/sub"), 0o755), os.Chmod(at("group"), 0o775),
		os.Mkdir(at("open"), 0o755), os.Mkdir(at("open/sub"), 0o755), os.Chmod(at("open"), 0o777),
		os.Symlink("/etc", at("link")), os.Symlink(at("data"), at("inner")), os.Symlink("/etc", at("alice/out")),
		os.Symlink("../data", at("data/up")), os.Symlink("loop", at("loop")),
		os.Symlink("/proc/self/root", at("magic")),
		os.Symlink("/etc/shadow", at("data/shadow")),
	)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSources tries what a member can put in the way of a mount, at each level of its path.
func TestSources(t *testing.T) {
	dir := rootsDirectory(t)
	tests := map[string]struct{ source, want string }{
		"directory":                {"data", ""},
		"deep directory":           {"data/deep", ""},
		"file":                     {"data/file", ""},
		"a member's, not below it": {"alice", ""},
		"a group's, not below it":  {"group", ""},
		"below a member's": {"alice/sub", "others than root may write to that directory\nhint: chown root " +
			dir + "/alice"},
		"below a group's":             {"group/sub", "cannot trust a mount's source below " + dir + "/group"},
		"below an open one":           {"open/sub", "cannot trust a mount's source below " + dir + "/open"},
		"link at the end":             {"link", "the symbolic link " + dir + "/link"},
		"link to the right place":     {"inner", "the symbolic link " + dir + "/inner"},
		"link in the middle":          {"inner/deep", "the symbolic link " + dir + "/inner"},
		"link to a directory outside": {"link/ssh", "the symbolic link " + dir + "/link"},
		"a member's link":             {"alice/out", "others than root may write"},
		"relative link":               {"data/up/deep", "the symbolic link " + dir + "/data/up"},
		"loop":                        {"loop", "the symbolic link"},
		"magic link":                  {"magic/etc", "the symbolic link"},
		"link to a file":              {"data/shadow", "the symbolic link"},
		"missing":                     {"data/none", "is missing: there is no " + dir + "/data/none\nhint: make it"},
		"missing directory":           {"none/data", "is missing: there is no " + dir + "/none"},
		"file in the middle":          {"data/file/x", "leads through " + dir + "/data/file, which is not a directory"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := checkSource(policy.Mount{Source: filepath.Join(dir, tt.source), Target: "/x"},
				account(t, "alice", member))
			wantRefusal(t, err, tt.want)
		})
	}
	t.Run("in a directory for all", func(t *testing.T) {
		err := checkSource(policy.Mount{Source: t.TempDir(), Target: "/x"}, account(t, "alice", member))
		wantRefusal(t, err, "below /tmp")
	})
}

func wantRefusal(t *testing.T, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && (codeOf(err) != launcherbus.MountRefused ||
		!strings.Contains(hint.Text(err), want)) {
		t.Errorf("error is %v, want %q", err, want)
	}
}

// TestSourcesOfMembers checks directories of members' own, and those that root makes for them.
func TestSourcesOfMembers(t *testing.T) {
	dir := rootsDirectory(t)
	tests := map[string]struct {
		source string
		create bool
		want   string
	}{
		"own":                   {"alice", true, ""},
		"another's":             {"bob", true, "cannot mount /x: the directory " + dir + "/bob belongs to uid 4243"},
		"root's":                {"data", true, "belongs to uid 0"},
		"file":                  {"data/file", true, "is not a directory"},
		"link":                  {"link", true, "symbolic link"},
		"made":                  {"data/new", true, ""},
		"not made":              {"data/other", false, "does not let the launcher make it"},
		"in a group's":          {"group/new", true, "others than root may write"},
		"in a member's":         {"alice/new", true, "others than root may write"},
		"in a directory linked": {"inner/new", true, "the symbolic link " + dir + "/inner"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			source := filepath.Join(dir, tt.source)
			_, before := os.Lstat(source)
			err := checkSource(policy.Mount{Source: source, Target: "/x", User: true, Create: tt.create},
				account(t, "alice", member))
			wantRefusal(t, err, tt.want)
			info, after := os.Lstat(source)
			if tt.want != "" && (before == nil) != (after == nil) {
				t.Errorf("something was made of %s: %v", source, info)
			}
			if tt.want == "" && (after != nil || nofollow.Owner(info) != member || name == "made" &&
				info.Mode().Perm() != perUserMode) {
				t.Errorf("found %v, %v", info, after)
			}
		})
	}
}

// TestMountRefused checks that nothing is started, and nothing is left, when a source is
// not as it must be.
func TestMountRefused(t *testing.T) {
	h := newHost(t)
	h.text += "[[profile.lab.mount]]\nsource = \"" + h.dir + "\"\ntarget = \"/x\"\n"
	if err := start(h, h.key("alice", "")); codeOf(err) != launcherbus.MountRefused {
		t.Errorf("error is %v", err)
	}
	if left := leftIn(t, h.dir); left != "" || len(h.units) != 0 {
		t.Errorf("left: %s, units %v", left, h.units)
	}
}

// TestMountOfGroup checks that a group that the host does not know is no group that lets
// everybody see.
func TestMountOfGroup(t *testing.T) {
	h := newHost(t)
	h.text += "[[mount]]\nsource = \"/usr/share\"\ntarget = \"/x\"\nunix_groups = [\"nosuch\"]\n"
	if err := start(h, h.key("alice", "")); codeOf(err) != launcherbus.Refused ||
		!strings.Contains(hint.Text(err), "getent group 'nosuch'") {
		t.Errorf("error is %v", err)
	}
}
