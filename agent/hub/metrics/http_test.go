package metrics

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// line reads one line of a scrape.
func line(t *testing.T, m sourced, prefix string) string {
	t.Helper()
	for l := range strings.Lines(scraped(t, m)) {
		if strings.HasPrefix(l, prefix) {
			return strings.TrimSpace(l)
		}
	}
	return ""
}

func TestMiddlewareLabels(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for name, test := range map[string]struct {
		method, pattern string
		handler         http.HandlerFunc
		want            string // labels
	}{
		"a route": {"GET", "GET /hub/api/users/{user}", status(200),
			`code="200",handler="/hub/api/users/{user}",method="GET"`},
		"without a method":   {"DELETE", "/hub/", status(404), `code="404",handler="/hub/",method="DELETE"`},
		"no route":           {"GET", "", status(404), `code="404",handler="unmatched",method="GET"`},
		"a method of theirs": {"BREW", "/hub/", status(405), `code="405",handler="/hub/",method="OTHER"`},
		"lower case":         {"get", "/hub/", status(405), `code="405",handler="/hub/",method="OTHER"`},
		"a status of ours":   {"GET", "/hub/", status(299), `code="other",handler="/hub/",method="GET"`},
		"nothing written": {"GET", "/hub/", func(http.ResponseWriter, *http.Request) {},
			`code="200",handler="/hub/",method="GET"`},
		"a body alone": {"GET", "/hub/", func(w http.ResponseWriter, _ *http.Request) {
			_,
				_ = io.WriteString(w, "x")
		}, `code="200",handler="/hub/",method="GET"`},
		"the first counts": {"GET", "/hub/", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusForbidden)
		}, `code="403",handler="/hub/",method="GET"`},
		"a panic": {"GET", "/hub/", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			`code="500",handler="/hub/",method="GET"`},
	} {
		t.Run(name, func(t *testing.T) {
			m := newTest(t, host(t))
			h := m.Middleware(func(*http.Request) string { return test.pattern })(test.handler)
			func() {
				defer func() { _ = recover() }() // as httpx.WithRecover does
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(test.method, "/hub/secret-name", nil))
			}()
			if line(t, m, "jupyterhub_request_duration_seconds_count{"+test.want+"} 1") == "" {
				t.Errorf("no %s; there is %s", test.want, line(t, m, "jupyterhub_request_duration_seconds_count"))
			}
			if strings.Contains(scraped(t, m), "secret-name") {
				t.Error("a path is in a label")
			}
		})
	}
}

// TestPassThrough reaches the server's own writer through both middlewares: an event stream must not be buffered, and a
// WebSocket needs the connection.
func TestPassThrough(t *testing.T) {
	m := newTest(t, host(t))
	gate := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/stream", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("cannot flush: %v", err)
		}
		<-gate
	})
	mux.HandleFunc("/socket", func(w http.ResponseWriter, _ *http.Request) {
		conn, brw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("cannot hijack: %v", err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = brw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
		_ = brw.Flush()
		<-gate
	})
	server := httptest.NewServer(m.Proxy(m.Middleware(func(r *http.Request) string { return r.Pattern })(mux)))
	t.Cleanup(server.Close)
	client := &http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(server.URL + "/stream")
	if err != nil {
		t.Fatalf("the stream's first line waits for its end: %v", err)
	}
	if first, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || first != "first\n" {
		t.Errorf("the stream begins with %q, %v", first, err)
	}
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(conn, "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n")
	if first, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(first, "101") {
		t.Errorf("the WebSocket begins with %q, %v", first, err)
	}
	if got := line(t, m, `gifford_proxy_requests_total{kind="websocket",status="1xx"}`); !strings.HasSuffix(got, " 1") {
		t.Errorf("an open WebSocket is not counted: %q", got)
	}
	close(gate)
	_ = resp.Body.Close()
}

func TestProxyCounts(t *testing.T) {
	m := newTest(t, host(t))
	h := m.Proxy(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/gone":
			w.WriteHeader(http.StatusBadGateway)
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
		case "/cut":
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		default:
			_, _ = io.WriteString(w, "12345678")
		}
	}))
	ask := func(path, upgrade string, gone bool) {
		defer func() { _ = recover() }()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if gone {
			cancel()
		}
		r := httptest.NewRequest("GET", path, nil).WithContext(ctx)
		r.Header.Set("Upgrade", upgrade)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	ask("/page", "", false)
	ask("/cut", "", false)
	ask("/missing", "", false)
	ask("/gone", "", false)
	ask("/gone", "", true)
	ask("/gone", "websocket", false)
	ask("/page", "h2c", false)
	for labels, want := range map[string]string{
		`requests_total{kind="http",status="2xx"}`:         "3",
		`requests_total{kind="http",status="4xx"}`:         "1",
		`requests_total{kind="http",status="5xx"}`:         "1",
		`requests_total{kind="http",status="client-gone"}`: "1",
		`requests_total{kind="websocket",status="5xx"}`:    "1",
		`requests_total{kind="websocket",status="1xx"}`:    "0",
		`response_bytes_total`:                             "20",
	} {
		if got := line(t, m, "gifford_proxy_"+labels+" "); got != "gifford_proxy_"+labels+" "+want {
			t.Errorf("%s is %q, want %s", labels, got, want)
		}
	}
}
