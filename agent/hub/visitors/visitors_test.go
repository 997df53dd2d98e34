package visitors

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// lines is a log that tests read while others write.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

// bounded is a hub whose requests are known by a header, and hold until they may end.
type bounded struct {
	*Visitors
	addr string
	held chan struct{}
	free chan struct{}
	log  *lines
}

func newBounded(t *testing.T, limit int, trusted []netip.Prefix, secure bool) bounded {
	t.Helper()
	b := bounded{held: make(chan struct{}, 64), free: make(chan struct{}), log: &lines{}}
	var err error
	b.Visitors, err = New(Config{Max: limit, Trusted: trusted, Log: slog.New(slog.NewTextHandler(b.log, nil)),
		Client: func(r *http.Request) string {
			if said := r.Header.Get("X-Forwarded-For"); said != "" && len(trusted) > 0 {
				return said
			}
			return netip.MustParseAddrPort(r.RemoteAddr).Addr().String()
		},
		Known: func(r *http.Request) bool { return r.Header.Get("Authorization") == "good" }})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(b.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "good later" {
			Known(r)
			Known(r)
		}
		if r.URL.Path == "/hold" {
			b.held <- struct{}{}
			<-b.free
		}
	})))
	s.Listener, s.Config.ConnContext = b.Listener(s.Listener), ConnContext
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	b.addr = s.Listener.Addr().String()
	return b
}

// connect opens a connection that sends nothing.
func (b bounded) connect(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask sends a request over a connection and returns the status; 0 when the connection is ended instead.
func ask(c net.Conn, path string, headers ...string) int {
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n", path, strings.Join(append(headers, ""), "\r\n"))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// connsOf returns how many connections this host has without a session.
func (b bounded) connsOf() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.open[netip.MustParsePrefix("127.0.0.1/32")]; c != nil {
		return c.conns
	}
	return 0
}

func (b bounded) waitFor(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); b.connsOf() != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections count, want %d", b.connsOf(), n)
		}
	}
}

// TestConnections opens connections that send nothing until one is closed, over TCP and over TLS, and checks that a
// session makes place.
func TestConnections(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			b := newBounded(t, 4, nil, secure)
			open := func() net.Conn {
				c := b.connect(t)
				if secure {
					return tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a test
				}
				return c
			}
			var idle []net.Conn
			for range 3 {
				idle = append(idle, b.connect(t))
			}
			last := open()
			if got := ask(last, "/"); got != 200 {
				t.Fatalf("the fourth connection: %d", got)
			}
			for range 3 {
				if got := ask(open(), "/"); got != 0 {
					t.Errorf("a fifth connection: %d", got)
				}
			}
			if n := b.log.count("event=visitors-refused"); n != 1 {
				t.Errorf("logged %d times", n)
			}
			if got := ask(last, "/", "Authorization: bad"); got != 200 || b.connsOf() != 4 {
				t.Errorf("without a session: %d, %d count", got, b.connsOf())
			}
			if got := ask(last, "/", "Authorization: good"); got != 200 || b.connsOf() != 3 {
				t.Errorf("with a session: %d, %d count", got, b.connsOf())
			}
			c := open()
			if got := ask(c, "/"); got != 200 || b.connsOf() != 4 {
				t.Errorf("then there is place: %d, %d count", got, b.connsOf())
			}
			if got := ask(c, "/", "Authorization: good later"); got != 200 || b.connsOf() != 3 {
				t.Errorf("with a session that shows later: %d, %d count", got, b.connsOf())
			}
			if got := ask(open(), "/"); got != 200 {
				t.Errorf("then there is place again: %d", got)
			}
			for _, c := range idle {
				_ = c.Close()
			}
			b.waitFor(t, 1)
			_ = last.Close()
		})
	}
}

// TestRequests holds requests open, all of one connection's or of one address behind a proxy.
func TestRequests(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	b := newBounded(t, 2, proxies, false)
	hold := func(headers ...string) chan int {
		status := make(chan int, 1)
		c := b.connect(t)
		go func() { status <- ask(c, "/hold", headers...) }()
		return status
	}
	var all []chan int
	for range 2 {
		all = append(all, hold("X-Forwarded-For: 192.0.2.7"))
		<-b.held
	}
	for range 2 {
		if got := ask(b.connect(t), "/", "X-Forwarded-For: 192.0.2.7"); got != http.StatusTooManyRequests {
			t.Errorf("a third request: %d", got)
		}
	}
	if n := b.log.count("address=192.0.2.7/32 what=request"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	for headers, want := range map[string]int{
		"X-Forwarded-For: 192.0.2.8": 200, "X-Forwarded-For: 2001:db8::1": 200, "X-Forwarded-For: rubbish": 200,
		"A: b": 200,
		"X-Forwarded-For: 192.0.2.7\r\nAuthorization: good": 200,
		"X-Forwarded-For: 192.0.2.7\r\nAuthorization: bad":  429,
	} {
		if got := ask(b.connect(t), "/", headers); got != want {
			t.Errorf("%q: %d, want %d", headers, got, want)
		}
	}
	for range 5 { // of people who are signed in any number
		all = append(all, hold("X-Forwarded-For: 192.0.2.7", "Authorization: good"))
		<-b.held
	}
	Known(httptest.NewRequest("GET", "/", nil)) // outside the handler nothing counts
	for range 5 {                               // and of the proxy itself
		all = append(all, hold())
		<-b.held
	}
	close(b.free)
	for _, status := range all {
		if got := <-status; got != 200 {
			t.Errorf("one that was held: %d", got)
		}
	}
	if got := ask(b.connect(t), "/", "X-Forwarded-For: 192.0.2.7"); got != 200 {
		t.Errorf("afterwards: %d", got)
	}
	if len(b.open) != 0 {
		t.Errorf("left: %v", b.open)
	}
}

func TestWhose(t *testing.T) {
	v := &Visitors{cfg: Config{Max: 1, Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	for addr, want := range map[string]string{"192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32",
		"2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "10.1.2.3": "", "::ffff:10.1.2.3": ""} {
		key, ok := v.whose(netip.MustParseAddr(addr))
		if ok != (want != "") || ok && key.String() != want {
			t.Errorf("%s counts for %s, %v; want %q", addr, key, ok, want)
		}
	}
	if _, ok := v.whose(netip.Addr{}); ok {
		t.Error("no address counts")
	}
	if _, ok := (&Visitors{}).whose(netip.MustParseAddr("192.0.2.7")); ok {
		t.Error("an address counts where there is no bound")
	}
}

// TestOtherConnections checks connections that do not count, and a context without one.
func TestOtherConnections(t *testing.T) {
	v := &Visitors{cfg: Config{Max: 1}, open: map[netip.Prefix]*count{}}
	a, b := net.Pipe()
	if got := v.connected(a); got != a {
		t.Errorf("a pipe became %v", got)
	}
	if ctx := ConnContext(t.Context(), a); ctx != t.Context() {
		t.Error("a connection that does not count is in the context")
	}
	known(context.Background())
	c := &conn{Conn: a, known: func() {}}
	if err := c.CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after its end: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	whole := Config{Client: func(*http.Request) string { return "" }, Known: func(*http.Request) bool { return false },
		Log: slog.New(slog.DiscardHandler)}
	for name, spoil := range map[string]func(*Config){"Client": func(c *Config) { c.Client = nil },
		"Known": func(c *Config) { c.Known = nil }, "Log": func(c *Config) { c.Log = nil }} {
		c := whole
		spoil(&c)
		if _, err := New(c); err == nil {
			t.Errorf("made without %s", name)
		}
	}
}
