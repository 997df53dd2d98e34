package httpx

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestRedirect checks that a target arrives as it was made, but for bytes that a header cannot hold.
func TestRedirect(t *testing.T) {
	for target, want := range map[string]string{
		"/user/alice//a%2Fb?q=1&r#x": "/user/alice//a%2Fb?q=1&r#x",
		"https://hub.example.org/":   "https://hub.example.org/",
		"/a b\r\nX: y\x7f":           "/a%20b%0D%0AX:%20y%7F",
		"/é":                         "/%C3%A9",
	} {
		w := httptest.NewRecorder()
		Redirect(w, http.StatusSeeOther, target)
		if got := w.Header().Get("Location"); got != want || w.Code != http.StatusSeeOther ||
			w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %d to %q, want %q", target, w.Code, got, want)
		}
	}
}
