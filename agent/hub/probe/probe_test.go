package probe

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
)

func TestProbe(t *testing.T) {
	tests := map[string]struct {
		status int
		ok     bool
	}{
		"ready":               {200, true},
		"needs credentials":   {403, true},
		"redirects":           {302, true},
		"broken":              {500, false},
		"not there yet (503)": {503, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			srv := &httptest.Server{Listener: l,
				Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/user/alice/api" || r.Header.Get("Authorization") != "" ||
						r.Header.Get("Cookie") != "" {
						t.Errorf("asked %s with headers %v", r.URL, r.Header)
					}
					w.Header().Set("Location", "/elsewhere")
					w.WriteHeader(tt.status)
				})}}
			srv.Start()
			defer srv.Close()
			err = Prober{}.Probe(t.Context(), backend.UnixSocket(socket, uint32(os.Getuid())), "/user/alice/api")
			if (err == nil) != tt.ok {
				t.Errorf("Probe: %v, want ok %v", err, tt.ok)
			}
		})
	}
	none := backend.UnixSocket(filepath.Join(t.TempDir(), "none"), uint32(os.Getuid()))
	if err := (Prober{}).Probe(t.Context(), none, "/"); err == nil {
		t.Error("a server that is not there answered")
	}
}
