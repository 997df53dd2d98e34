package proxy

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// saying answers every connection's first request with the bytes of an answer, as no HTTP library would write them.
func saying(t testing.TB, answer string) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "raw") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.WriteString(conn, answer)
					_ = conn.(*net.UnixConn).CloseWrite()
					_, _ = io.Copy(io.Discard, conn) // to close with unread bytes would take the answer back
				}
			}()
		}
	}()
	return socket
}

// ways are a server and a service that answer with the same bytes, each with its own path.
func ways(t testing.TB, answer string) map[string]http.Handler {
	t.Helper()
	p := newProxy(t, Config{})
	at := saying(t, answer)
	p.SetRoute(key(t, "alice", ""), addressOf(at))
	p.SetRoute(key(t, "alice", "gpu"), addressOf(at))
	service, err := p.ForService(Upstream{Name: "board", URL: "unix:" + at,
		Unavailable: func(w http.ResponseWriter, _ *http.Request, status int) { w.WriteHeader(status) }})
	if err != nil {
		t.Fatal(err)
	}
	servers := passing(p)
	return map[string]http.Handler{"/user/alice/": servers, "/user/alice/gpu/": servers, "/services/board/": service}
}

// TestAnswerHeaders is the table of what passes of an answer's headers, from a server, a named server and a service.
// The word PREFIX stands for the upstream's own path.
func TestAnswerHeaders(t *testing.T) {
	tests := map[string]struct{ sent, want []string }{
		"own headers":        same("Content-Type: text/html", "X-Frame-Options: DENY", "Etag: x", "Location: /hub/"),
		"of the page alone":  same("Refresh: 1", "Link: </a>; rel=preload", "Permissions-Policy: camera=()"),
		"its sharing":        same("Access-Control-Allow-Origin: https://a.example", "Timing-Allow-Origin: *"),
		"WebSocket protocol": same("Sec-Websocket-Protocol: x"),

		"service worker": {[]string{"Service-Worker-Allowed: /"},
			[]string{"Service-Worker-Allowed: PREFIX"}},
		"service worker, own path": same("Service-Worker-Allowed: PREFIX"),
		"service worker, deeper":   same("Service-Worker-Allowed: PREFIXlab/static/"),
		"service worker, name begins": {[]string{"Service-Worker-Allowed: /user/al"},
			[]string{"Service-Worker-Allowed: PREFIX"}},
		"service worker, up": {[]string{"Service-Worker-Allowed: PREFIX../"},
			[]string{"Service-Worker-Allowed: PREFIX"}},
		"service worker, escaped": {[]string{"Service-Worker-Allowed: PREFIX%2e%2e/"},
			[]string{"Service-Worker-Allowed: PREFIX"}},
		"service worker, backslash": {[]string{`Service-Worker-Allowed: PREFIX..\`},
			[]string{"Service-Worker-Allowed: PREFIX"}},
		"service worker, relative": {[]string{"Service-Worker-Allowed: ../../../"},
			[]string{"Service-Worker-Allowed: PREFIX"}},
		"service worker, a URL": {[]string{"Service-Worker-Allowed: https://h/"},
			[]string{"Service-Worker-Allowed: PREFIX"}},
		"service worker, two": {[]string{"Service-Worker-Allowed: PREFIX", "Service-Worker-Allowed: /"},
			[]string{"Service-Worker-Allowed: PREFIX"}},
		"service worker, other case": {[]string{"service-worker-ALLOWED: /"},
			[]string{"Service-Worker-Allowed: PREFIX"}},

		"deletes the origin's data": dropped("Clear-Site-Data: \"*\""),
		"for the host": dropped("Strict-Transport-Security: max-age=9; includeSubDomains",
			"Expect-CT: max-age=9"),
		"pins": dropped("Public-Key-Pins: x", "Public-Key-Pins-Report-Only: x",
			"Expect-Staple: x"),
		"reports": dropped("NEL: {}", "Report-To: {}",
			`Reporting-Endpoints: a="https://evil.example"`),
		"another host": dropped(`Alt-Svc: h3="evil.example:443"`),
		"client hints": dropped("Accept-CH: Sec-CH-UA-Model", "Critical-CH: Sec-CH-UA-Model",
			"Accept-CH-Lifetime: 9"),
		"the origin's agents": dropped("Origin-Agent-Cluster: ?0", "Origin-Trial: x", "Set-Login: logged-out"),
		"the origin's caches": dropped("Cache-Groups: a", "Cache-Group-Invalidation: a",
			`Use-As-Dictionary: match="/*"`),
		"the origin's sessions": dropped("Secure-Session-Registration: x", "Sec-Session-Registration: x"),
		"the origin's events": dropped("Attribution-Reporting-Register-Source: {}",
			"Shared-Storage-Write: clear"),
		"files of nginx": dropped("X-Accel-Redirect: /etc/passwd", "X-Accel-Buffering: no",
			"x-accel-anything: 1"),
		"files of other proxies": dropped("X-Sendfile: /etc/passwd", "X-Sendfile2: /etc/passwd",
			"X-Sendfile-Temporary: /x",
			"X-LIGHTTPD-send-file: /x", "X-LIGHTTPD-send-tempfile: /x", "X-LiteSpeed-Location: /x", "X-Reproxy-URL: /x",
			"X-Reproxy-File: /x"),

		"asks for a password": dropped(`WWW-Authenticate: Basic realm="hub.example.org"`,
			"WWW-Authenticate: Digest realm=x", "WWW-Authenticate: HOBA x", "WWW-Authenticate: basic"),
		"asks for a ticket": dropped("WWW-Authenticate: Negotiate", "WWW-Authenticate: NTLM"),
		"asks programs": same(`WWW-Authenticate: Bearer realm="a, Basic b", error="c\" , Basic"`,
			"WWW-Authenticate: token"),
		"a password among them": dropped(`WWW-Authenticate: Bearer realm="a", Basic realm="b"`,
			"WWW-Authenticate: Bearer , basic"),
		"with odd blanks": dropped("WWW-Authenticate: Bearer realm = \"a\",\tBasic realm=b"),
		"an open quote":   dropped(`WWW-Authenticate: Bearer realm="a, Basic realm=b`),
		"a proxy's prompt": dropped("Proxy-Authenticate: Basic realm=x", "Proxy-Authentication-Info: x",
			"Proxy-Status: x"),
		"an old cookie": dropped("Set-Cookie2: a=b"),
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { passes(t, tt.sent, tt.want) })
	}
}

func same(headers ...string) struct{ sent, want []string } {
	return struct{ sent, want []string }{headers, headers}
}

func dropped(headers ...string) struct{ sent, want []string } {
	return struct{ sent, want []string }{sent: headers}
}

// passes has a server, a named server and a service send headers, in an answer, in an interim one and for an upgrade,
// and compares what the client gets.
func passes(t *testing.T, sent, want []string) {
	t.Helper()
	for prefix := range ways(t, "") {
		with := func(status string) string {
			head := "HTTP/1.1 " + status + "\r\n" + strings.Join(append(sent, "\r\n"), "\r\n")
			return strings.ReplaceAll(head, "PREFIX", prefix)
		}
		answers := map[string]string{
			"HTTP/1.1 200": strings.Replace(with("200 OK"), "\r\n", "\r\nContent-Length: 0\r\n", 1),
			"HTTP/1.1 103": with("103 Early Hints") + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 101": strings.Replace(with("101 x"), "\r\n", "\r\nConnection: Upgrade\r\nUpgrade: y\r\n", 1),
		}
		for status, answer := range answers {
			h := ways(t, answer)[prefix]
			got := raw(t, front(t, h).Listener.Addr().String(), prefix, "Connection: Upgrade", "Upgrade: y")
			line, _, _ := strings.Cut(got, "\r\n")
			if !strings.HasPrefix(line, status) {
				t.Fatalf("%s: the answer is %q", prefix, got)
			}
			header := readHeader(t, got)
			for _, ours := range []string{"Date", "Content-Length", "Connection", "Upgrade", openerPolicy} {
				header.Del(ours)
			}
			wanted := readHeader(t, strings.ReplaceAll(line+"\r\n"+strings.Join(append(want, "\r\n"), "\r\n"), "PREFIX",
				prefix))
			if diff := cmp.Diff(wanted, header); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", prefix, status, diff)
			}
		}
	}
}

