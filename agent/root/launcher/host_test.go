package launcher

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

func account(t *testing.T, name string, uid uint32) accounts.Account {
	t.Helper()
	u, err := ident.ParseUser(name)
	if err != nil {
		t.Fatal(err)
	}
	return accounts.Account{User: u, UID: uid, GID: uint32(os.Getgid())}
}

func ids(t *testing.T, files map[string]string) (subIDs, string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	return subIDs{etc: root, state: root}, dir
}

func TestSubIDs(t *testing.T) {
	rules := policy.SubIDs{First: 1000, Count: 100}
	tests := map[string]struct {
		files            map[string]string
		uids, gids, code string
	}{
		"first": {nil, "alice:1000:100\n", "alice:1000:100\n", ""},
		"kept by name": {map[string]string{"subuid": "alice:5:9\n", "subgid": "alice:7:9\n"}, "alice:5:9\n",
			"alice:7:9\n", ""},
		"kept by uid": {map[string]string{"subuid": "5001:5:9\n", "subgid": "5001:7:9\n"}, "5001:5:9\n",
			"5001:7:9\n", ""},
		"one is missing": {map[string]string{"subuid": "alice:5:9\n"}, "alice:5:9\n", "alice:1000:100\n", ""},
		"no line end": {map[string]string{"subuid": "bob:1:1", "subgid": "bob:1:1"}, "bob:1:1\nalice:1000:100\n",
			"bob:1:1\nalice:1000:100\n", ""},
		"taken": {map[string]string{"subuid": "bob:950:100\n", "subgid": "carol:1099:1\n"},
			"bob:950:100\nalice:1100:100\n", "carol:1099:1\nalice:1100:100\n", ""},
		"taken in ledger": {map[string]string{"subids": "gone:1000:100\n"}, "alice:1100:100\n", "alice:1100:100\n",
			""},
		"gap": {map[string]string{"subids": "a:900:100\nb:1100:50\n"}, "alice:1000:100\n",
			"alice:1000:100\n", ""},
		"nothing left":     {map[string]string{"subids": "a:1000:4294966200\n"}, "", "", "NoSubIDs"},
		"own uid is given": {map[string]string{"subuid": "bob:5000:10\n"}, "bob:5000:10\n", "", "NoSubIDs"},
		"comments and junk": {map[string]string{"subuid": "# x\nbob:x:y\nbob:1000\n"},
			"# x\nbob:x:y\nbob:1000\nalice:1000:100\n", "alice:1000:100\n", ""},
		"stale lock": {map[string]string{"subuid.lock": "999999999\x00"}, "alice:1000:100\n", "alice:1000:100\n",
			""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, dir := ids(t, tt.files)
			err := s.ensure(t.Context(), account(t, "alice", 5001), rules)
			if string(codeOf(err)) != tt.code || (err != nil) != (tt.code != "") {
				t.Fatalf("error is %v", err)
			}
			for file, want := range map[string]string{"subuid": tt.uids, "subgid": tt.gids} {
				got, err := os.ReadFile(filepath.Join(dir, file))
				if err != nil && want != "" {
					t.Error(err)
				}
				if diff := cmp.Diff(want, string(got)); diff != "" {
					t.Errorf("%s: %s", file, diff)
				}
			}
			if info, err := os.Stat(filepath.Join(dir, "subuid")); tt.files["subuid"] != "" &&
				(err != nil || info.Mode().Perm() != 0o640) {
				t.Errorf("the mode has changed: %v, %v", info.Mode(), err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "sub*.lock*")); len(left) != 0 {
				t.Errorf("locks are left: %v", left)
			}
		})
	}
}

