package check

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