// readHeader returns the headers of the first answer in text, sorted by nothing but the map that they are.
func readHeader(t *testing.T, text string) http.Header {
	t.Helper()
	_, text, _ = strings.Cut(text, "\r\n")
	h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(text))).ReadMIMEHeader()
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return http.Header(h)
}

// TestAnswerTrailer sends in a trailer what may not stand in a header, announced and not.
func TestAnswerTrailer(t *testing.T) {
	bad := "Set-Cookie: a=b\r\nClear-Site-Data: \"*\"\r\nService-Worker-Allowed: /\r\nWWW-Authenticate: Basic\r\n"
	for name, announced := range map[string]string{"announced": "Trailer: X-Sum, Set-Cookie, Clear-Site-Data\r\n",
		"unannounced": "", "good alone": "Trailer: X-Sum\r\n"} {
		t.Run(name, func(t *testing.T) {
			for prefix, h := range ways(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"+announced+
				"\r\n3\r\nabc\r\n0\r\nX-Sum: 9\r\n"+bad+"\r\n") {
				resp, err := http.Get(front(t, h).URL + prefix)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if diff := cmp.Diff(http.Header{"X-Sum": {"9"}}, resp.Trailer); diff != "" || string(body) != "abc" {
					t.Errorf("%s: %q, %v, trailer (-want +got):\n%s", prefix, body, err, diff)
				}
			}
		})
	}
}

