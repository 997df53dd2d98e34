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
		_, err = ReadPolicy(file)
		if (err == nil) != (tt.ok && root) || err != nil && !strings.Contains(err.Error(), "cannot trust the policy") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadPolicy("/no/such/file"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no policy: %v", err)
	}
	if _, err := ReadPolicy("/"); err == nil || !strings.Contains(err.Error(), "cannot trust the policy") {
		t.Errorf("a directory is a policy: %v", err)
	}
}
