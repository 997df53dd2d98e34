package httpx

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// nobodys are names of no hub.
type nobodys struct{}

func (nobodys) Has(string) bool { return false }
func (nobodys) Public() string  { return "https://hub.example.org" }

// TestWords checks that no answer of a few words is a window of the servers' origin without a policy, in which a page
// of a server could do what its own policy forbids.
func TestWords(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	panics := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("x") })
	blank := httptest.NewRequest(http.MethodGet, "/user/mallory/", nil)
	blank.RequestURI = "/user/mallory/ x"
	for name, tt := range map[string]struct {
		h http.Handler
		r *http.Request
	}{
		"another name": {WithHost(log, nobodys{}, panics), httptest.NewRequest(http.MethodGet, "/user/mallory/", nil)},
		"a panic":      {WithRecover(log, panics), httptest.NewRequest(http.MethodGet, "/user/mallory/", nil)},
		"a blank":      {WithStrictRequests(panics), blank},
	} {
		w := httptest.NewRecorder()
		tt.h.ServeHTTP(w, tt.r)
		policy := w.Header().Get("Content-Security-Policy")
		if w.Code < 400 || !strings.Contains(policy, "sandbox") || !strings.Contains(policy, "default-src 'none'") ||
			w.Header().Get("Cross-Origin-Opener-Policy") != "same-origin" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
}