// TestOddAnswers has upstreams misuse HTTP. None may end the hub: what a library does of it in a goroutine of its own
// would.
func TestOddAnswers(t *testing.T) {
	big := strings.Repeat("x", 4<<10)
	tests := map[string]struct{ answer, want string }{
		"status 099":            {"HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n", "502"},
		"status 000":            {"HTTP/1.1 000 x\r\nContent-Length: 0\r\n\r\n", "502"},
		"status +99":            {"HTTP/1.1 +99 x\r\nContent-Length: 0\r\n\r\n", "502"},
		"status 600":            {"HTTP/1.1 600 x\r\nContent-Length: 0\r\n\r\n", "502"},
		"status 999":            {"HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n", "502"},
		"status 599":            {"HTTP/1.1 599 x\r\nContent-Length: 0\r\n\r\n", "599"},
		"status of four digits": {"HTTP/1.1 2000 x\r\nContent-Length: 0\r\n\r\n", "502"},
		"no status":             {"HTTP/1.1\r\n\r\n", "502"},
		"interim alone":         {"HTTP/1.1 103 x\r\nLink: a\r\n\r\n", "103"},
		"199 alone":             {"HTTP/1.1 199 x\r\n\r\n", "199"},
		"many interim":          {strings.Repeat("HTTP/1.1 102 x\r\n\r\n", 50) + "HTTP/1.1 204 x\r\n\r\n", "102"},
		"unasked upgrade":       {"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "502"},
		"upgrade to nothing":    {"HTTP/1.1 101 x\r\n\r\n", "502"},
		"64 KB of headers":      {"HTTP/1.1 200 x\r\nContent-Length: 0\r\n" + lines(15, big) + "\r\n", "200"},
		"more than 64 KB":       {"HTTP/1.1 200 x\r\nContent-Length: 0\r\n" + lines(17, big) + "\r\n", "502"},
		"one line of 1 MB":      {"HTTP/1.1 200 x\r\nX-A: " + strings.Repeat(big, 256) + "\r\n\r\n", "502"},
		"interim of 1 MB":       {"HTTP/1.1 103 x\r\nX-A: " + strings.Repeat(big, 256) + "\r\n\r\n", "502"},
		"two lengths":           {"HTTP/1.1 200 x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "502"},
		"a name with a blank": {"HTTP/1.1 200 x\r\nSet-Cookie : a=b\r\nContent-Length: 0\r\n\r\n",
			"200 OK\r\nContent-Length"},
		"a bad chunk": {"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ""},
		"nothing":     {"", "502"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for prefix, h := range ways(t, tt.answer) {
				for version, s := range fronts(t, h) {
					if version == "HTTP/2" {
						if resp, err := s.Client().Get(s.URL + prefix); err == nil {
							_, _ = io.Copy(io.Discard, resp.Body)
							_ = resp.Body.Close()
						}
						continue
					}
					if got := raw(t, s.Listener.Addr().String(), prefix); tt.want != "" &&
						!strings.HasPrefix(got, "HTTP/1.1 "+tt.want) {
						t.Errorf("%s: %.200q, want %s", prefix, got, tt.want)
					}
				}
			}
		})
	}
}

// lines are n header lines of a kind.
func lines(n int, value string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "X-%d: %s\r\n", i, value)
	}
	return b.String()
}

