package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestUserPaths has who asks, for what, and what comes. alice's server is ready, bob's
// starts, carol's stops, erin's failed and gail's is stopped.
func TestUserPaths(t *testing.T) {
	page := []string{"Accept", "text/html"}
	json := []string{"Accept", "application/json"}
	tests := map[string]struct {
		method, target, user string
		headers              []string
		want                 string
	}{
		"ready": {"GET", "/hub/user/alice/lab/tree/a%20b.ipynb?reset", "alice", page,
			"Found /user/alice/lab/tree/a%20b.ipynb?reset&redirects=1"},
		"ready, without a path": {"GET", "/hub/user/alice", "alice", page, "Found /user/alice/?redirects=1"},
		"ready, escaped name": {"GET", "/hub/user/%61lice/lab", "alice", page,
			"Found /user/alice/lab?redirects=1"},
		"ready, API": {"GET", "/hub/user/alice/api/kernels", "alice", json,
			"Found /user/alice/api/kernels?redirects=1"},
		"ready, but not a GET": {"POST", "/hub/user/alice/api/kernels", "alice", page, "Failed Dependency"},
		"starting": {"GET", "/hub/user/bob/lab?x=1", "bob", page,
			"See Other /hub/spawn-pending/bob?next=%2Fuser%2Fbob%2Flab%3Fx%3D1"},
		"starting, counter goes": {"GET", "/hub/user/bob/lab?redirects=2", "bob", page,
			"See Other /hub/spawn-pending/bob?next=%2Fuser%2Fbob%2Flab"},
		"starting, API":  {"GET", "/hub/user/bob/api/kernels", "bob", page, "Service Unavailable"},
		"starting, POST": {"POST", "/hub/user/bob/lab", "bob", page, "Service Unavailable"},
		"stopping": {"GET", "/hub/user/carol/lab", "carol", page,
			"See Other /hub/spawn-pending/carol?next=%2Fuser%2Fcarol%2Flab"},
		"failed": {"GET", "/hub/user/erin/lab", "erin", page,
			"See Other /hub/spawn-pending/erin?next=%2Fuser%2Ferin%2Flab"},
		"failed, API":   {"GET", "/hub/user/erin/api", "erin", page, "Failed Dependency"},
		"stopped":       {"GET", "/hub/user/gail/lab", "gail", page, "Failed Dependency"},
		"stopped, JSON": {"GET", "/hub/user/gail/lab", "gail", json, "Failed Dependency"},
		"stopped, fetched by a page": {"GET", "/hub/user/gail/files/x", "gail",
			[]string{"Accept", "*/*", "Sec-Fetch-Dest", "empty"}, "Failed Dependency"},
		"not one's own":        {"GET", "/hub/user/alice/lab", "bob", page, "Not Found"},
		"nobody's":             {"GET", "/hub/user/nobody-here/lab", "bob", page, "Not Found"},
		"not a name":           {"GET", "/hub/user/1%2F2/lab", "dora", page, "Not Found"},
		"path that climbs":     {"GET", "/hub/user/alice%2F..%2Fbob/lab", "alice", page, "Not Found"},
		"administrator, ready": {"GET", "/hub/user/alice/lab", "dora", page, "OK"}, // asks
		"a ticket goes": {"GET", "/hub/user/alice/lab?b&a=&redirects=1&gifford-ticket=x", "alice", page,
			"Found /user/alice/lab?b&a=&redirects=2"},
		"only one at the end": {"GET", "/hub/user/alice/lab?gifford-ticket=x&redirects=1&y", "alice", page,
			"Found /user/alice/lab?gifford-ticket=x&redirects=1&y&redirects=1"},
		"administrator, not there": {"GET", "/hub/user/nobody-here/lab", "dora", page, "Failed Dependency"},
		"anonymous API":            {"GET", "/hub/user/alice/api/kernels", "", page, "Forbidden"},
		"anonymous API, nobody's":  {"GET", "/hub/user/nobody-here/api/kernels", "", page, "Forbidden"},
		"anonymous WebSocket": {"GET", "/hub/user/alice/api/kernels/1/channels", "",
			[]string{"Upgrade", "websocket"}, "Service Unavailable"},
		"backslashes stay escaped": {"GET", `/hub/user/alice/%5C%5Cevil.example`, "alice", page,
			"Found /user/alice/%5C%5Cevil.example?redirects=1"},
		"slashes do not make a host": {"GET", "/hub/user/alice/%2F%2Fevil.example", "alice", page,
			"Found /user/alice/%2F%2Fevil.example?redirects=1"},
		"line breaks stay escaped": {"GET", "/hub/user/alice/a%0d%0aSet-Cookie:x", "alice", page,
			"Found /user/alice/a%0d%0aSet-Cookie:x?redirects=1"},
		"user-redirect, odd path": {"GET", "/hub/user-redirect/%2F%2Fevil.example", "alice", page,
			"Found /hub/spawn/alice?next=%2Fuser%2Falice%2F%252F%252Fevil.example"},
		"session of a revoked person": {"GET", "/hub/user/alice/lab", "revoked", page, "Forbidden"},
	}
	h := newHub(t, nil)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := answer(h.do(tt.method, tt.target, tt.user, tt.headers...)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// TestUnrouted has what requests get that the proxy has no route for.
func TestUnrouted(t *testing.T) {
	tests := map[string]struct {
		method, target string
		headers        []string
		want           string
		retry          bool
	}{
		"page": {"GET", "/user/alice/lab/tree/a%20b?x=1", nil,
			"Found /hub/user/alice/lab/tree/a%20b?x=1", false},
		"page of nobody": {"GET", "/user/nobody-here/lab", nil, "Found /hub/user/nobody-here/lab", false},
		"odd page":       {"GET", "/user/alice%2F..%2Fbob/x", nil, "Found /hub/user/alice%2F..%2Fbob/x", false},
		"command line": {"GET", "/user/gail/lab", []string{"Accept", "*/*"}, "Found /hub/user/gail/lab",
			false},
		"API, stopped":          {"GET", "/user/gail/api/kernels", nil, "Failed Dependency", false},
		"API, nobody":           {"GET", "/user/nobody-here/api/kernels", nil, "Failed Dependency", false},
		"API, failed":           {"GET", "/user/erin/api/kernels", nil, "Failed Dependency", false},
		"API of a named server": {"GET", "/user/gail/x/api/kernels", nil, "Failed Dependency", false},
		"API, starting":         {"GET", "/user/bob/api/kernels", nil, "Service Unavailable", true},
		"API, waiting":          {"GET", "/user/frank/api/kernels", nil, "Service Unavailable", true},
		"API, stopping":         {"GET", "/user/carol/api/kernels", nil, "Service Unavailable", true},
		"API, not a name":       {"GET", "/user/..%2Fx/api/kernels", nil, "Not Found", false},
		"JSON": {"GET", "/user/gail/lab", []string{"Accept", "application/json"}, "Failed Dependency",
			false},
		"POST": {"POST", "/user/gail/lab", nil, "Failed Dependency", false},
		"script": {"GET", "/user/gail/static/x.js",
			[]string{"Accept", "*/*", "Sec-Fetch-Dest", "script"}, "Failed Dependency", false},
		"WebSocket": {"GET", "/user/gail/terminals/websocket/1",
			[]string{"Upgrade", "websocket", "Connection", "Upgrade"}, "Failed Dependency", false},
	}
	h := newHub(t, nil)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			resp := send(h.Unrouted(), tt.method, tt.target, "", "", tt.headers...)
			if got := answer(resp); got != tt.want || (resp.Header.Get("Retry-After") != "") != tt.retry {
				t.Errorf("%s with Retry-After %q, want %s", got, resp.Header.Get("Retry-After"), tt.want)
			}
			if resp.StatusCode >= 400 && resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("is %s", resp.Header.Get("Content-Type"))
			}
		})
	}
}

