package proxy

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/google/go-cmp/cmp"
)

func key(t testing.TB, user, server string) ident.Key {
	t.Helper()
	k, err := ident.ParseKey(user, server)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newProxy(t testing.TB, cfg Config) *Proxy {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// admits lets everybody through in the same way.
type admits struct{ leave *Leave }

func (a admits) Admit(http.ResponseWriter, *http.Request, ident.Key) *Leave { return a.leave }

// always is how a leave holds that does not end.
func always(context.Context) bool { return true }

// owners takes everybody for the server's owner.
var owners = admits{&Leave{Owner: true, Holds: always}}

// passing returns p's handler, which answers 424 where there is no route.
func passing(p *Proxy) http.Handler {
	return p.Handler(owners, Answers{Unrouted: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusFailedDependency)
	})})
}

// socket serves h on a UNIX socket, as a member's server does.
func socket(t testing.TB, h http.Handler) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "up") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "nb.sock")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(func() { _ = s.Close() })
	return socket
}

// upstream is the address of a server of our own account.
func upstream(t testing.TB, h http.Handler) backend.Address {
	return backend.UnixSocket(socket(t, h), myUID())
}

// addressOf is the address of a socket of our own account.
func addressOf(socket string) backend.Address { return backend.UnixSocket(socket, myUID()) }

func front(t testing.TB, h http.Handler) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func myUID() uint32 { return uint32(os.Getuid()) }

// named answers with its name and the request's URI as it came over the wire.
func named(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", name,
			r.RequestURI)
	})
}

// raw sends a request line as it is, without a client that would fix it.
func raw(t *testing.T, addr, uri string, headers ...string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: hub.example.org\r\nConnection: close\r\n%s\r\n", uri,
		strings.Join(append(headers, ""), "\r\n"))
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

func TestRoutes(t *testing.T) {
	p := newProxy(t, Config{})
	p.SetRoute(key(t, "alice", ""), upstream(t, named("alice")))
	p.SetRoute(key(t, "alice", "gpu"), upstream(t, named("alice:gpu")))
	p.SetRoute(key(t, "bob", ""), upstream(t, named("bob")))
	s := front(t, passing(p))
	tests := map[string]struct{ uri, want string }{
		"default": {"/user/alice/lab", "alice /user/alice/lab"},
		"named":   {"/user/alice/gpu/lab", "alice:gpu /user/alice/gpu/lab"},
		"escapes stay": {"/user/alice/files/a%2Fb%20c%7e?x=%2F&y=a;b&&z",
			"alice /user/alice/files/a%2Fb%20c%7e?x=%2F&y=a;b&&z"},
		"empty query stays":            {"/user/alice/x?", "alice /user/alice/x?"},
		"odd characters stay":          {`/user/alice/a"b|c[d]`, `alice /user/alice/a"b|c[d]`},
		"double slash stays":           {"/user/alice//x//", "alice /user/alice//x//"},
		"dots go to whom they stand":   {"/user/alice/../bob/", "alice /user/alice/../bob/"},
		"encoded dots too":             {"/user/alice/%2e%2e/bob/x", "alice /user/alice/%2e%2e/bob/x"},
		"encoded slash too":            {"/user/alice/..%2Fbob/x", "alice /user/alice/..%2Fbob/x"},
		"escaped name":                 {"/user/%61lice/x", "alice /user/%61lice/x"},
		"escaped named server":         {"/user/alice/%67pu/x", "alice:gpu /user/alice/%67pu/x"},
		"encoded slash is no segment":  {"/user/alice%2Fgpu/x", ""},
		"nobody's":                     {"/user/carol/x", ""},
		"other user's server by query": {"/user/carol/?/user/bob/", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := raw(t, s.Listener.Addr().String(), tt.uri)
			if tt.want == "" {
				if !strings.HasPrefix(got, "HTTP/1.1 424") {
					t.Errorf("GET %s: %s; want 424", tt.uri, got)
				}
				return
			}
			if _, body, _ := strings.Cut(got, "\r\n\r\n"); body != tt.want {
				t.Errorf("GET %s: %q, want %q", tt.uri, body, tt.want)
			}
		})
	}
}

