package web

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/gifford-lab/gifford-hub/agent/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/launcherbus"
	"github.com/gifford-lab/gifford-hub/agent/login"
	"github.com/gifford-lab/gifford-hub/agent/servers"
)

// fleet is a manager whose servers are in the states it is told.
type fleet struct {
	states map[string]servers.State
	did    []string
}

func (f *fleet) Get(key ident.Key) servers.Server {
	s := servers.Server{Key: key, State: servers.Stopped, Since: time.Now()}
	if state, ok := f.states[key.String()]; ok {
		s.State = state
	}
	if s.State == servers.Failed {
		s.Failure = &servers.Failure{Message: "it broke\nhint: journalctl -u jupyter-alice", Lines: []string{"<script>alert(1)</script>"}}
	}
	return s
}

func (f *fleet) List() []servers.Server {
	var all []servers.Server
	for name := range f.states {
		key, _ := ident.ParseKey(name, "")
		all = append(all, f.Get(key))
	}
	return all
}

func (f *fleet) Start(key ident.Key, profile string) error {
	f.did = append(f.did, "start "+key.String()+" "+profile)
	f.states[key.String()] = servers.Starting
	return nil
}

func (f *fleet) Stop(_ context.Context, key ident.Key) error {
	f.did = append(f.did, "stop "+key.String())
	return nil
}