// TestSubIDsNeverAgain gives ranges to many, lets the files lose them, and checks that
// none is given a second time.
func TestSubIDsNeverAgain(t *testing.T) {
	s, dir := ids(t, nil)
	given := map[string]string{}
	for i := range 30 {
		name := fmt.Sprintf("u%d", i)
		if err := s.ensure(t.Context(), account(t, name, uint32(100+i)),
			policy.SubIDs{First: 70000, Count: 65536}); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, "subuid"))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		r := strings.SplitN(lines[len(lines)-1], ":", 2)
		if other, again := given[r[1]]; again {
			t.Fatalf("%s got the range of %s", name, other)
		}
		given[r[1]] = name
		if i%3 == 0 { // as userdel(8) does
			for _, f := range []string{"subuid", "subgid"} {
				if err := os.Remove(filepath.Join(dir, f)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestSubIDsLocked checks that the files are left alone while another process holds them.
func TestSubIDsLocked(t *testing.T) {
	s, dir := ids(t, map[string]string{"subgid.lock": fmt.Sprintf("%d\x00", os.Getppid())})
	ctx := t.Context()
	tries := 0
	err := retry(ctx, func() error {
		if tries++; tries < 3 {
			return s.lockFile("subgid.lock")
		}
		return nil
	})
	if err != nil || tries != 3 {
		t.Errorf("%d tries, %v", tries, err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "subgid.lock")); err != nil ||
		!strings.HasPrefix(string(data), fmt.Sprint(os.Getppid())) {
		t.Errorf("the other's lock is now %q, %v", data, err)
	}
}

func FuzzParseRanges(f *testing.F) {
	f.Add([]byte("alice:1:2\n# x\nbob:4294967295:4294967295"))
	f.Fuzz(func(t *testing.T, data []byte) {
		seen := parseRanges(data)
		r, ok := free(seen, policy.SubIDs{First: 524288, Count: 65536})
		if !ok {
			return
		}
		for _, s := range seen {
			if s.overlaps(r) {
				t.Errorf("%v overlaps %v", r, s)
			}
		}
	})
}

func TestHome(t *testing.T) {
	dir := t.TempDir()
	me := uint32(os.Getuid())
	for name, do := range map[string]func(string) error{
		"alice": func(p string) error { return os.Mkdir(p, 0o700) },
		"frank": func(p string) error { return os.Symlink(filepath.Join(dir, "alice"), p) },
		"file":  func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"link":  func(p string) error { return os.Symlink(dir, p) },
	} {
		if err := do(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		path   string
		uid    uint32
		create bool
		want   string
	}{
		"own":                {"alice", me, false, ""},
		"another's":          {"alice", me + 1, true, "belongs to uid"},
		"link":               {"frank", me, true, "symbolic link"},
		"through a link":     {"link/alice", me, true, "symbolic link"},
		"file":               {"file", me, true, "not a directory"},
		"missing":            {"gail", me, false, "does not let the launcher make it\nhint: install -d"},
		"parent missing":     {"no/gail", me, true, "is missing"},
		"open parent":        {"open/gail", me, true, "others than root may write"},
		"parent is a link":   {"link/new", me, true, "symbolic link"},
		"made by the policy": {"new", me, true, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if name == "made by the policy" && me != 0 {
				t.Skip("only root may make homes")
			}
			h := home{filepath.Join(dir, tt.path), account(t, "alice", tt.uid), tt.create, 0o750, "home directory"}
			err := h.ensure()
			if (err == nil) != (tt.want == "") || err != nil &&
				(codeOf(err) != launcherbus.HomeNotCovered || !strings.Contains(hint.Text(err), tt.want)) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
			if err == nil && tt.create {
				if info, err := os.Lstat(h.path); err != nil || info.Mode().Perm() != 0o750 || !info.IsDir() {
					t.Errorf("made %v, %v", info, err)
				}
			}
		})
	}
}

// TestMembersLinks checks that what a member puts into their directory leads root nowhere.
func TestMembersLinks(t *testing.T) {
	h := newHost(t)
	k := h.key("alice", "")
	outside := filepath.Join(h.dir, "outside")
	if err := os.MkdirAll(filepath.Join(outside, "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := start(h, k); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(h.dir, "run/servers/alice/_")
	for name, target := range map[string]string{"nb.sock": outside, "up": "../../..",
		"deep": filepath.Join(outside, "deep")} {
		if err := os.Symlink(target, filepath.Join(socket, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.l.Stop(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	h.l.Close()
	if _, err := os.Stat(filepath.Join(outside, "deep")); err != nil {
		t.Errorf("root followed a member's link: %v", err)
	}
	if left := leftIn(t, h.dir); left != "" {
		t.Errorf("left: %s", left)
	}
}
