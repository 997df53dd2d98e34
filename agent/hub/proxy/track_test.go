package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// TestOpenCount opens and closes until nothing is open, twice.
func TestOpenCount(t *testing.T) {
	var c openCount
	is := func(what string, want bool) {
		t.Helper()
		closed := false
		select {
		case <-c.untilNone():
			closed = true
		default:
		}
		if closed != want {
			t.Errorf("%s: nothing is open: %v, want %v", what, closed, want)
		}
	}
	is("at first", true)
	for range 2 {
		c.add()
		waits := c.untilNone()
		is("one", false)
		c.add()
		is("two", false)
		c.remove()
		is("one again", false)
		c.remove()
		is("none", true)
		select {
		case <-waits:
		default:
			t.Error("who waited is not woken by the last one")
		}
	}
}

// TestDrainTwice drains, and again after another WebSocket came.
func TestDrainTwice(t *testing.T) {
	p := newProxy(t, Config{})
	alice := key(t, "alice", "")
	p.SetRoute(alice, upstream(t, http.HandlerFunc(echo)))
	s := front(t, passing(p))
	for range 2 {
		c := dialWS(t, s)
		say(t, c, "hello")
		if got := p.Stats(alice); got.WebSockets != 1 || got.Requests != 0 || p.WebSockets() != 1 {
			t.Errorf("counted: %+v, %d", got, p.WebSockets())
		}
		_ = c.CloseNow()
		if err := p.Drain(t.Context()); err != nil {
			t.Errorf("after the last: %v", err)
		}
		eventually(t, "something is still counted", func() bool {
			return p.Open() == 0 && p.Stats(alice).WebSockets == 0
		})
		if n := p.WebSockets(); n != 0 {
			t.Errorf("%d WebSockets are counted", n)
		}
	}
}

// TestPayloadIsActivity checks that a message whose header came before is activity, and a ping's payload is none.
func TestPayloadIsActivity(t *testing.T) {
	for op, want := range map[byte]bool{opText: true, opContinued: true, opPing: false, opClose: false} {
		var f frames
		all := frame(op, 9)
		if got := f.message(all[:6]); got != want { // the header
			t.Errorf("the header of %d: %v, want %v", op, got, want)
		}
		if got := f.message(all[6:10]); got != want {
			t.Errorf("a part of the payload of %d: %v, want %v", op, got, want)
		}
		if got := f.message(append(all[10:], 0x80|opPing)); got != want { // and the first byte of a ping
			t.Errorf("the end of the payload of %d: %v, want %v", op, got, want)
		}
	}
}

func TestReadsAreActivity(t *testing.T) {
	route := &route{}
	body := &countedBody{Reader: iotest.OneByteReader(strings.NewReader("x")), route: route}
	b := make([]byte, 4)
	if n, err := body.Read(b[:0]); n != 0 || err != nil || route.traffic.Load() != 0 {
		t.Errorf("a read of nothing: %d, %v, activity %d", n, err, route.traffic.Load())
	}
	if n, err := body.Read(b); n != 1 || err != nil || route.traffic.Load() == 0 {
		t.Errorf("a read of a byte: %d, %v, activity %d", n, err, route.traffic.Load())
	}
	route.traffic.Store(0)
	if _, err := body.Read(b); err != io.EOF || route.traffic.Load() != 0 {
		t.Errorf("the end: %v, activity %d", err, route.traffic.Load())
	}
}

// TestConnEnds checks that the end of an upgraded connection is no activity, and its bytes are.
func TestConnEnds(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	route := &route{}
	c := &countedConn{Conn: server, early: bufio.NewReader(strings.NewReader("")), route: route}
	go func() {
		_, _ = client.Write([]byte("x"))
		_ = client.Close()
	}()
	b := make([]byte, 4)
	if n, err := c.Read(b); n != 1 || err != nil || route.traffic.Load() == 0 {
		t.Errorf("a byte: %d, %v, activity %d", n, err, route.traffic.Load())
	}
	route.traffic.Store(0)
	if n, err := c.Read(b); n != 0 || err != io.EOF || route.traffic.Load() != 0 {
		t.Errorf("the end: %d, %v, activity %d", n, err, route.traffic.Load())
	}
}

// TestHijackFails upgrades over a writer that cannot hand out its connection.
func TestHijackFails(t *testing.T) {
	p := newProxy(t, Config{})
	a := &answer{ResponseWriter: httptest.NewRecorder(), proxy: p, session: &session{route: &route{}}}
	if conn, _, err := a.Hijack(); err == nil || conn != nil || p.WebSockets() != 0 || a.status != 0 {
		t.Errorf("hijacked: %v, %v, %d counted, status %d", conn, err, p.WebSockets(), a.status)
	}
}

func TestDefaults(t *testing.T) {
	p := newProxy(t, Config{})
	if c := p.cfg; c.MaxIdle != 8 || c.MaxOpen != 1024 || c.IdleTimeout != time.Minute ||
		c.MaxWait != 10*time.Second {
		t.Errorf("defaults: %d, %d, %s, %s", c.MaxIdle, c.MaxOpen, c.IdleTimeout, c.MaxWait)
	}
	p = newProxy(t, Config{MaxIdle: 1, MaxOpen: 2, IdleTimeout: time.Second})
	if c := p.cfg; c.MaxIdle != 1 || c.MaxOpen != 2 || c.IdleTimeout != time.Second {
		t.Errorf("set: %d, %d, %s", c.MaxIdle, c.MaxOpen, c.IdleTimeout)
	}
}

func TestPortOf(t *testing.T) {
	for host, want := range map[string][2]string{ // by http and by https
		"hub.example.org": {"80", "443"}, "hub.example.org:8443": {"8443", "8443"}, "hub.example.org:": {"80", "443"},
		"": {"80", "443"}, ":9": {"9", "9"}, "[2001:db8::1]": {"80", "443"}, "[2001:db8::1]:9": {"9", "9"},
		"2001:db8::1": {"80", "443"}, "10.0.0.1:80": {"80", "80"},
	} {
		if got := [2]string{portOf(host, "http"), portOf(host, "https")}; got != want {
			t.Errorf("the ports of %q are %v, want %v", host, got, want)
		}
	}
}

func TestPeer(t *testing.T) {
	for addr, want := range map[string]string{"10.0.0.1:5": "10.0.0.1", "[::ffff:10.0.0.1]:5": "10.0.0.1",
		"[fe80::1%eth0]:5": "fe80::1", "@": "@", "": ""} {
		if got := peer(&http.Request{RemoteAddr: addr}); got != want {
			t.Errorf("%q comes from %q, want %q", addr, got, want)
		}
	}
	p := newProxy(t, Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("192.0.2.1/32")}})
	for addr, want := range map[string]bool{"10.1.1.1": true, "192.0.2.1": true, "192.0.2.2": false, "@": false} {
		if p.trusts(addr) != want {
			t.Errorf("%s is trusted: %v", addr, !want)
		}
	}
}

// TestLastWord reads headers that several proxies wrote.
func TestLastWord(t *testing.T) {
	for _, tt := range []struct {
		lines []string
		want  string
	}{{nil, ""}, {[]string{""}, ""}, {[]string{"a"}, "a"}, {[]string{"a, b ,c"}, "c"}, {[]string{"a,b", "d"}, "d"},
		{[]string{"a,"}, ""}} {
		if got := last(http.Header{"X-Scheme": tt.lines}, "X-Scheme"); got != tt.want {
			t.Errorf("the last word of %q is %q, want %q", tt.lines, got, tt.want)
		}
	}
}
