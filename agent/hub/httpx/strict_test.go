package httpx

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// serveRaw serves h over TLS with HTTP/2, and returns a connection of the given protocol ("h2" or "http/1.1").
func serveRaw(t *testing.T, h http.Handler, protocol string) net.Conn {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	//nolint:gosec // a test
	conn, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true,
		NextProtos: []string{protocol}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// askHTTP2 sends the headers of one request, with what no client would send, and returns the status of the answer: ""
// when the stream or the connection is ended instead.
func askHTTP2(t *testing.T, conn net.Conn, headers ...[2]string) string {
	t.Helper()
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	f := http2.NewFramer(conn, conn)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var block strings.Builder
	encoder := hpack.NewEncoder(&block)
	for _, h := range headers {
		if err := encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.WriteSettings(), f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1,
		BlockFragment: []byte(block.String()), EndStream: true, EndHeaders: true})); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return ""
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			return frame.PseudoValue("status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return ""
		}
	}
}

// TestTargets sends targets and methods that HTTP/1.1 could not carry.
func TestTargets(t *testing.T) {
	tests := map[string]struct{ method, target, want string }{
		"plain":               {"GET", "/user/alice/a%20b?c=%20", "200"},
		"beyond ASCII":        {"GET", "/user/alice/\xc3\xa9", "200"},
		"a blank":             {"GET", "/user/alice/a b", "400"},
		"a blank in a query":  {"GET", "/user/alice/?a b", "400"},
		"another request":     {"GET", "/user/alice/x HTTP/1.0", "400"},
		"a method of two":     {"GET /x", "/user/alice/", "400"},
		"a blank at its end":  {"GET", "/ ", "400"},
		"no method":           {"GET", " /", ""},
		"a line's end":        {"GET", "/\r\nX: y", ""},
		"a tab":               {"GET", "/a\tb", ""},
		"a control character": {"GET", "/a\x01", ""},
		"DEL":                 {"GET", "/a\x7f", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			passed := ""
			h := WithStrictRequests(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				passed = r.Method + " " + r.RequestURI
			}))
			got := askHTTP2(t, serveRaw(t, h, "h2"), [2]string{":method", tt.method}, [2]string{":scheme", "https"},
				[2]string{":authority", "hub.example.org"}, [2]string{":path", tt.target})
			if refused := got == "400" || got == ""; tt.want == "200" && got != "200" ||
				tt.want == "400" && got != "400" || tt.want == "" && !refused || refused != (passed == "") {
				t.Errorf("answered %q, want %q; passed %q", got, tt.want, passed)
			}
		})
	}
}

// TestFraming sends requests whose end could be read in two ways, each with another one behind it.
func TestFraming(t *testing.T) {
	tests := map[string]struct {
		head, body string
		answers    int // to the request, and to what is behind it
		got        string
	}{
		"length": {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n", "abc", 2, "abc"},
		"chunks": {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n",
			1, "abc"},
		"both, shorter": {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n",
			"3\r\nabc\r\n0\r\n\r\n", 1, "abc"},
		"both, longer": {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n",
			"3\r\nabc\r\n0\r\n\r\n", 1, "abc"},
		"both, other case": {"POST / HTTP/1.1\r\nHost: h\r\ncontent-length: 3\r\ntransfer-encoding: CHUNKED\r\n",
			"3\r\nabc\r\n0\r\n\r\n", 1, "abc"},
		"HTTP/1.0": {"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n", "abc", 1, "abc"},
		"HTTP/1.0, both": {"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: " +
			"chunked\r\nContent-Length: 3\r\n", "abc", 1, "abc"},
		"HTTP/1.0, no body": {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n", "", 2, ""},
		"two encodings": {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: " +
			"3\r\n", "abc", 1, ""},
		"an unknown one": {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x\r\nContent-Length: 3\r\n", "abc", 1,
			""},
		"two lengths": {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n", "abcd", 1,
			""},
		"a name with blanks": {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\nContent-Length: 3\r\n",
			"abc", 1, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			read := make(chan string, 8)
			conn := serveRaw(t, WithStrictRequests(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				read <- string(body)
			})), "http/1.1")
			fmt.Fprintf(conn, "%s\r\n%sGET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", tt.head, tt.body)
			all, err := io.ReadAll(bufio.NewReader(conn))
			if n := strings.Count(string(all), "HTTP/1."); err != nil || n != tt.answers {
				t.Errorf("%d answers, want %d: %q, %v", n, tt.answers, all, err)
			}
			select {
			case body := <-read:
				if body != tt.got {
					t.Errorf("the handler read %q, want %q", body, tt.got)
				}
			default:
				if tt.got != "" {
					t.Error("the handler was not asked")
				}
			}
		})
	}
}

// oneName is a hub that has one name.
type oneName struct{}

func (oneName) Has(host string) bool { return host == "hub.example.org" }

func (oneName) Public() string { return "https://hub.example.org/" }

func TestWithHost(t *testing.T) {
	h := WithHost(slog.New(slog.DiscardHandler), oneName{},
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secret") }))
	for name, tt := range map[string]struct {
		host, path string
		want       int
	}{
		"ours":                     {"hub.example.org", "/", 200},
		"another":                  {"evil.example", "/", 421},
		"none":                     {"", "/", 421},
		"another with odd letters": {`"><script>`, "/", 421},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", tt.path, nil)
			r.Host = tt.host
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			body := w.Body.String()
			if w.Code != tt.want || (w.Code == 200) != (body == "secret") {
				t.Errorf("%d %q, want %d", w.Code, body, tt.want)
			}
			if w.Code == http.StatusMisdirectedRequest && (!strings.Contains(body, "https://hub.example.org/") ||
				!strings.Contains(body, "hint: ") || w.Header().Get("X-Content-Type-Options") != "nosniff" ||
				!strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain")) {
				t.Errorf("%v %q", w.Header(), body)
			}
		})
	}
}
