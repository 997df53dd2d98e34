package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// visitors takes everybody for somebody who is not the server's owner.
var visitors = admits{&Leave{Holds: always}}

// TestWithoutGate checks that a handler without a gate lets nobody through.
func TestWithoutGate(t *testing.T) {
	p := newProxy(t, Config{})
	p.SetRoute(key(t, "alice", ""), upstream(t, named("alice")))
	w := httptest.NewRecorder()
	p.Handler(nil, Answers{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/user/alice/", nil))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "alice /user") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// refuses answers for the server with its name.
type refuses struct{}

func (refuses) Admit(w http.ResponseWriter, _ *http.Request, k ident.Key) *Leave {
	http.Error(w, "no leave for "+k.String(), http.StatusForbidden)
	return nil
}

// TestGateIsAsked checks that each path is judged for the server that would get it, and that a refusal is all that
// there is.
func TestGateIsAsked(t *testing.T) {
	var reached atomic.Int32
	p := newProxy(t, Config{})
	for _, server := range []string{"", "gpu"} {
		p.SetRoute(key(t, "alice", server), upstream(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			reached.Add(1)
		})))
	}
	s := front(t, p.Handler(refuses{}, Answers{}))
	for uri, want := range map[string]string{"/user/alice/lab": "alice", "/user/alice/gpu/lab": "alice:gpu",
		"/user/alice/%67pu/lab": "alice:gpu", "/user/alice/other/gpu/": "alice",
		"/user/alice/gpu/../lab": "alice:gpu"} {
		got := raw(t, s.Listener.Addr().String(), uri, "Connection: Upgrade", "Upgrade: websocket")
		if !strings.HasPrefix(got, "HTTP/1.1 403") || !strings.Contains(got, "no leave for "+want+"\n") {
			t.Errorf("%s: %s", uri, got)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d requests reached a server", n)
	}
}

// TestLeaveEnds ends a WebSocket and a request that is being answered when their leave no longer holds, and lets others
// go on.
func TestLeaveEnds(t *testing.T) {
	p := newProxy(t, Config{})
	p.SetRoute(key(t, "alice", ""), upstream(t, talking()))
	var ended atomic.Bool
	mine := &Leave{Holds: func(context.Context) bool { return !ended.Load() }}
	s := front(t, p.Handler(byPath{"/user/alice/mine": mine, "/user/alice/other": visitors.leave}, Answers{}))
	open := map[string]*http.Response{}
	for _, what := range []string{"mine/stream", "mine/upgrade", "other/stream", "other/upgrade"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/user/alice/"+what, nil)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(what, "upgrade") {
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "test")
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		open[what] = resp
		if line, err := bufio.NewReaderSize(resp.Body, 16).ReadString('\n'); err != nil || line != "hello\n" {
			t.Fatalf("%s: %q, %v", what, line, err)
		}
	}
	p.Judge(t.Context())
	if p.Open() != 4 {
		t.Fatalf("%d are open before", p.Open())
	}
	ended.Store(true)
	p.Judge(t.Context())
	for _, what := range []string{"mine/stream", "mine/upgrade"} {
		if _, err := io.ReadAll(open[what].Body); err == nil && what == "mine/stream" {
			t.Errorf("%s ended as if it were complete", what)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); p.Open() != 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d are open", p.Open())
		}
	}
}

// byPath admits by what a path begins with.
type byPath map[string]*Leave

func (b byPath) Admit(_ http.ResponseWriter, r *http.Request, _ ident.Key) *Leave {
	for prefix, leave := range b {
		if strings.HasPrefix(r.URL.Path, prefix) {
			return leave
		}
	}
	return nil
}

// talking says hello, in an answer or after an upgrade, and then waits for the client to go.
func talking() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			_, _ = io.WriteString(w, "hello\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\nhello\n")
		_, _ = io.Copy(io.Discard, conn)
	})
}

