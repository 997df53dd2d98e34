package view

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// ownMounts puts the test into a mount namespace of its own and mounts a new file system below all directories that
// t.TempDir returns from now on.
func ownMounts(t *testing.T, kind string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test, and the namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Skip("this host lets the tests make no mount namespace: ", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	mountAt(t, filepath.Dir(t.TempDir()), kind)
}

// mountAt mounts a new file system for the test.
func mountAt(t *testing.T, dir, kind string) {
	t.Helper()
	if err := unix.Mount("none", dir, kind, 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// place opens a directory as the package does.
func place(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// TestAttach makes a mount and removes it.
func TestAttach(t *testing.T) {
	ownMounts(t, "tmpfs")
	source, target := t.TempDir(), t.TempDir()
	name := filepath.Join(source, "file")
	if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Chown(name, 600000, 600001)); err != nil {
		t.Fatal(err)
	}
	uids, gids := IDMap{{600000, 5001, 1}}, IDMap{{600001, 5000, 1}}
	if err := (kernel{}).attach(place(t, source), place(t, target), uids, gids); errors.Is(err, errNoIDMap) {
		t.Skip("this kernel's tmpfs has no idmapped mounts: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
	name = filepath.Join(target, "file")
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil || st.Uid != 5001 || st.Gid != 5000 {
		t.Errorf("the file has owner %d:%d (%v), want 5001:5000", st.Uid, st.Gid, err)
	}
	if err := os.WriteFile(name, nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("write: %v, want %v", err, unix.EROFS)
	}
	if err := (kernel{}).detach(target); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the mount is still there: %v", err)
	}
}

// TestAttachFails checks that each of the kernel's refusals is an error that names the call.
func TestAttachFails(t *testing.T) {
	ownMounts(t, "tmpfs")
	closed := place(t, t.TempDir())
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	dir := place(t, t.TempDir())
	ids := IDMap{{1, 100000, 1}}
	if err := (kernel{}).attach(dir, dir, ids, ids); errors.Is(err, errNoIDMap) {
		t.Skip("this kernel's tmpfs has no idmapped mounts: ", err)
	}
	tests := map[string]struct {
		source, target *os.File
		uids           IDMap
		want           string
		noIDMap        bool
	}{
		"no namespace":      {dir, dir, IDMap{{0, 0, 1}, {0, 5, 1}}, "cannot make a user namespace", false},
		"no source":         {closed, dir, ids, "open_tree: bad file descriptor", false},
		"no target":         {dir, closed, ids, "move_mount: ", false},
		"no idmapped mount": {place(t, "/proc"), dir, ids, "mount_setattr: idmapped mounts are not possible", true},
	}
	for name, tt := range tests {
		err := (kernel{}).attach(tt.source, tt.target, tt.uids, ids)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || errors.Is(err, errNoIDMap) != tt.noIDMap {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// TestProbeFileSystem checks that the probe depends on the file system of the store, before and after the first pull.
func TestProbeFileSystem(t *testing.T) {
	for kind, want := range map[string]error{"tmpfs": nil, "ramfs": errNoIDMap} {
		t.Run(kind, func(t *testing.T) {
			ownMounts(t, kind)
			h := newHost(t)
			if err := h.Probe(); kind == "tmpfs" && errors.Is(err, errNoIDMap) {
				t.Skip("this kernel's tmpfs has no idmapped mounts: ", err)
			} else if !errors.Is(err, want) {
				t.Errorf("Probe: %v, want %v", err, want)
			}
			h.must(os.RemoveAll(filepath.Join(h.Store, "overlay")))
			if err := h.Probe(); !errors.Is(err, want) {
				t.Errorf("Probe before the first pull: %v, want %v", err, want)
			}
		})
	}
}

// TestFull checks that a view that the file system has no room for is an error, whichever of its files is the first
// that does not fit.
func TestFull(t *testing.T) {
	const needed = 15 // directories and files
	for room := range needed + 1 {
		t.Run(fmt.Sprint(room), func(t *testing.T) {
			ownMounts(t, "tmpfs")
			h := newHost(t)
			mountAt(t, h.RunDir, "tmpfs")
			h.put("run/images/lock", "")
			h.ask(contract.ViewRequest{UID: 5001, GID: 5000, Mapping: contract.MapImage,
				Image: "localhost/lab:latest", Share: true})
			var st unix.Statfs_t
			h.must(unix.Statfs(h.RunDir, &st))
			limit := fmt.Sprintf("nr_inodes=%d", st.Files-st.Ffree+uint64(room))
			h.must(unix.Mount("none", h.RunDir, "tmpfs", unix.MS_REMOUNT, limit))
			err := h.Mount(h.key)
			if room == needed {
				h.must(err)
				return
			}
			want := "cannot write "
			switch {
			case room < 3:
				want = "cannot make the directory of the view: "
			case room < 12:
				want = `cannot make the view of image "localhost/lab:latest": `
			}
			if !errors.Is(err, unix.ENOSPC) || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("Mount: %v, want %q", err, want)
			}
		})
	}
}

// TestNoDescriptor checks that a record that cannot be opened is an error.
func TestNoDescriptor(t *testing.T) {
	dir := t.TempDir()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	got := note(dir, "name", first)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(got, unix.EMFILE) {
		t.Errorf("note: %v, want %v", got, unix.EMFILE)
	}
}

// TestGone checks the errors for what disappears while a view is made.
func TestGone(t *testing.T) {
	h := newHost(t)
	dir, err := h.fresh(h.key)
	h.must(err)
	defer dir.Close()
	if err := h.mountLayers(dir, nil, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("mountLayers without a target: %v", err)
	}
	h.must(os.RemoveAll(h.Store))
	if _, _, err := h.mappings(h.key, contract.ViewRequest{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("mappings without a store: %v", err)
	}
	h.put("images/storage", "")
	if os.Getuid() == 0 {
		h.must(os.Chown(h.Store, 990, 991))
	}
	if _, _, err := h.mappings(h.key, contract.ViewRequest{}); err == nil ||
		!strings.Contains(err.Error(), "must be a directory of gifford-images's") {
		t.Errorf("mappings with a file as the store: %v", err)
	}
	h.must(os.RemoveAll(h.RunDir))
	if _, err := h.fresh(h.key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("fresh without a directory: %v", err)
	}
}

// TestLockedForLong checks that a start gives up when images are removed for too long.
func TestLockedForLong(t *testing.T) {
	h := newHost(t)
	f, err := os.Open(h.path("run/images/lock"))
	h.must(err)
	defer f.Close()
	h.must(unix.Flock(int(f.Fd()), unix.LOCK_EX))
	if _, err := h.lock(0); !errors.Is(err, unix.EWOULDBLOCK) || !strings.Contains(hint.Text(err), "images prune") {
		t.Errorf("lock: %v, want %v", err, unix.EWOULDBLOCK)
	}
}
