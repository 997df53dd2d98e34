package hub

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/config"
)

// send writes a request as it is to a listener and returns all that comes back until the connection ends.
func send(t *testing.T, to net.Addr, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	fmt.Fprint(conn, request)
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// TestFront sends requests over the wire to the public listener and to the one for servers.
func TestFront(t *testing.T) {
	h := newHub(t, func(*config.Config) {})
	_, end := running(t, h)
	t.Cleanup(func() { _ = end() })
	tests := map[string]struct{ to, request, want string }{
		"its name":     {"public", "GET /x/hub/login HTTP/1.1\r\nHost: hub.example.org\r\n", "HTTP/1.1 "},
		"another name": {"public", "GET /x/hub/login HTTP/1.1\r\nHost: evil.example\r\n", "HTTP/1.1 421 "},
		"another in the line": {"public", "GET http://evil.example/x/hub/login HTTP/1.1\r\nHost: hub.example.org\r\n",
			"HTTP/1.1 421 "},
		"a server's path":  {"public", "GET /x/user/alice/ HTTP/1.1\r\nHost: evil.example\r\n", "HTTP/1.1 421 "},
		"a service's path": {"public", "GET /x/services/a/ HTTP/1.1\r\nHost: evil.example\r\n", "HTTP/1.1 421 "},
		"the API's path":   {"public", "GET /x/hub/api/ HTTP/1.1\r\nHost: evil.example\r\n", "HTTP/1.1 421 "},
		"no name":          {"public", "GET /x/hub/login HTTP/1.0\r\n", "HTTP/1.0 421 "},
		"health":           {"public", "GET /x/hub/health HTTP/1.1\r\nHost: 127.0.0.1\r\n", "HTTP/1.1 200 "},
		"health, no name":  {"public", "GET /x/hub/health HTTP/1.0\r\n", "HTTP/1.0 200 "},
		"for servers":      {"api", "GET /x/hub/api/ HTTP/1.1\r\nHost: 127.0.0.1:8081\r\n", "HTTP/1.1 200 "},
		"chunks and length": {"public", "POST /x/hub/login HTTP/1.1\r\nHost: hub.example.org\r\nContent-Length: 9\r\n" +
			"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: hub.example.org\r\n", "HTTP/1.1 "},
		"the same for servers": {"api", "POST /x/hub/api/ HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n" +
			"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n", "HTTP/1.1 "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			request := tt.request + "Connection: close\r\n\r\n"
			got := send(t, h.listeners[tt.to][0].Addr(), request)
			if !strings.HasPrefix(got, tt.want) || strings.Count(got, "HTTP/1.") != 1 ||
				strings.HasPrefix(got, "HTTP/1.1 421") != strings.Contains(tt.want, "421") &&
					strings.HasPrefix(tt.want, "HTTP/1.1") {
				t.Errorf("%.300q, want one answer %s", got, tt.want)
			}
		})
	}
}

// timed is a writer that notes deadlines of the request's body.
type timed struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (w *timed) SetReadDeadline(t time.Time) error {
	w.set = append(w.set, t)
	return nil
}

// TestChainTimes checks that every surface's chain bounds how long a body may take.
func TestChainTimes(t *testing.T) {
	w := &timed{ResponseRecorder: httptest.NewRecorder()}
	h := chain(slog.New(slog.DiscardHandler), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("a=b")))
	if len(w.set) == 0 || w.set[0].IsZero() || time.Until(w.set[0]) > bodyPause {
		t.Errorf("deadlines: %v", w.set)
	}
}

// TestVisitors opens connections to the hub that say nothing, and asks over one of them with a token.
func TestVisitors(t *testing.T) {
	h := newHub(t, func(c *config.Config) { c.HTTP.MaxAnonymous = 2 })
	_, end := running(t, h)
	t.Cleanup(func() { _ = end() })
	at := h.listeners["public"][0].Addr()
	var open []net.Conn
	for range 2 {
		conn, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		open = append(open, conn)
	}
	const login = "GET /x/hub/login HTTP/1.1\r\nHost: hub.example.org\r\nConnection: close\r\n"
	if got := send(t, at, ""); got != "" {
		t.Errorf("a third connection: %q", got)
	}
	for _, headers := range []string{"Authorization: token nobodys\r\n", "Authorization: token token-of-alice\r\n"} {
		fmt.Fprint(open[0], "GET /x/hub/api/user HTTP/1.1\r\nHost: hub.example.org\r\n"+headers+"\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(open[0]), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	if got := send(t, at, login+"\r\n"); !strings.HasPrefix(got, "HTTP/1.1 ") {
		t.Errorf("after a token was shown: %q", got)
	}
}
