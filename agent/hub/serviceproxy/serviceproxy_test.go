package serviceproxy

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/proxy"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
)

// listenAs answers with name and the request's URI on a socket.
func listenAs(t *testing.T, name string) (url string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "svc") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, name+" "+r.RequestURI)
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return "unix:" + filepath.Join(dir, "s")
}

// host is the services below /x/services/.
type host struct {
	http.Handler
	registry *services.Registry
	open     *Connections
	fail     failure
}

func newHost(t *testing.T, declared ...services.Service) host {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "hub.sqlite"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	p, err := proxy.New(proxy.Config{BaseURL: "/x/", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	open := New(p, services.Limits{})
	registry, err := services.New(t.Context(), services.Config{BaseURL: "/x/", Declared: declared, Records: db,
		Removed: open.Forget})
	if err != nil {
		t.Fatal(err)
	}
	fail := func(w http.ResponseWriter, _ *http.Request, err error) {
		e := httpx.Public(err)
		http.Error(w, e.Public+"|"+e.Hint, e.Status)
	}
	return host{open.Handler("/x/", registry, fail), registry, open, fail}
}

func TestHandler(t *testing.T) {
	h := newHost(t, services.Service{Name: "board", URL: listenAs(t, "board")}, services.Service{Name: "culler"},
		services.Service{Name: "down", URL: "unix:/nowhere", Unit: "lab-down.service"},
		services.Service{Name: "lost", URL: "unix:/nowhere"})
	tests := map[string]struct {
		uri    string
		status int
		want   string // begins with; of a redirect, where to
	}{
		"pages": {"/x/services/board/", 200, "board /x/services/board/"},
		"as it came": {"/x/services/board/a%2Fb//../c?q=%2F;&&", 200,
			"board /x/services/board/a%2Fb//../c?q=%2F;&&"},
		"other service's path": {"/x/services/board/../down/", 200, "board /x/services/board/../down/"},
		"without slash":        {"/x/services/board", 302, "/x/services/board/"},
		"with a query":         {"/x/services/board?a=1&b", 302, "/x/services/board/?a=1&b"},
		"no pages":             {"/x/services/culler/", 404, "there is no such service"},
		"nobody":               {"/x/services/other/", 404, "there is no such service"},
		"none":                 {"/x/services/", 404, "there is no such service"},
		"escaped name":         {"/x/services/%62oard/", 404, "there is no such service"},
		"escaped slash":        {"/x/services/board%2F/", 404, "there is no such service"},
		"dots":                 {"/x/services/../services/board/", 404, "there is no such service"},
		"down": {"/x/services/down/", 503, "the service down does not answer|administrators: " +
			"systemctl status lab-down.service; journalctl -u lab-down.service"},
		"down without a unit": {"/x/services/lost/", 503, "the service lost does not answer|tell the administrators"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", tt.uri, nil))
			got := w.Body.String()
			if tt.status == http.StatusFound {
				got = w.Header().Get("Location")
			}
			if w.Code != tt.status || !strings.HasPrefix(got, tt.want) {
				t.Errorf("%d %q, want %d %q", w.Code, got, tt.status, tt.want)
			}
		})
	}
}

// TestServiceMoves takes a service away and adds it again at another address.
func TestServiceMoves(t *testing.T) {
	h := newHost(t)
	get := func() string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/x/services/board/", nil))
		return w.Body.String()
	}
	for _, name := range []string{"first", "second"} {
		if err := h.registry.Add(services.Service{Name: "board", URL: listenAs(t, name)}); err != nil {
			t.Fatal(err)
		}
		if got := get(); !strings.HasPrefix(got, name+" ") {
			t.Errorf("got %q from the %s", got, name)
		}
		if err := h.registry.Remove("board"); err != nil {
			t.Fatal(err)
		}
		if got := get(); !strings.HasPrefix(got, "there is no such service") || len(h.open.known) != 0 {
			t.Errorf("after its removal: %q, %d ways", got, len(h.open.known))
		}
	}
}
