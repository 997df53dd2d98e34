package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
)

// big is the size of a stream that must not be held in memory.
const big = 64 << 20

type zeros struct{ left int64 }

func (z *zeros) Read(b []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(b)), z.left)
	z.left -= n
	return int(n), nil
}

// blob sends and takes big streams, and echoes.
func blob(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/down"):
		_, _ = io.Copy(w, &zeros{big})
	case strings.HasSuffix(r.URL.Path, "/up"):
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, strconv.FormatInt(n, 10))
	default:
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		buf := make([]byte, 1<<10)
		for {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(buf[:n])
			_ = http.NewResponseController(w).Flush()
			if err != nil {
				return
			}
		}
	}
}

// fronts returns the proxy over HTTP/1.1 and over TLS with HTTP/2.
func fronts(t *testing.T, h http.Handler) map[string]*httptest.Server {
	h2 := httptest.NewUnstartedServer(h)
	h2.EnableHTTP2 = true
	h2.StartTLS()
	t.Cleanup(h2.Close)
	return map[string]*httptest.Server{"HTTP/1.1": front(t, h), "HTTP/2": h2}
}

func TestBigStreams(t *testing.T) {
	p := newProxy(t, Config{})
	p.SetRoute(key(t, "alice", ""), upstream(t, http.HandlerFunc(blob)))
	for name, s := range fronts(t, passing(p)) {
		t.Run(name, func(t *testing.T) {
			before := heap()
			resp, err := s.Client().Get(s.URL + "/user/alice/down")
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if n != big || err != nil {
				t.Errorf("download: %d bytes, %v", n, err)
			}
			resp, err = s.Client().Post(s.URL+"/user/alice/up", "application/octet-stream", &zeros{big})
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if string(body) != strconv.Itoa(big) {
				t.Errorf("upload: the server got %s bytes", body)
			}
			if grown := heap() - before; grown > big/2 {
				t.Errorf("memory from the system grew by %d MiB over streams of %d MiB", grown>>20, big>>20)
			}
		})
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapSys)
}

// TestBothWays checks that an answer begins while the request's body is being sent,
// and that each piece passes at once.
func TestBothWays(t *testing.T) {
	p := newProxy(t, Config{})
	p.SetRoute(key(t, "alice", ""), upstream(t, http.HandlerFunc(blob)))
	for name, s := range fronts(t, passing(p)) {
		t.Run(name, func(t *testing.T) {
			out, in := io.Pipe()
			resp, err := s.Client().Post(s.URL+"/user/alice/echo", "text/plain", out)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			for range 3 {
				_, _ = io.WriteString(in, "ping")
				got := make([]byte, 4)
				if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != "ping" {
					t.Fatalf("%q, %v", got, err)
				}
			}
			_ = in.Close()
			if rest, err := io.ReadAll(resp.Body); len(rest) != 0 || err != nil {
				t.Errorf("at the end: %q, %v", rest, err)
			}
		})
	}
}

func TestClientAborts(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	p := newProxy(t, Config{})
	p.SetRoute(key(t, "alice", ""), upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	})))
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, front(t, passing(p)).URL+"/user/alice/", nil)
	go func() {
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-began
	cancel()
	wait(t, ended, "the request upstream goes on after its client has gone")
	eventually(t, "the request is still counted", func() bool { return p.Open() == 0 })
}

func wait(t *testing.T, done <-chan struct{}, complaint string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal(complaint)
	}
}

func eventually(t *testing.T, complaint string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(complaint)
		}
	}
}

// echo is a server's end of a WebSocket.
func echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"v1.kernel"}})
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		kind, data, err := c.Read(r.Context())
		if err != nil {
			return
		}
		_ = c.Write(r.Context(), kind, data)
	}
}

