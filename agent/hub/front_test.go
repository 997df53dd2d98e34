package hub

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestCookieOverflow comes with all the cookies that a browser holds for a host, as a hostile page can set them.
func TestCookieOverflow(t *testing.T) {
	h := testHub(t, false)
	base, _ := running(t, h)
	var pairs []string
	for i := range 180 {
		pairs = append(pairs, fmt.Sprintf("c%d=%s", i, strings.Repeat("x", 4000)))
	}
	for _, path := range []string{"hub/home", "hub/login", "hub/api", "user/alice/lab", "services/board/",
		"hub/metrics"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Cookie", strings.Join(pairs, "; "))
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge ||
			!strings.Contains(string(body), "too many cookies") && !strings.Contains(string(body), "Too many cookies") {
			t.Errorf("%s: %d, %v: %s", path, resp.StatusCode, err, body)
		}
	}
}

// TestLongAddress asks for the longest address that Chromium has, with all its cookies, as a page can have a frame ask.
func TestLongAddress(t *testing.T) {
	base, _ := running(t, testHub(t, true))
	for path, length := range map[string]int{"user/mallory/": 2 << 20, "hub/": 65 << 10} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path+strings.Repeat("a", length), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Cookie", "c="+strings.Repeat("x", 180*4096))
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusRequestURITooLong ||
			!strings.Contains(resp.Header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: %d, %v", path, resp.StatusCode, resp.Header)
		}
	}
}

// TestEveryAnswerIsIsolated checks the headers that keep the hub apart from pages of servers, on every surface of its.
func TestEveryAnswerIsIsolated(t *testing.T) {
	base, _ := running(t, testHub(t, true))
	for path, status := range map[string]int{"hub/login": 200, "hub/home": 200, "hub/nothing": 404, "hub/api": 200,
		"hub/api/user": 403, "hub/metrics": 403, "hub/static/style.css": 200, "user/nobody/api": 424,
		"services/none/": 404} {
		resp, err := http.Get(base + path) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, status)
		}
		for name, want := range map[string]string{"Cross-Origin-Opener-Policy": "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin", "Permissions-Policy": "camera=()",
			"Content-Security-Policy": "frame-ancestors 'none'", "X-Content-Type-Options": "nosniff"} {
			if name != "Content-Security-Policy" && name != "X-Content-Type-Options" ||
				!strings.Contains(path, "metrics") {
				if !strings.Contains(resp.Header.Get(name), want) {
					t.Errorf("%s: %s is %q", path, name, resp.Header.Get(name))
				}
			}
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"hub/static/pull.js", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Service-Worker", "script")
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a script of the hub as a service worker: %d", resp.StatusCode)
	}
}