func TestRouteGoes(t *testing.T) {
	p := newProxy(t, Config{})
	alice := key(t, "alice", "")
	began := make(chan struct{}, 1)
	p.SetRoute(alice, upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		<-r.Context().Done()
	})))
	s := front(t, passing(p))
	status := make(chan int)
	go func() { status <- get(t, s.URL+"/user/alice/x") }()
	<-began
	if n := p.Open(); n != 1 {
		t.Errorf("%d requests are open, want 1", n)
	}
	p.DeleteRoute(alice)
	if got := <-status; got != http.StatusServiceUnavailable {
		t.Errorf("a request whose route went: %d, want 503", got)
	}
	if _, ok := p.Lookup(alice); ok {
		t.Error("the route is still there")
	}
	if got := get(t, s.URL+"/user/alice/x"); got != http.StatusFailedDependency {
		t.Errorf("afterwards: %d, want 424", got)
	}
}

func get(t *testing.T, url string) int {
	resp, err := http.Get(url)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func TestFailures(t *testing.T) {
	broken := filepath.Join(filepath.Dir(socket(t, named(""))), "broken.sock")
	ln, err := net.Listen("unix", broken)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go answerRubbish(ln)
	served := false
	theirs := socket(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true }))
	tests := map[string]struct {
		socket string
		uid    uint32
		want   int
		event  string
	}{
		"no socket":      {"/nowhere/nb.sock", myUID(), 503, "server-unreachable"},
		"stranger":       {theirs, myUID() + 1, 502, "socket-refused"},
		"link to others": {link(t, theirs), myUID() + 1, 502, "socket-refused"},
		"no HTTP":        {broken, myUID(), 502, "server-unreachable"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			p := newProxy(t, Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
			p.SetRoute(key(t, "alice", ""), backend.UnixSocket(tt.socket, tt.uid))
			w := httptest.NewRecorder()
			passing(p).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/user/alice/", nil))
			if w.Code != tt.want || !strings.Contains(log.String(), "event="+tt.event+" user=alice") {
				t.Errorf("status %d, want %d; log: %s", w.Code, tt.want, log.String())
			}
			if served {
				t.Error("the stranger got the request")
			}
		})
	}
}

func answerRubbish(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		fmt.Fprint(conn, "no HTTP\n")
		_ = conn.Close()
	}
}

func link(t *testing.T, to string) string {
	at := filepath.Join(filepath.Dir(to), "link.sock")
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
	return at
}

