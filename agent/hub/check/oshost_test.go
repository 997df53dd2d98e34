package check

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOS asks the host that runs the tests.
func TestOS(t *testing.T) {
	h := NewHost()
	if h.Root() != (os.Geteuid() == 0) {
		t.Error("Root is wrong")
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("text"), 0o640); err != nil {
		t.Fatal(err)
	}
	f, err := h.Stat(file)
	if err != nil || f.Mode.Perm() != 0o640 || f.Owner == "" || f.Group == "" || f.Caps {
		t.Errorf("Stat: %+v, %v", f, err)
	}
	if _, err := h.Stat(file + "x"); err == nil {
		t.Error("Stat of what is not there gives no error")
	}
	if b, err := h.ReadFile(file); err != nil || string(b) != "text" {
		t.Errorf("ReadFile: %q, %v", b, err)
	}
	if free, total, err := h.Free(filepath.Dir(file)); err != nil || total <= 0 || free > total {
		t.Errorf("Free: %d of %d, %v", free, total, err)
	}
	if _, _, err := h.Free("/no/such"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Free of what is not there: %v", err)
	}
	if out, err := h.Run(t.Context(), "sh", "-c", "echo $LC_ALL; echo why >&2"); err != nil || out != "C" {
		t.Errorf("Run: %q, %v", out, err)
	}
	if _, err := h.Run(t.Context(), "sh", "-c", "echo why >&2; exit 3"); err == nil ||
		!strings.Contains(err.Error(), "why") {
		t.Errorf("Run of what fails: %v", err)
	}
}

// TestStatModes compares with what the library says.
func TestStatModes(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	l, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := errors.Join(os.WriteFile(at("set"), nil, 0o600), os.Chmod(at("set"), 0o751|fs.ModeSetuid|fs.ModeSetgid),
		os.Mkdir(at("sticky"), 0o700), os.Chmod(at("sticky"), 0o777|fs.ModeSticky), unix.Mkfifo(at("fifo"), 0o604),
		os.Symlink("set", at("link"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{at("set"), at("sticky"), at("fifo"), at("link"), at("socket"), "/dev/null"} {
		want, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := NewHost().Stat(name); err != nil || got.Mode != want.Mode() {
			t.Errorf("%s: %v, %v; want %v", name, got.Mode, err, want.Mode())
		}
	}
}

// TestStatSilent asks for a home over which its member has mounted a file system that never answers.
func TestStatSilent(t *testing.T) {
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
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("this host has no FUSE: ", err)
	}
	defer unix.Close(fd)
	dir := t.TempDir()
	options := fmt.Sprintf("fd=%d,rootmode=40700,user_id=5001,group_id=5001,allow_other", fd)
	if err := unix.Mount("silent", dir, "fuse", 0, options); err != nil {
		t.Skip("this host lets the tests mount no FUSE: ", err)
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	if f, err := NewHost().Stat(dir); err != nil || !f.Mode.IsDir() {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestOSListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if who, err := NewHost().Listener(port); err != nil || who == "" {
		t.Errorf("who listens on port %d: %q, %v", port, who, err)
	}
	_ = l.Close()
	if who, err := NewHost().Listener(port); err != nil || who != "" {
		t.Errorf("who listens on port %d, which is closed: %q, %v", port, who, err)
	}
}

func TestOSFetch(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte("page"))
	}))
	defer srv.Close()
	if b, err := NewHost().Fetch(t.Context(), srv.URL); err != nil || string(b) != "page" {
		t.Errorf("Fetch: %q, %v", b, err)
	}
	if _, err := NewHost().Fetch(t.Context(), srv.URL+"/no"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("Fetch of no page: %v", err)
	}
	if _, err := NewHost().Fetch(t.Context(), "http://127.0.0.1:1/"); err == nil {
		t.Error("Fetch of nobody gives no error")
	}
}
