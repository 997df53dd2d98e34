package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
)

// TestForService passes requests on to a service by TCP and by a UNIX socket.
func TestForService(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Host+" "+r.RequestURI+" "+r.Header.Get("X-Forwarded-For")+" "+
			r.Header.Get("Authorization"))
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
			h, err := p.ForService(Upstream{Name: "board", URL: target,
				Unavailable: func(w http.ResponseWriter, _ *http.Request, status int) { w.WriteHeader(status) }})
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
			if diff := cmp.Diff("hub.example.org /services/board/a%2Fb?x=1 192.0.2.7 token x",
				w.Body.String()); diff != "" {
				t.Error(diff)
			}
			if got := w.Header().Get(openerPolicy); got != ownersOpener {
				t.Errorf("a visitor's page can keep its window, with the opener policy %q", got)
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
	h, err := p.ForService(Upstream{Name: "board", URL: "unix:/nowhere",
		Unavailable: func(_ http.ResponseWriter, _ *http.Request, status int) { got = status }})
	if err != nil {
		t.Fatal(err)
	}
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/services/board/", nil))
	if got != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503", got)
	}
}

// webSocket opens one at a handler for any path.
func webSocket(t *testing.T, h http.Handler, path string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), front(t, h).URL+path,
		&websocket.DialOptions{Subprotocols: []string{"v1.kernel"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

// TestServiceCloses opens a WebSocket to a service that is then taken away.
func TestServiceCloses(t *testing.T) {
	p := newProxy(t, Config{})
	status := 0
	h, err := p.ForService(Upstream{Name: "board", URL: "unix:" + socket(t, http.HandlerFunc(echo)),
		Unavailable: func(w http.ResponseWriter, _ *http.Request, s int) { status = s; w.WriteHeader(s) }})
	if err != nil {
		t.Fatal(err)
	}
	c := webSocket(t, h, "/services/board/ws")
	say(t, c, "hello")
	if p.WebSockets() != 1 {
		t.Errorf("%d WebSockets are counted", p.WebSockets())
	}
	h.Close()
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("the WebSocket outlived its service")
	}
	eventually(t, "the WebSocket is still counted", func() bool { return p.Open() == 0 })
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/services/board/", nil))
	if status != http.StatusServiceUnavailable {
		t.Errorf("after its end: %d, want 503", status)
	}
}

// TestServiceDrains counts a service's WebSockets among those that a reload waits for.
func TestServiceDrains(t *testing.T) {
	p := newProxy(t, Config{})
	h, err := p.ForService(Upstream{Name: "board", URL: "unix:" + socket(t, http.HandlerFunc(echo)),
		Unavailable: func(http.ResponseWriter, *http.Request, int) {}})
	if err != nil {
		t.Fatal(err)
	}
	c := webSocket(t, h, "/services/board/ws")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.Drain(ctx); err == nil {
		t.Error("Drain did not say that it closed something")
	}
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("the WebSocket is open after the deadline")
	}
}

// TestServiceIsNotTold sends a service headers that only the hub may set, and looks at
// what it makes of a trusted proxy's.
func TestServiceIsNotTold(t *testing.T) {
	tests := map[string]struct {
		trusted []netip.Prefix
		want    string
	}{
		"a stranger": {nil, "192.0.2.7|http|hub.example.org|80|||"},
		"a trusted proxy": {[]netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")},
			"6.6.6.6|https|shown.example.org|8443|||"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, Config{TrustedProxies: tt.trusted})
			h, err := p.ForService(Upstream{Name: "board", URL: "unix:" +
				socket(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
						"X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server"} {
						_, _ = io.WriteString(w, r.Header.Get(name)+"|")
					}
				}))})
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest("GET", "/services/board/", nil)
			r.Host, r.RemoteAddr = "hub.example.org", "192.0.2.7:1234"
			for name, value := range map[string]string{"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https",
				"X-Forwarded-Host": "shown.example.org",
				"X-Forwarded-Port": "8443", "X-Forwarded-Prefix": "/evil", "X-Forwarded-Server": "evil"} {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if diff := cmp.Diff(tt.want, w.Body.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