// TestEndedBeforeItBegan checks that a request does not reach the server whose leave ended after it was given.
func TestEndedBeforeItBegan(t *testing.T) {
	var reached atomic.Bool
	p := newProxy(t, Config{})
	p.SetRoute(key(t, "alice", ""), upstream(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		reached.Store(true)
	})))
	w := httptest.NewRecorder()
	gone := admits{&Leave{Holds: func(context.Context) bool { return false }}}
	p.Handler(gone, Answers{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/user/alice/", nil))
	if w.Code != http.StatusForbidden || reached.Load() {
		t.Errorf("%d %s; reached %v", w.Code, w.Body, reached.Load())
	}
}

// TestPreflight checks that of a browser's question nothing passes that could do anything else, in both directions.
func TestPreflight(t *testing.T) {
	var got *http.Request
	var body []byte
	p := newProxy(t, Config{})
	p.SetRoute(key(t, "alice", ""), upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "https://x.example")
		h.Set("Vary", "Origin")
		h.Set("Set-Cookie", "a=b")
		h.Set("X-Secret", "x")
		_, _ = io.WriteString(w, "all of alice's files")
	})))
	s := front(t, p.Handler(admits{&Leave{Preflight: true, Holds: always}}, Answers{}))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, s.URL+"/user/alice/api",
		strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Cookie", "Authorization", "Upgrade", "X-Anything", "Access-Control-Request-Method",
		"Origin"} {
		r.Header.Set(name, "x")
	}
	r.Header.Set("Connection", "Upgrade")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, _ := io.ReadAll(resp.Body)
	for _, name := range []string{"Cookie", "Authorization", "Upgrade", "X-Anything", "Content-Type"} {
		if got.Header.Get(name) != "" {
			t.Errorf("the server gets %s", name)
		}
	}
	if got.Header.Get("Origin") != "x" || got.Header.Get("Access-Control-Request-Method") != "x" || len(body) > 0 {
		t.Errorf("the server gets %v with %q", got.Header, body)
	}
	resp.Header.Del("Date")
	want := http.Header{"Access-Control-Allow-Origin": {"https://x.example"}, "Vary": {"Origin"},
		"Content-Length": {"0"}}
	if diff := cmp.Diff(want, resp.Header); diff != "" || len(answer) > 0 {
		t.Errorf("the page gets %q, -want +got:\n%s", answer, diff)
	}
}

// TestConfined has what is added to what a server sends to its owner, to others and, with an origin each, to both.
func TestConfined(t *testing.T) {
	apart, err := origins.New("https://hub.example.org/x/", "https://{user}.hub.example.org")
	if err != nil {
		t.Fatal(err)
	}
	together, err := origins.New("https://pub.example.org/x/", "")
	if err != nil {
		t.Fatal(err)
	}
	at := func(origins ...string) (policy string) {
		own := ""
		for _, o := range origins {
			own += " " + o + "/x/user/alice/ ws" + strings.TrimPrefix(o, "http") + "/x/user/alice/"
		}
		for _, d := range []string{"connect-src", "frame-src", "child-src", "worker-src", "object-src"} {
			policy += d + own + " data: blob:; "
		}
		return policy + "form-action" + own
	}
	const isolated = "Cross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Embedder-Policy: require-corp\r\n"
	for name, tt := range map[string]struct {
		gate       admits
		origins    origins.Origins
		host, sent string
		opener     []string
		policies   []string
	}{
		"owner": {owners, together, "hub.example.org", "", []string{ownersOpener}, nil},
		"owner, as the hub's": {owners, together, "hub.example.org", "Cross-Origin-Opener-Policy: same-origin\r\n",
			[]string{ownersOpener}, nil},
		"owner, isolated": {owners, together, "hub.example.org", isolated, []string{"same-origin"}, nil},
		"owner, two opener policies": {owners, together, "hub.example.org",
			isolated + "Cross-Origin-Opener-Policy: unsafe-none\r\n", []string{ownersOpener}, nil},
		"visitor": {visitors, together, "hub.example.org", "", []string{visitorsOpener},
			[]string{at("http://hub.example.org", "https://pub.example.org")}},
		"visitor, with its own policy": {visitors, together, "hub.example.org:8443",
			"Content-Security-Policy: default-src *; connect-src *\r\n", []string{visitorsOpener},
			[]string{"default-src *; connect-src *", at("http://hub.example.org:8443", "https://pub.example.org")}},
		"visitor, isolated": {visitors, together, "hub.example.org", isolated, []string{visitorsOpener},
			[]string{at("http://hub.example.org", "https://pub.example.org")}},
		"visitor, an odd host": {visitors, together, "a;connect-src *", "", []string{visitorsOpener},
			[]string{at("https://pub.example.org")}},
		"visitor, nothing known": {visitors, origins.Origins{}, "a b", "", []string{visitorsOpener},
			[]string{strings.ReplaceAll(at(), "-src data", "-src 'none' data") + " 'none'"}},
		"apart, owner":   {owners, apart, "alice.hub.example.org", isolated, []string{"same-origin"}, nil},
		"apart, visitor": {visitors, apart, "alice.hub.example.org", isolated, []string{"same-origin"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, Config{BaseURL: "/x/", Origins: tt.origins})
			p.SetRoute(key(t, "alice", ""), addressOf(saying(t,
				"HTTP/1.1 200 OK\r\n"+tt.sent+"Content-Length: 0\r\n\r\n")))
			r := httptest.NewRequest(http.MethodGet, "/x/user/alice/lab", nil)
			r.Host = tt.host
			w := httptest.NewRecorder()
			p.Handler(tt.gate, Answers{}).ServeHTTP(w, r)
			if diff := cmp.Diff(tt.opener, w.Header()[openerPolicy]); diff != "" {
				t.Errorf("opener policy, -want +got:\n%s", diff)
			}
			if diff := cmp.Diff(tt.policies, w.Header()["Content-Security-Policy"]); diff != "" {
				t.Errorf("content security policy, -want +got:\n%s", diff)
			}
		})
	}
}

