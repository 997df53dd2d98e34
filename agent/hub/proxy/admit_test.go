package proxy

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// oneAtATime is a proxy with one request to each upstream, whose further ones wait for the given time.
func oneAtATime(t *testing.T, wait time.Duration, log io.Writer) (p *Proxy, held, free chan struct{}) {
	t.Helper()
	held, free = make(chan struct{}, 8), make(chan struct{})
	p = newProxy(t, Config{MaxOpen: 1, MaxWait: wait, Log: slog.New(slog.NewTextHandler(log, nil))})
	p.SetRoute(key(t, "alice", ""), upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echo(w, r)
			return
		}
		held <- struct{}{}
		<-free
	})))
	return p, held, free
}

// TestFullServer holds the only place of a server with a request, and then with a WebSocket: the transport counts
// neither of them any more once it is upgraded.
func TestFullServer(t *testing.T) {
	var log strings.Builder
	p, held, free := oneAtATime(t, time.Millisecond, &log)
	s := front(t, passing(p))
	refused := func(by string) {
		t.Helper()
		resp, err := http.Get(s.URL + "/user/alice/x")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" ||
			!strings.Contains(string(body), "the server alice has 1 requests and WebSockets open") {
			t.Errorf("beside %s: %s %q", by, resp.Status, body)
		}
		if got := resp.Header.Get("Content-Security-Policy"); !strings.Contains(got, "sandbox") {
			t.Errorf("the words have the servers' origin, under the policy %q", got)
		}
	}
	first := make(chan int)
	go func() { first <- get(t, s.URL+"/user/alice/x") }()
	<-held
	refused("a request")
	refused("a request")
	if n := strings.Count(log.String(), "event=upstream-full user=alice"); n != 1 {
		t.Errorf("logged %d times: %s", n, log.String())
	}
	close(free)
	if got := <-first; got != http.StatusOK {
		t.Errorf("the request that held it: %d", got)
	}
	eventually(t, "the request still has its place", func() bool { return p.Open() == 0 })
	c := dialWS(t, s)
	say(t, c, "hello")
	refused("a WebSocket")
	_ = c.CloseNow()
	eventually(t, "the WebSocket still has its place", func() bool { return get(t, s.URL+"/user/alice/x") == 200 })
}

// TestFullServerWaits has a request wait for its turn.
func TestFullServerWaits(t *testing.T) {
	p, held, free := oneAtATime(t, time.Hour, io.Discard)
	s := front(t, passing(p))
	status := make(chan int, 2)
	for range 2 {
		go func() { status <- get(t, s.URL+"/user/alice/x") }()
	}
	<-held
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	passing(p).ServeHTTP(w, httptest.NewRequest("GET", "/user/alice/x", nil).WithContext(ctx))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("a client that has gone: %d", w.Code)
	}
	close(free)
	for range 2 {
		if got := <-status; got != http.StatusOK {
			t.Errorf("status %d", got)
		}
	}
}