// TestInterimAnswers checks that an interim answer takes nothing away that the hub has set itself, and that a client
// of HTTP/1.0, which knows none, gets none.
func TestInterimAnswers(t *testing.T) {
	for prefix, h := range ways(t, "HTTP/1.1 103 x\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") {
		s := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Hub", "set")
			h.ServeHTTP(w, r)
		}))
		interim, final, _ := strings.Cut(raw(t, s.Listener.Addr().String(), prefix), "\r\n\r\n")
		if !strings.HasPrefix(interim, "HTTP/1.1 103") || readHeader(t, final).Get("X-Hub") != "set" {
			t.Errorf("%s: interim %q, final %q", prefix, interim, final)
		}
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.0\r\n\r\n", prefix)
		if all, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(all), "HTTP/1.0 200") {
			t.Errorf("%s, HTTP/1.0: %q, %v", prefix, all, err)
		}
		_ = conn.Close()
	}
}

// TestServiceWorkerScope asks for a script as a browser does that registers it, at the deepest and the most
// general path of a server. Without the header the scope is the directory of the script, which lies below the server's
// own path.
func TestServiceWorkerScope(t *testing.T) {
	for prefix, h := range ways(t, "HTTP/1.1 200 OK\r\nService-Worker-Allowed: /hub/\r\nContent-Length: 0\r\n\r\n") {
		for _, script := range []string{"x.js", "a/b/x.js", "%2e%2e/x.js", "..%2fx.js"} {
			got := raw(t, front(t, h).Listener.Addr().String(), prefix+script, "Service-Worker: script")
			if scope := readHeader(t, got).Get("Service-Worker-Allowed"); scope != prefix {
				t.Errorf("%s%s may have the scope %q", prefix, script, scope)
			}
		}
	}
	p := newProxy(t, Config{Log: slog.New(slog.DiscardHandler)})
	p.SetRoute(key(t, "alice", ""), addressOf(saying(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")))
	for _, outside := range []string{"/user/alice", "/user/x.js", "/user/alice%2fx.js", "/user/alice%5cx.js", "/x.js"} {
		w := httptest.NewRecorder()
		passing(p).ServeHTTP(w, httptest.NewRequest("GET", outside, nil))
		if w.Code == http.StatusOK {
			t.Errorf("%s, outside a server's path, is answered by a server", outside)
		}
	}
}