// TestForwardingHeaders checks what a server is told of where a request came from.
func TestForwardingHeaders(t *testing.T) {
	lies := []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 7.7.7.7", "X-Forwarded-Proto: https",
		"X-Forwarded-Host: evil.example",
		"X-Forwarded-Port: 666", "Forwarded: for=6.6.6.6", "X-Real-IP: 6.6.6.6", "X-Scheme: https",
		"X-Forwarded-Ssl: on", "X-Forwarded-Prefix: /evil"}
	local := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	tests := map[string]struct {
		trusted []netip.Prefix
		send    []string
		want    map[string]string
	}{
		"client's lies are dropped": {nil, lies, map[string]string{"For": "127.0.0.1", "Proto": "http",
			"Host": "hub.example.org", "Port": "80", "Real": "127.0.0.1"}},
		"nothing sent": {nil, nil, map[string]string{"For": "127.0.0.1", "Proto": "http",
			"Host": "hub.example.org", "Port": "80", "Real": "127.0.0.1"}},
		"trusted proxy": {local, []string{"X-Forwarded-For: 6.6.6.6, 9.9.9.9", "X-Forwarded-Proto: https",
			"X-Forwarded-Host: public.example", "Forwarded: for=9.9.9.9"},
			map[string]string{"For": "9.9.9.9", "Proto": "https", "Host": "public.example", "Port": "443",
				"Real": "9.9.9.9", "Forwarded": "for=9.9.9.9"}},
		"two trusted proxies": {local, []string{"X-Forwarded-For: 6.6.6.6, 9.9.9.9, 127.0.0.2",
			"X-Forwarded-Port: 8443"},
			map[string]string{"For": "9.9.9.9", "Proto": "http", "Host": "hub.example.org", "Port": "8443",
				"Real": "9.9.9.9"}},
		"trusted proxy with rubbish": {local, []string{"X-Forwarded-For: <script>", "X-Scheme: javascript"},
			map[string]string{"For": "127.0.0.1", "Proto": "http", "Host": "hub.example.org", "Port": "80",
				"Real": "127.0.0.1"}},
		"another is trusted": {[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, lies,
			map[string]string{"For": "127.0.0.1", "Proto": "http", "Host": "hub.example.org", "Port": "80",
				"Real": "127.0.0.1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got http.Header
			var host string
			p := newProxy(t, Config{TrustedProxies: tt.trusted})
			p.SetRoute(key(t, "alice", ""), upstream(t, http.HandlerFunc(func(_ http.ResponseWriter,
				r *http.Request) {
				got, host = r.Header, r.Host
			})))
			raw(t, front(t, passing(p)).Listener.Addr().String(), "/user/alice/",
				append(tt.send, "Authorization: token abc", "Cookie: a=b")...)
			want := http.Header{"Authorization": {"token abc"}, "Cookie": {"a=b"}, "X-Forwarded-For": {tt.want["For"]},
				"X-Real-Ip":         {tt.want["Real"]},
				"X-Forwarded-Proto": {tt.want["Proto"]}, "X-Scheme": {tt.want["Proto"]},
				"X-Forwarded-Host": {tt.want["Host"]}, "X-Forwarded-Port": {tt.want["Port"]}}
			if f := tt.want["Forwarded"]; f != "" {
				want["Forwarded"] = []string{f}
			}
			if diff := cmp.Diff(want, got); diff != "" || host != "hub.example.org" {
				t.Errorf("host %q, headers (-want +got):\n%s", host, diff)
			}
		})
	}
}

func TestSpoofByConnectionHeader(t *testing.T) {
	var got http.Header
	p := newProxy(t, Config{})
	p.SetRoute(key(t, "alice", ""), upstream(t, http.HandlerFunc(func(_ http.ResponseWriter,
		r *http.Request) {
		got = r.Header
	})))
	raw(t, front(t, passing(p)).Listener.Addr().String(), "/user/alice/", "Connection: X-Forwarded-For, X-Real-Ip")
	if got.Get("X-Forwarded-For") != "127.0.0.1" || got.Get("X-Real-Ip") != "127.0.0.1" {
		t.Errorf("a client took our headers away: %v", got)
	}
}

// TestHTTP2 checks an echo over HTTP/2 and that TLS is told.
func TestHTTP2(t *testing.T) {
	var got http.Header
	p := newProxy(t, Config{})
	p.SetRoute(key(t, "alice", ""), upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		_, _ = io.Copy(w, r.Body)
	})))
	s := httptest.NewUnstartedServer(passing(p))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	resp, err := s.Client().Post(s.URL+"/user/alice/echo", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "hello" || resp.ProtoMajor != 2 || got.Get("X-Forwarded-Proto") != "https" {
		t.Errorf("%s %q %v, scheme %q", resp.Proto, body, err, got.Get("X-Forwarded-Proto"))
	}
}

