package hub

import (
	"net/http"
	"testing"
)

// TestAuthorizeIsAPage checks that the API's one page is given to windows of their own like all others: a script or a
// frame could otherwise sign its visitor in to another person's server.
func TestAuthorizeIsAPage(t *testing.T) {
	base, _ := running(t, testHub(t, false))
	query := "hub/api/oauth2/authorize?client_id=service-board&response_type=code&redirect_uri=" +
		"/x/services/board/oauth_callback"
	for name, tt := range map[string]struct {
		method, site, mode, dest string
		want                     int
	}{
		// there is no such client
		"window":                {"GET", "same-origin", "navigate", "document", http.StatusBadRequest},
		"fetch":                 {"GET", "same-origin", "cors", "empty", http.StatusForbidden},
		"iframe":                {"GET", "same-origin", "navigate", "iframe", http.StatusForbidden},
		"image":                 {"GET", "same-origin", "no-cors", "image", http.StatusForbidden},
		"form of another site":  {"POST", "cross-site", "navigate", "document", http.StatusForbidden},
		"form of a sister site": {"POST", "same-site", "navigate", "document", http.StatusForbidden},
	} {
		r, err := http.NewRequestWithContext(t.Context(), tt.method, base+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"Site": tt.site, "Mode": tt.mode, "Dest": tt.dest} {
			r.Header.Set("Sec-Fetch-"+name, value)
		}
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, tt.want)
		}
	}
}