// TestConfinedRedirects has where a server may redirect whom.
func TestConfinedRedirects(t *testing.T) {
	const page, script, frame, form, old = "page", "script", "frame", "form", "old"
	out := []string{"/hub/home", "/user/dora/api", "../dora/", "/user/alice/../dora/", "/user/alice/%2e%2e/dora/",
		"//hub.example.org/hub/", "https://hub.example.org/hub/", "https://HUB.example.org:443/hub/",
		"http://hub.example.org./hub/", "https://pub.example.org/user/dora/", "https:/hub/", "https:hub/", `/\hub/`,
		"/user/alice\\..\\dora", "\t/hub/", "/user/alice", "https://x@hub.example.org/hub/", "javascript:alert(1)",
		"/%2e%2e/hub/", "https://hub.example.org/user/alice/../dora/"}
	in := []string{"/user/alice/", "/user/alice/x?next=/hub/", "x/y", "?a=../..", "#a", "https://cdn.example.com/x.js",
		"//cdn.example.com/x.js", "https://hub.example.org/user/alice/x", "https://pub.example.org/user/alice/x"}
	together, err := origins.New("https://pub.example.org/", "")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(gate admits, who string, status int, to string) (int, string) {
		p := newProxy(t, Config{Origins: together})
		p.SetRoute(key(t, "alice", ""), addressOf(saying(t, fmt.Sprintf("HTTP/1.1 %d x\r\nLocation: %s\r\n"+
			"Content-Length: 2\r\n\r\nhi", status, to))))
		r := httptest.NewRequest(http.MethodGet, "/user/alice/x", nil)
		r.Host = "hub.example.org"
		headers := map[string][]string{page: {"navigate", "document"}, script: {"cors", "empty"},
			frame: {"navigate", "iframe"}, form: {"navigate", "document"}}[who]
		if headers != nil {
			r.Header.Set("Sec-Fetch-Mode", headers[0])
			r.Header.Set("Sec-Fetch-Dest", headers[1])
		}
		if who == form {
			r.Method = http.MethodPost
		}
		w := httptest.NewRecorder()
		p.Handler(gate, Answers{}).ServeHTTP(w, r)
		return w.Code, w.Header().Get("Location")
	}
	for _, to := range out {
		for _, tt := range []struct {
			gate   admits
			who    string
			status int
			passes bool
		}{{visitors, script, 302, false}, {visitors, frame, 303, false}, {visitors, form, 307, false},
			{visitors, form, 308, false}, {visitors, old, 302, false}, {visitors, page, 302, true},
			{visitors, page, 307, true}, {visitors, form, 303, true}, {owners, script, 302, true}} {
			code, location := ask(tt.gate, tt.who, tt.status, to)
			if passes := code == tt.status && location != ""; passes != tt.passes || !passes && code != 502 {
				t.Errorf("%q, %s by %d: %d to %q", to, tt.who, tt.status, code, location)
			}
		}
	}
	for _, to := range in {
		if code, location := ask(visitors, script, 302, to); code != 302 || location != to {
			t.Errorf("%q within: %d to %q", to, code, location)
		}
	}
	if code, location := ask(visitors, script, 201, "/hub/"); code != 201 || location != "/hub/" {
		t.Errorf("no redirect: %d to %q", code, location)
	}
}

// FuzzStaysBelow compares staysBelow with what a URL parser makes of a Location.
func FuzzStaysBelow(f *testing.F) {
	for _, s := range []string{"/user/alice/x", "../hub", "//x/", "https://hub.example.org/user/alice/", "a/../../b"} {
		f.Add(s)
	}
	base := httptest.NewRequest(http.MethodGet, "https://hub.example.org/user/alice/a/b", nil).URL
	f.Fuzz(func(t *testing.T, to string) {
		if !staysBelow(to, "/user/alice/", "hub.example.org", "") {
			return
		}
		u, err := base.Parse(to)
		if err != nil {
			t.Fatalf("%q cannot be parsed", to)
		}
		if strings.EqualFold(u.Hostname(), base.Hostname()) && !strings.HasPrefix(u.EscapedPath(), "/user/alice/") {
			t.Errorf("%q leads to %s", to, u)
		}
	})
}
