package launcher

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// TestGoneMember checks that a record without the member's directory is not outdated: there is no container.
func TestGoneMember(t *testing.T) {
	h := keepingHost(t)
	life(t, h, "alice", "")
	if err := h.l.files.noteContainer(h.key("bob", ""), container{"lab", "00", nil}); err != nil {
		t.Fatal(err)
	}
	rows, err := h.l.Persistent(t.Context())
	want := []launcherbus.PersistentRow{{User: "alice", Profile: "lab"}, {User: "bob", Profile: "lab"}}
	if diff := cmp.Diff(want, rows); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// TestMembersDirectory checks that a member's directory is theirs and a directory.
func TestMembersDirectory(t *testing.T) {
	h := newHost(t)
	at := filepath.Join(h.dir, "state/users/alice")
	if err := os.Symlink("/etc", at); err != nil {
		t.Fatal(err)
	}
	if err := memberDirectory(h.l.files.state, "users/alice", account(t, "alice", 0)); err == nil ||
		!strings.Contains(err.Error(), "cannot open a member's directory") {
		t.Errorf("a link out of the launcher's directory: %v", err)
	}
	for name, tt := range map[string]struct {
		put  func() error
		want string
	}{
		"another's directory": {func() error { return os.Mkdir(at, 0o700) }, "belongs to uid"},
		"the member's file": {func() error {
			return errors.Join(os.WriteFile(at, nil, 0o600),
				os.Chown(at, member, -1))
		}, "not a directory"},
	} {
		if os.Getuid() != 0 {
			t.Skip("only root can give files away; the end-to-end tests run as root")
		}
		if err := errors.Join(os.RemoveAll(at), tt.put()); err != nil {
			t.Fatal(err)
		}
		if err := memberDirectory(h.l.files.state, "users/alice", account(t, "alice", member)); err == nil ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLongSource checks what is said of a mount's source that cannot be opened for another reason than the usual ones.
func TestLongSource(t *testing.T) {
	dir := rootsDirectory(t)
	err := checkSource(policy.Mount{Source: filepath.Join(dir, strings.Repeat("x", 300)), Target: "/x"},
		account(t, "alice", member))
	wantRefusal(t, err, "cannot be opened")
}

// TestDiskUseStates checks when a measurement is under way, and what hinders its start or its answer.
func TestDiskUseStates(t *testing.T) {
	for state, want := range map[systemd.State]bool{systemd.Activating: true, systemd.Deactivating: true,
		systemd.Active: false, systemd.Failed: false, systemd.Inactive: false} {
		h := newHost(t)
		h.units["gifford-usage-alice.service"] = state
		u, err := h.l.DiskUse(t.Context(), h.key("alice", "").User, false)
		if err != nil || u.Measuring != want {
			t.Errorf("%s: %+v, %v", state, u, err)
		}
	}
	for _, obstacle := range []string{"state/users/alice", "etc/subuid"} {
		h := newHost(t)
		var err error
		if obstacle == "etc/subuid" {
			err = os.Mkdir(filepath.Join(h.dir, obstacle), 0o755)
		} else {
			err = os.WriteFile(filepath.Join(h.dir, obstacle), nil, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.l.DiskUse(t.Context(), h.key("alice", "").User, true); err == nil || len(h.units) != 0 {
			t.Errorf("with %s in the way: %v, units %v", obstacle, err, h.units)
		}
	}
	h := newHost(t)
	log := h.logged()
	for _, what := range []string{"none", "no directory"} {
		if what == "no directory" {
			if err := os.RemoveAll(filepath.Join(h.dir, "state/users")); err != nil {
				t.Fatal(err)
			}
		}
		u, err := h.l.DiskUse(t.Context(), h.key("alice", "").User, false)
		if err != nil || !u.Measured.IsZero() || strings.Contains(log(), "usage-unreadable") {
			t.Errorf("%s: %+v, %v, %s", what, u, err, log())
		}
	}
	if err := os.MkdirAll(filepath.Dir(h.usageFile()), 0o755); err != nil {
		t.Fatal(err)
	}
	h.leave(t, "junk")
	if _, err := h.l.DiskUse(t.Context(), h.key("alice", "").User, false); err != nil ||
		!strings.Contains(log(), "event=usage-unreadable") {
		t.Errorf("%v, %s", err, log())
	}
}

// TestProfileImages checks that an image that the store does not have is normal, and a reference that it cannot read is
// not.
func TestProfileImages(t *testing.T) {
	h := newHost(t)
	h.text += "[images]\nshare = true\n"
	log := h.logged()
	if images, err := h.l.Images(t.Context()); err != nil || len(images.Profiles) != 0 || log() != "" {
		t.Errorf("no image: %+v, %v, %s", images, err, log())
	}
	rules, err := h.l.policy()
	if err != nil {
		t.Fatal(err)
	}
	rules.Profiles[0].Image = "A b"
	if images := h.l.profileImages(rules); len(images) != 0 || !strings.Contains(log(), "event=images-unreadable") ||
		!strings.Contains(log(), "profile=lab") {
		t.Errorf("a strange reference: %v, %s", images, log())
	}
}

// TestHomeNotMade checks what keeps a directory from being made or given away.
func TestHomeNotMade(t *testing.T) {
	dir := rootsDirectory(t)
	h := home{filepath.Join(dir, strings.Repeat("x", 300)), account(t, "alice", member), true, 0o750, "home directory"}
	if err := h.make(); err == nil || !strings.Contains(err.Error(), "cannot make it") {
		t.Errorf("too long a name: %v", err)
	}
	for name, want := range map[string]string{"none": "cannot open the new directory",
		"sys": "cannot set the new directory's mode"} {
		proc, err := os.Open("/proc") // nobody may change the mode of what is there
		if err != nil {
			t.Fatal(err)
		}
		defer proc.Close()
		if err := h.hand(int(proc.Fd()), name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
