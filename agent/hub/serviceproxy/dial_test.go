package serviceproxy

import (
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/services"
)

// silent accepts at an address and reports whether a byte came.
func silent(t *testing.T, network, address string) (at net.Addr, got chan bool) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	got = make(chan bool, 8)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n, _ := conn.Read(make([]byte, 1))
			got <- n > 0
			_ = conn.Close()
		}
	}()
	return l.Addr(), got
}

// TestLimitsWhenDialled adds services whose name or link leads to the hub only when they are dialled, one of the
// database of an earlier version, and one of the settings, which has no limits.
func TestLimitsWhenDialled(t *testing.T) {
	tcp, gotTCP := silent(t, "tcp", "127.0.0.1:0")
	dir, err := os.MkdirTemp("", "dial") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/proc/self/root", link); err != nil {
		t.Fatal(err)
	}
	plain, gotPlain := silent(t, "unix", filepath.Join(dir, "plain"))
	hub := services.Limits{Ports: []uint16{uint16(tcp.(*net.TCPAddr).Port)}}
	port := tcp.String()[strings.LastIndex(tcp.String(), ":"):]
	for name, tt := range map[string]struct {
		limits   services.Limits
		url      string
		declared bool
		got      chan bool
		want     bool // the service is asked
	}{
		"a name of the hub's":              {hub, "http://localhost" + port, false, gotTCP, false},
		"an address of the hub's":          {hub, "http://" + tcp.String(), false, gotTCP, false},
		"the same in the settings":         {hub, "http://" + tcp.String(), true, gotTCP, true},
		"another port":                     {services.Limits{}, "http://localhost" + port, false, gotTCP, true},
		"a socket":                         {hub, "unix:" + plain.String(), false, gotPlain, true},
		"a link to what is none's":         {hub, "unix:" + link + "/run/dbus/none", false, gotPlain, false},
		"a socket that is not there":       {hub, "unix:" + dir + "/none", false, gotPlain, false},
		"a directory of the hub's by dots": {hub, "unix:/run/gifford-hub/../gifford-hub/x", false, gotPlain, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			to, err := New(h.open.proxy, tt.limits).to(services.Service{Name: "board", URL: tt.url,
				Declared: tt.declared},
				h.fail)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			to.ServeHTTP(w, httptest.NewRequest("GET", "/x/services/board/", nil))
			asked := false
			select {
			case asked = <-tt.got:
			default:
			}
			if w.Code/100 != 5 || asked != tt.want {
				t.Errorf("answered %d, asked %v, want %v", w.Code, asked, tt.want)
			}
		})
	}
}

// TestBoundName reaches, by a harmless path, a listener that was bound under a name of the hub's.
func TestBoundName(t *testing.T) {
	dir, err := os.MkdirTemp("/run", "gifford-test-")
	if err != nil {
		t.Skipf("needs to write to /run: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	at, got := silent(t, "unix", filepath.Join(dir, "s"))
	moved, err := os.MkdirTemp("/run", "moved-") // as a hard link or a bind mount would show it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(moved) })
	if err := os.Link(at.String(), filepath.Join(moved, "s")); err != nil {
		t.Fatal(err)
	}
	conn, err := limited(services.Limits{})(t.Context(), "unix", filepath.Join(moved, "s"))
	if err == nil {
		_ = conn.Close()
		t.Error("connected")
	}
	if <-got {
		t.Error("a byte was sent")
	}
}
