package launcher

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/policy"
)

const smallPolicy = "[profile.lab]\nimage = \"a\"\n"

// TestPolicyTooLarge checks that a policy beyond the bound is refused and not cut: what is cut off could be what
// forbids something.
func TestPolicyTooLarge(t *testing.T) {
	filled := func(size int) io.Reader {
		return strings.NewReader(smallPolicy + strings.Repeat("#", size-len(smallPolicy)))
	}
	if p, err := readPolicy("x", filled(maxPolicy)); err != nil || len(p.Profiles) != 1 {
		t.Errorf("the largest policy: %v", err)
	}
	for _, size := range []int{maxPolicy + 1, 3 * maxPolicy} {
		if _, err := readPolicy("x", filled(size)); err == nil ||
			!strings.Contains(err.Error(), "x has more than 1048576 bytes") {
			t.Errorf("a policy of %d bytes: %v", size, err)
		}
	}
	lost := errors.New("lost")
	if _, err := readPolicy("x", iotest.ErrReader(lost)); !errors.Is(err, lost) {
		t.Errorf("a policy that cannot be read: %v", err)
	}
}

// TestPolicyTrust checks that a policy that others than root may write does not count.
func TestPolicyTrust(t *testing.T) {
	root := os.Getuid() == 0
	for name, tt := range map[string]struct {
		mode fs.FileMode
		uid  int
		ok   bool
	}{
		"root's": {0o644, 0, true}, "the group's too": {0o664, 0, false}, "everybody's": {0o646, 0, false},
		"a member's": {0o600, 4242, false},
	} {
		file := filepath.Join(t.TempDir(), "launcher.toml")
		err := errors.Join(os.WriteFile(file, []byte(smallPolicy), 0o600), os.Chmod(file, tt.mode))
		if root {
			err = errors.Join(err, os.Chown(file, tt.uid, -1))
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = NewPolicyFile(file).Read()
		if (err == nil) != (tt.ok && root) || err != nil && !strings.Contains(err.Error(), "cannot trust the policy") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewPolicyFile("/no/such/file").Read(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no policy: %v", err)
	}
	if _, err := NewPolicyFile("/").Read(); err == nil || !strings.Contains(err.Error(), "cannot trust the policy") {
		t.Errorf("a directory is a policy: %v", err)
	}
}

// TestPolicyHeld checks that a policy is parsed again when the file has changed or is another, and only then.
func TestPolicyHeld(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root's policy counts")
	}
	name := filepath.Join(t.TempDir(), "launcher.toml")
	write := func(to, profile string) {
		t.Helper()
		if err := os.WriteFile(to, []byte("[profile."+profile+"]\nimage = \"a\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := NewPolicyFile(name)
	read := func(want string) *policy.Policy {
		t.Helper()
		rules, err := p.Read()
		if err != nil || rules.Profiles[0].Name != want {
			t.Fatalf("got %+v, %v; want %s", rules, err, want)
		}
		return rules
	}
	write(name, "one")
	if first, second := read("one"), read("one"); first == second {
		t.Error("what was read within a tick of the change is held")
	}
	p.now = func() time.Time { return time.Now().Add(time.Hour) }
	held := read("one")
	if read("one") != held {
		t.Error("it is parsed again")
	}
	write(name, "two") // in place, of the same size
	read("two")
	write(name+".new", "six")
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
	read("six")
	if err := os.Chmod(name, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Read(); err == nil {
		t.Error("a file that everybody may write is held")
	}
	if err := errors.Join(os.Chmod(name, 0o600), os.WriteFile(name, []byte("wrong"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Read(); err == nil {
		t.Error("a wrong file is what it was before")
	}
	write(name, "two")
	read("two")
}

// BenchmarkPolicy measures what each request costs.
func BenchmarkPolicy(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("only root's policy counts")
	}
	p := NewPolicyFile(filepath.Join(b.TempDir(), "launcher.toml"))
	if err := os.WriteFile(p.name, []byte(smallPolicy), 0o600); err != nil {
		b.Fatal(err)
	}
	for name, later := range map[string]time.Duration{"parsed": 0, "held": time.Hour} {
		p.now = func() time.Time { return time.Now().Add(later) }
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := p.Read(); err != nil {
					b.Fatal(err)
				}
				if later == 0 {
					p.policy = nil
				}
			}
		})
	}
}