// site gives the pages. The header X-Test-User is the browser's session; dora is an
// administrator.
func site(t *testing.T, base string, profiles ...launcherbus.Profile) (*Web, *fleet) {
	t.Helper()
	f := &fleet{states: map[string]servers.State{}}
	stub := func(name string) httpx.Handler {
		return func(rw http.ResponseWriter, _ *http.Request) error {
			_, err := io.WriteString(rw, name)
			return err
		}
	}
	w, err := New(Config{BaseURL: base, Version: "5.5.1", ProviderName: "the institute", Log: slog.New(slog.DiscardHandler),
		Member: func(r *http.Request) (login.Member, error) {
			u, err := ident.ParseUser(r.Header.Get("X-Test-User"))
			if err != nil {
				return login.Member{}, login.ErrNoSession
			}
			return login.Member{User: u, Admin: u.String() == "dora"}, nil
		},
		Start: stub("start"), Callback: stub("callback"), Logout: stub("logout"), CallbackPath: "/hub/oauth2_callback",
		Ready: func(context.Context) error { return nil }, Wrap: func(h http.Handler) http.Handler { return h }, Servers: f,
		Profiles: func(context.Context) ([]launcherbus.Profile, error) { return profiles, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w, f
}

// ask sends a browser's request: "METHOD path", and a user or "".
func ask(h http.Handler, request, user string, headers ...string) *httptest.ResponseRecorder {
	method, path, _ := strings.Cut(request, " ")
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Accept", "text/html,*/*")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if user != "" {
		r.Header.Set("X-Test-User", user)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, r)
	return rw
}

// TestRoutes is the table of who sees what. Alice's server runs, bob's is stopped, erin's
// has failed and gail's is starting.
func TestRoutes(t *testing.T) {
	tests := []struct {
		user, request string
		status        int
		location      string
	}{
		{"", "GET /", 302, "/hub/"},
		{"", "GET /lab/tree?x=1", 302, "/hub/lab/tree?x=1"},
		{"", "GET //evil.example/", 307, "/evil.example/"},
		{"", "GET /hub", 302, "/hub/"},
		{"", "GET /hub/", 302, "/hub/login?next=%2Fhub%2F"},
		{"alice", "GET /hub/", 302, "/user/alice/"},
		{"bob", "GET /hub/", 302, "/hub/home"},
		{"", "GET /hub/login", 200, ""},
		{"", "GET /hub/login?next=//evil.example/", 200, ""},
		{"alice", "GET /hub/login?next=/user/alice/lab", 302, "/user/alice/lab"},
		{"alice", "GET /hub/login?next=https://evil.example/", 302, "/hub/home"},
		{"", "GET /hub/oauth_login", 200, ""},
		{"", "GET /hub/oauth2_callback", 200, ""},
		{"alice", "GET /hub/logout", 200, ""},
		{"", "GET /hub/home", 302, "/hub/login?next=%2Fhub%2Fhome"},
		{"alice", "GET /hub/home", 200, ""},
		{"alice", "GET /hub/spawn", 302, "/user/alice/"},
		{"bob", "GET /hub/spawn", 200, ""},
		{"gail", "GET /hub/spawn", 303, "/hub/spawn-pending/gail"},
		{"bob", "GET /hub/spawn/alice", 404, ""},
		{"dora", "GET /hub/spawn/bob", 200, ""},
		{"", "POST /hub/spawn", 401, ""},
		{"bob", "POST /hub/spawn", 303, "/hub/spawn-pending/bob"},
		{"bob", "POST /hub/spawn/alice", 404, ""},
		{"bob", "PUT /hub/spawn", 404, ""},
		{"bob", "POST /hub/stop/alice", 404, ""},
		{"alice", "POST /hub/stop", 303, "/hub/home"},
		{"dora", "POST /hub/stop/alice", 303, "/hub/home"},
		{"gail", "GET /hub/spawn-pending/gail", 200, ""},
		{"alice", "GET /hub/spawn-pending/alice?next=/user/alice/lab", 302, "/user/alice/lab"},
		{"alice", "GET /hub/spawn-pending/alice?next=//evil.example", 302, "/user/alice/"},
		{"erin", "GET /hub/spawn-pending/erin", 500, ""},
		{"bob", "GET /hub/spawn-pending/alice", 404, ""},
		{"", "GET /hub/user/alice/lab?a=b", 302, "/hub/login?next=%2Fhub%2Fuser%2Falice%2Flab%3Fa%3Db"},
		{"alice", "GET /hub/user/alice/lab?a=b", 302, "/user/alice/lab?a=b&redirects=1"},
		{"alice", "GET /hub/user/alice/lab?redirects=4", 500, ""},
		{"bob", "GET /hub/user/bob/lab", 424, ""},
		{"erin", "GET /hub/user/erin/lab", 424, ""},
		{"gail", "GET /hub/user/gail/lab", 303, "/hub/spawn-pending/gail?next=%2Fuser%2Fgail%2Flab"},
		{"bob", "GET /hub/user/alice/lab", 404, ""},
		{"bob", "GET /hub/user/nobody-here/lab", 404, ""},
		{"bob", "GET /hub/user/bob/api/kernels", 424, ""},
		{"alice", "GET /hub/user-redirect/lab/tree/x?y=1", 302, "/hub/user/alice/lab/tree/x?y=1"},
		{"", "GET /hub/health", 200, ""},
		{"", "HEAD /hub/health", 200, ""},
		{"", "GET /hub/error/503", 503, ""},
		{"", "GET /hub/error/200", 404, ""},
		{"", "GET /hub/static/style.css?v=1", 200, ""},
		{"", "GET /hub/static/..%2Fweb.go", 404, ""},
		{"", "GET /hub/logo", 200, ""},
		{"", "POST /hub/security/csp-report", 204, ""},
		{"", "GET /hub/nonsense", 404, ""},
	}
	for _, tt := range tests {
		t.Run(tt.user+" "+tt.request, func(t *testing.T) {
			w, f := site(t, "/")
			for name, state := range map[string]servers.State{"alice": servers.Ready, "erin": servers.Failed, "gail": servers.Starting} {
				f.states[name] = state
			}
			rw := ask(w.Handler(), tt.request, tt.user)
			if rw.Code != tt.status || rw.Header().Get("Location") != tt.location {
				t.Errorf("status %d to %q, want %d to %q", rw.Code, rw.Header().Get("Location"), tt.status, tt.location)
			}
			if rw.Header().Get("X-JupyterHub-Version") != "5.5.1" || !strings.Contains(rw.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'") {
				t.Errorf("headers are %v", rw.Header())
			}
			if strings.HasPrefix(tt.request, "GET") && len(f.did) > 0 {
				t.Errorf("a GET did %v", f.did)
			}
		})
	}
}

// TestOtherSitesCannotAct checks that a form on another site starts and stops nothing.
func TestOtherSitesCannotAct(t *testing.T) {
	w, f := site(t, "/")
	for _, request := range []string{"POST /hub/spawn", "POST /hub/stop", "POST /hub/logout"} {
		if rw := ask(w.Handler(), request, "alice", "Sec-Fetch-Site", "cross-site"); rw.Code != http.StatusForbidden {
			t.Errorf("%s from another site: status %d", request, rw.Code)
		}
	}
	if len(f.did) > 0 {
		t.Errorf("another site did %v", f.did)
	}
}

// TestPages looks at the HTML of every page: no inline script or style, a label for every
// control, forms that post to routes that are there, and nothing hostile unescaped.
func TestPages(t *testing.T) {
	two := []launcherbus.Profile{{Name: "a", DisplayName: "A", Default: true}, {Name: "b", DisplayName: "<b>B</b>"}}
	w, f := site(t, "/jhub/", two...)
	for name, state := range map[string]servers.State{"alice": servers.Ready, "erin": servers.Failed, "gail": servers.Starting, "dora": servers.Stopping} {
		f.states[name] = state
	}
	handler := w.Handler()
	for user, paths := range map[string][]string{
		"":      {"hub/login?next=/jhub/user/x/%22%3E%3Cscript%3E", "hub/nonsense", "hub/error/500"},
		"alice": {"hub/home"}, "bob": {"hub/home", "hub/spawn", "hub/user/bob/lab"},
		"erin": {"hub/home", "hub/spawn-pending/erin"}, "gail": {"hub/home", "hub/spawn-pending/gail"},
		"dora": {"hub/home", "hub/spawn-pending/dora", "hub/spawn/bob"},
	} {
		for _, path := range paths {
			t.Run(user+" "+path, func(t *testing.T) { checkPage(t, handler, ask(handler, "GET /jhub/"+path, user)) })
		}
	}
	rw := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/jhub/hub/api/oauth2/authorize?client_id=x&state=%22%3E", nil)
	r.Header.Set("X-Test-User", "dora")
	alice, _ := ident.ParseUser("alice")
	if err := w.Confirm(rw, r, alice, "/jhub/user/alice/"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(rw.Body.String(), `action="/jhub/hub/api/oauth2/authorize?client_id=x&amp;state=%22%3E"`) {
		t.Errorf("the confirmation does not post to its own address:\n%s", rw.Body)
	}
}

func checkPage(t *testing.T, handler http.Handler, rw *httptest.ResponseRecorder) {
	t.Helper()
	body := rw.Body.String()
	for _, bad := range []string{"<script>", "<b>B</b>", "/user/x/\"><"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page holds %q unescaped", bad)
		}
	}
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	headings := 0
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attrs := map[string]string{}
		for _, a := range n.Attr {
			attrs[a.Key] = a.Val
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Errorf("<%s> has an inline %s", n.Data, a.Key)
			}
		}
		switch n.Data {
		case "style":
			t.Error("the page has an inline style")
		case "script":
			if attrs["src"] == "" {
				t.Error("the page has an inline script")
			}
		case "h1":
			headings++
		case "input":
			if attrs["type"] != "hidden" && (n.Parent == nil || n.Parent.Data != "label") {
				t.Errorf("input %q has no label", attrs["name"])
			}
		case "form":
			if target := ask(handler, strings.ToUpper(attrs["method"])+" "+attrs["action"], "dora"); target.Code == http.StatusNotFound {
				t.Errorf("the form's target %s %s is not there", attrs["method"], attrs["action"])
			}
		case "link", "script ":
			if !strings.HasPrefix(attrs["href"], "/jhub/hub/") {
				t.Errorf("the page needs %q from elsewhere", attrs["href"])
			}
		}
	}
	if headings != 1 {
		t.Errorf("the page has %d headings of the first level", headings)
	}
}

func TestDenied(t *testing.T) {
	w, _ := site(t, "/")
	carol, _ := ident.ParseUser("carol")
	rw := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/hub/oauth2_callback", nil)
	r.Header.Set("Accept", "text/html")
	w.RenderError(rw, r, &login.Denied{Reason: login.NotInGroup, User: carol, Detail: "cgs"})
	if rw.Code != http.StatusForbidden || !strings.Contains(rw.Body.String(), "carol is in no group") || !strings.Contains(rw.Body.String(), "switch=1") {
		t.Errorf("status %d:\n%s", rw.Code, rw.Body)
	}
}

func TestUnmarkedErrorsStayInside(t *testing.T) {
	w, _ := site(t, "/")
	rw := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/hub/home", nil)
	r.Header.Set("Accept", "text/html")
	w.RenderError(rw, r, errors.New("password is sesame"))
	if rw.Code != http.StatusInternalServerError || strings.Contains(rw.Body.String(), "sesame") {
		t.Errorf("status %d:\n%s", rw.Code, rw.Body)
	}
}

// TestUnrouted is what the proxy answers with where it has no route.
func TestUnrouted(t *testing.T) {
	tests := map[string]struct {
		request string
		headers []string
		status  int
		has     string
	}{
		"page":            {"GET /user/bob/lab?x=1", nil, 302, "/hub/user/bob/lab?x=1"},
		"API":             {"GET /user/bob/api/kernels", nil, 424, "no longer running at /user/bob/"},
		"program":         {"GET /user/bob/lab", []string{"Accept", "application/json"}, 424, "Restart the server at /hub/spawn/bob"},
		"POST":            {"POST /user/bob/login", nil, 424, "no longer running"},
		"WebSocket":       {"GET /user/bob/terminals/websocket/1", []string{"Upgrade", "websocket"}, 424, "no longer running"},
		"starting":        {"GET /user/gail/api/kernels", nil, 503, "starting"},
		"nobody's server": {"GET /user/nobody-here/api/x", nil, 424, "no longer running"},
		"no name":         {"GET /user/..%2Fbob/api/x", nil, 404, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w, f := site(t, "/")
			f.states["gail"] = servers.Starting
			rw := ask(w.Unrouted(), tt.request, "", tt.headers...)
			if rw.Code != tt.status || !strings.Contains(rw.Body.String()+rw.Header().Get("Location"), tt.has) {
				t.Errorf("status %d to %q, want %d with %q:\n%s", rw.Code, rw.Header().Get("Location"), tt.status, tt.has, rw.Body)
			}
		})
	}
}

// TestRoutesHaveRules fails for a route that nobody thought about.
func TestRoutesHaveRules(t *testing.T) {
	for _, rt := range routes() {
		if rt.access == nobody || rt.handler == nil {
			t.Errorf("%s has no rule of who may see it", rt.pattern)
		}
	}
}

func FuzzPrefixRedirect(f *testing.F) {
	f.Add("/x")
	f.Add("//evil.example/")
	f.Add("/\\evil.example")
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") {
			return
		}
		w, _ := site(t, "/")
		rw := httptest.NewRecorder()
		r := &http.Request{Method: "GET", URL: u, RequestURI: path, Header: http.Header{}}
		if err := w.prefixRedirect(rw, r, login.Member{}); err != nil {
			t.Fatal(err)
		}
		if to := rw.Header().Get("Location"); !strings.HasPrefix(to, "/hub/") {
			t.Errorf("%q leads to %q", path, to)
		}
	})
}