func TestWordsForJupyterLab(t *testing.T) {
	h := newHub(t, func(c *setup) { c.BaseURL = "/x/" })
	var got struct{ Message string }
	resp := send(h.Unrouted(), "GET", "/x/user/gail/api/kernels", "", "")
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if want := "JupyterHub server no longer running at /user/gail/api/kernels. Restart the server at " +
		"/x/hub/spawn/gail"; got.Message != want {
		t.Errorf("%q, want %q", got.Message, want)
	}
}

// TestLoopGuard follows a server that is ready but whose route leads back to the hub.
func TestLoopGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, nil)
		target, redirects := "/hub/user/alice/lab?x=1", 0
		for redirects < 20 {
			resp := h.do("GET", target, "alice")
			if resp.StatusCode != http.StatusFound {
				if text := body(t, resp); resp.StatusCode != http.StatusInternalServerError ||
					!strings.Contains(text, "redirect loop detected") {
					t.Errorf("ends with %d\n%s", resp.StatusCode, text)
				}
				break
			}
			redirects++
			u, err := url.Parse(resp.Header.Get("Location"))
			if err != nil || u.Host != "" || !strings.HasPrefix(u.Path, "/user/alice/") || u.Query().Get("x") != "1" {
				t.Fatalf("leads to %s", resp.Header.Get("Location"))
			}
			target = "/hub" + u.RequestURI()
		}
		if redirects != maxRedirects+1 {
			t.Errorf("gave up after %d redirects", redirects)
		}
	})
	h := newHub(t, nil)
	if got := answer(h.do("GET", "/hub/user/alice/?redirects=-7", "alice")); got != "Found /user/alice/?redirects=1" {
		t.Errorf("a negative counter gives %s", got)
	}
}