func TestActivity(t *testing.T) {
	tests := map[string]struct {
		method, path, body string
		status             int
		counts             bool
	}{
		"answer":              {"GET", "lab", "", 200, true},
		"many choices":        {"GET", "lab", "", 300, false},
		"redirect":            {"GET", "lab", "", 302, false},
		"refusal":             {"GET", "lab", "", 403, false},
		"failure":             {"GET", "lab", "", 500, false},
		"body and refusal":    {"POST", "lab", "x", 403, true},
		"poll of kernels":     {"GET", "api/kernels?1234", "", 200, false},
		"poll of status":      {"GET", "api/status", "", 200, false},
		"poll of memory":      {"GET", "api/metrics/v1", "", 200, false},
		"poll of a directory": {"HEAD", "api/contents/x", "", 200, false},
		"marked as a poll":    {"GET", "lsp/status?no_track_activity=1", "", 200, false},
		"starts a kernel":     {"POST", "api/kernels", "{}", 201, true},
		"ends a kernel":       {"DELETE", "api/kernels/1", "", 204, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, Config{})
			alice := key(t, "alice", "")
			p.SetRoute(alice, upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(tt.status)
			})))
			before := p.Activity(alice)
			if before.IsZero() {
				t.Fatal("a new route has no activity")
			}
			w := httptest.NewRecorder()
			passing(p).ServeHTTP(w, httptest.NewRequest(tt.method, "/user/alice/"+tt.path, strings.NewReader(tt.body)))
			if counted := p.Activity(alice).After(before); w.Code != tt.status || counted != tt.counts {
				t.Errorf("status %d, counted %v; want %v", w.Code, counted, tt.counts)
			}
		})
	}
	if p := newProxy(t, Config{}); !p.Activity(key(t, "bob", "")).IsZero() {
		t.Error("a server without a route has activity")
	}
}

func TestNewRefuses(t *testing.T) {
	ok := Config{Log: slog.New(slog.DiscardHandler)}
	tests := map[string]func(*Config){
		"no log":        func(c *Config) { c.Log = nil },
		"relative base": func(c *Config) { c.BaseURL = "jhub/" },
		"base no slash": func(c *Config) { c.BaseURL = "/jhub" },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := ok
			spoil(&cfg)
			if _, err := New(cfg); err == nil {
				t.Error("New took it")
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	p := newProxy(t, Config{})
	p.SetRoute(key(t, "alice", ""), backend.UnixSocket(filepath.Join(t.TempDir(), "none"), 1))
	var asked ident.Key
	own := Answers{Unrouted: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) }),
		Unavailable: func(w http.ResponseWriter, _ *http.Request, k ident.Key, status int) {
			asked = k
			w.WriteHeader(status + 1)
		}}
	tests := map[string]struct {
		answers Answers
		path    string
		want    int
		body    string
	}{
		"no path of a server's": {own, "/hub/", 418, ""},
		"no route":              {own, "/user/bob/", 418, ""},
		"no answer":             {own, "/user/alice/", 504, ""},
		"no path, by default":   {Answers{}, "/hub/", 404, "404"},
		"no route, by default":  {Answers{}, "/user/bob/", 404, "404"},
		"no answer, by default": {Answers{}, "/user/alice/", 503, "the server alice does not answer"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			p.Handler(owners, tt.answers).ServeHTTP(w, httptest.NewRequest(http.MethodGet, tt.path, nil))
			if w.Code != tt.want || !strings.HasPrefix(w.Body.String(), tt.body) {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, tt.want, tt.body)
			}
		})
	}
	if asked != key(t, "alice", "") {
		t.Errorf("asked for %v", asked)
	}
}

// TestDialEnds checks that a dial does not outlive its context.
func TestDialEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	<-ctx.Done()
	if _, err := upstream(t, named("")).Dial(ctx); err == nil {
		t.Error("Dial went on after its context")
	}
}

func BenchmarkSmallFile(b *testing.B) {
	file := []byte(rand.Text() + strings.Repeat("x", 1400))
	p := newProxy(b, Config{MaxIdle: 64})
	p.SetRoute(key(b, "alice", ""), upstream(b, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_,
			_ = w.Write(file)
	})))
	s := front(b, passing(p))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := client.Get(s.URL + "/user/alice/file")
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	})
}