func dialWS(t *testing.T, s *httptest.Server) *websocket.Conn {
	t.Helper()
	client := s.Client()
	if tr, ok := client.Transport.(*http.Transport); ok && tr.TLSClientConfig != nil {
		cfg := tr.TLSClientConfig.Clone()
		cfg.NextProtos = []string{"http/1.1"} // as browsers do for WebSockets
		client = &http.Client{Transport: &http.Transport{TLSClientConfig: cfg,
			TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}}
	}
	c, _, err := websocket.Dial(t.Context(), s.URL+"/user/alice/api/kernels/1/channels", &websocket.DialOptions{
		HTTPClient: client, Subprotocols: []string{"v1.kernel"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

func say(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if _, got, err := c.Read(t.Context()); err != nil || string(got) != text {
		t.Fatalf("the WebSocket gave %q, %v; want %q", got, err, text)
	}
}

func TestWebSocket(t *testing.T) {
	p := newProxy(t, Config{})
	alice := key(t, "alice", "")
	p.SetRoute(alice, upstream(t, http.HandlerFunc(echo)))
	for name, s := range fronts(t, passing(p)) {
		t.Run(name, func(t *testing.T) {
			c := dialWS(t, s)
			if c.Subprotocol() != "v1.kernel" {
				t.Errorf("the subprotocol is %q", c.Subprotocol())
			}
			before := p.Stats(alice)
			if before.WebSockets != 1 || before.Requests != 0 || p.WebSockets() != 1 {
				t.Errorf("counted: %+v", before)
			}
			say(t, c, "hello")
			if !p.Activity(alice).After(before.LastTraffic) {
				t.Error("what a client says is no traffic")
			}
			if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
				t.Errorf("the closing handshake: %v", err)
			}
			eventually(t, "the WebSocket is still counted", func() bool { return p.Open() == 0 && p.WebSockets() == 0 })
		})
	}
}

func TestDrain(t *testing.T) {
	p := newProxy(t, Config{})
	p.SetRoute(key(t, "alice", ""), upstream(t, http.HandlerFunc(echo)))
	s := front(t, passing(p))
	if err := p.Drain(t.Context()); err != nil {
		t.Errorf("with nothing open: %v", err)
	}
	first, second := dialWS(t, s), dialWS(t, s)
	drained := make(chan error, 1)
	go func() { drained <- p.Drain(t.Context()) }()
	_ = first.Close(websocket.StatusNormalClosure, "")
	say(t, second, "still here")
	select {
	case err := <-drained:
		t.Fatalf("Drain came back with a WebSocket open: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	_ = second.Close(websocket.StatusNormalClosure, "")
	if err := <-drained; err != nil {
		t.Errorf("after the last: %v", err)
	}
}

func TestDrainDeadline(t *testing.T) {
	p := newProxy(t, Config{})
	p.SetRoute(key(t, "alice", ""), upstream(t, http.HandlerFunc(echo)))
	c := dialWS(t, front(t, passing(p)))
	say(t, c, "hello")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.Drain(ctx); err == nil {
		t.Error("Drain did not say that it closed something")
	}
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("the WebSocket is open after the deadline")
	}
	eventually(t, "the WebSocket is still counted", func() bool { return p.Open() == 0 })
}

func TestWebSocketEndsWithItsRoute(t *testing.T) {
	p := newProxy(t, Config{})
	alice := key(t, "alice", "")
	p.SetRoute(alice, upstream(t, http.HandlerFunc(echo)))
	c := dialWS(t, front(t, passing(p)))
	p.SetRoute(alice, upstream(t, http.HandlerFunc(echo)))
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("the WebSocket outlived its route")
	}
}

// TestEarlyFrames checks that what a client sends right behind its upgrade request is
// not lost.
func TestEarlyFrames(t *testing.T) {
	p := newProxy(t, Config{})
	p.SetRoute(key(t, "alice", ""), upstream(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, brw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
		got := make([]byte, 5)
		_, _ = io.ReadFull(brw, got)
		_, _ = conn.Write(got)
	})))
	got := raw(t, front(t, passing(p)).Listener.Addr().String(), "/user/alice/", "Connection: Upgrade", "Upgrade: test",
		"\r\nearly")
	if !strings.HasSuffix(got, "\r\n\r\nearly") {
		t.Errorf("got %q", got)
	}
}

// TestSlowUpload pauses in an upload for longer than the hub lets its own requests pause, to a server that runs and to
// some that do not read on: there nobody waits for the rest.
func TestSlowUpload(t *testing.T) {
	pause := httpx.BodyTimes{Pause: 50 * time.Millisecond, Total: 100 * time.Millisecond}
	p := newProxy(t, Config{})
	p.SetRoute(key(t, "alice", ""), upstream(t, http.HandlerFunc(blob)))
	p.SetRoute(key(t, "bob", ""), backend.UnixSocket("/nowhere", myUID()))
	// It answers without waiting for the body.
	p.SetRoute(key(t, "dan", ""), addressOf(saying(t, "HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n")))
	at := front(t, httpx.WithBodyTimes(pause, passing(p))).Listener.Addr().String()
	upload := func(to string) (io.ReadWriteCloser, *bufio.Reader) {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab", to)
		return conn, bufio.NewReader(conn)
	}
	conn, in := upload("/user/alice/up")
	time.Sleep(4 * pause.Pause)
	fmt.Fprint(conn, "cd")
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); string(body) != "4" || err != nil {
		t.Errorf("the server read %q bytes, %v", body, err)
	}
	for to, want := range map[string]string{"/user/bob/up": "HTTP/1.1 503", "/user/carol/up": "HTTP/1.1 424",
		"/user/dan/up": "HTTP/1.1 413"} {
		conn, in = upload(to)
		time.Sleep(2 * pause.Pause) // what comes then is no request of its own
		fmt.Fprint(conn, "GET /user/alice/x HTTP/1.1\r\nHost: h\r\n\r\n")
		all, err := io.ReadAll(in)
		if !strings.HasPrefix(string(all), want) || strings.Count(string(all), "HTTP/1.1 ") != 1 {
			t.Errorf("%s: %q, %v", to, all, err)
		}
	}
}