func TestUnavailable(t *testing.T) {
	h := newHub(t, nil)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k, _ := ident.ParseKey("alice", "")
		h.Unavailable(w, r, k, http.StatusServiceUnavailable)
	})
	for accept, wantType := range map[string]string{"text/html": "text/html; charset=utf-8",
		"application/json": "application/json"} {
		resp := send(handler, "GET", "/user/alice/lab", "", "", "Accept", accept)
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusServiceUnavailable ||
			got != wantType || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d, %s", accept, resp.StatusCode, got)
		}
	}
}

func TestAudit(t *testing.T) {
	h := newHub(t, nil)
	h.do("GET", "/hub/user/alice/lab", "dora") // asks
	h.post("/hub/open/alice", "dora", url.Values{"next": {"/user/alice/lab"}})
	h.post("/hub/open/alice", "bob", nil) // refused
	h.do("GET", "/hub/user/alice/lab", "dora")
	h.post("/hub/stop/alice", "dora", nil)
	h.post("/hub/spawn/erin", "dora", url.Values{"profile": {"gpu"}})
	h.do("GET", "/hub/user/alice/lab", "alice") // one's own
	h.post("/hub/stop/alice", "bob", nil)       // refused
	want := []string{"server-opened dora user=alice", "server-stop-requested dora user=alice",
		"server-start-requested dora user=erin profile=gpu"}
	if diff := cmp.Diff(want, h.told()); diff != "" {
		t.Errorf("audit: want(-) got(+):\n%s", diff)
	}
}

func FuzzUserPath(f *testing.F) {
	h := newHub(f, nil)
	for _, seed := range []string{"alice/lab", "alice//evil.example", "alice/%2e%2e/bob", "alice/\\evil",
		"alice/a?redirects=3&next=//x", "alice%00/x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		target := "/hub/user/" + path
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Skip()
		}
		q := u.Query()
		q.Del("redirects") // which waits
		u.RawQuery = q.Encode()
		r, err := http.NewRequest("GET", u.String(), nil)
		if err != nil {
			t.Skip()
		}
		location := h.do("GET", r.URL.RequestURI(), "alice").Header.Get("Location")
		if location == "" {
			return
		}
		to, err := url.Parse(location)
		if err != nil || to.Host != "" || to.Scheme != "" || strings.HasPrefix(location, "//") ||
			strings.ContainsAny(location, "\\\r\n") {
			t.Errorf("%q leads to %q", target, location)
		}
	})
}

// TestAPIPath tells the paths of programs from those of people.
func TestAPIPath(t *testing.T) {
	for path, want := range map[string]bool{
		"/hub/api/users": true, "/user/alice/api/kernels": true, "/user/alice/gpu/api/kernels": true,
		"/hub/user/alice/api/x": true,
		"/user/alice/lab":       false, "/user/alice/lab/tree/x/api/y": false, "/api": false,
		"/hub/api/oauth2/authorize": false, "/hub/api/oauth2/token": true,
	} {
		if got := apiPath("/", path); got != want {
			t.Errorf("apiPath(%q) = %v, want %v", path, got, want)
		}
	}
}
