package proxy

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestForService passes requests on to a service by TCP and by a UNIX socket.
func TestForService(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Host+" "+r.RequestURI+" "+r.Header.Get("X-Forwarded-For")+" "+r.Header.Get("Authorization"))
	})
	tcp := httptest.NewServer(echo)
	t.Cleanup(tcp.Close)
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	local := &http.Server{Handler: echo} //nolint:gosec // a test
	go func() { _ = local.Serve(l) }()
	t.Cleanup(func() { _ = local.Close() })
	for name, target := range map[string]string{"TCP": tcp.URL, "UNIX socket": "unix:" + socket} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, Config{})
			h, err := p.ForService(Upstream{Name: "board", URL: target, Unavailable: func(w http.ResponseWriter, _ *http.Request, status int) { w.WriteHeader(status) }})
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest("GET", "/services/board/a%2Fb?x=1", nil)
			r.Host = "hub.example.org"
			r.Header.Set("X-Forwarded-For", "6.6.6.6")
			r.Header.Set("Authorization", "token x")
			r.RemoteAddr = "192.0.2.7:1234"
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if diff := cmp.Diff("hub.example.org /services/board/a%2Fb?x=1 192.0.2.7 token x", w.Body.String()); diff != "" {
				t.Error(diff)
			}
			if p.Open() != 0 {
				t.Errorf("%d requests are still counted", p.Open())
			}
		})
	}
}

func TestForServiceUnavailable(t *testing.T) {
	p := newProxy(t, Config{})
	got := 0
	h, err := p.ForService(Upstream{Name: "board", URL: "unix:/nowhere", Unavailable: func(_ http.ResponseWriter, _ *http.Request, status int) { got = status }})
	if err != nil {
		t.Fatal(err)
	}
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/services/board/", nil))
	if got != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503", got)
	}
}
