package handover

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

func TestDrainAnswersConnectionsAcceptedBefore(t *testing.T) {
	listener := listen(t)
	hooked := make(chan http.ConnState, 16)
	server := &http.Server{
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }),
		ConnState: func(_ net.Conn, state http.ConnState) { hooked <- state },
	}
	drainer := NewDrainer(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if got := <-hooked; got != http.StateNew {
		t.Fatalf("state %s", got)
	}
	drained := make(chan error, 1)
	go func() { drained <- drainer.Drain(t.Context(), map[string][]net.Listener{"a": {listener}}) }()
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("serve: %v", err)
	}
	time.Sleep(2 * settle)
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: hub\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if body, err := io.ReadAll(res.Body); string(body) != "hello" || !res.Close {
		t.Errorf("body %q, %v, close %t", body, err, res.Close)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestDrainEndsWithContext(t *testing.T) {
	listener := listen(t)
	accepted := make(chan http.ConnState, 16)
	server := &http.Server{ConnState: func(_ net.Conn, state http.ConnState) { accepted <- state }}
	drainer := NewDrainer(server)
	go func() { _ = server.Serve(listener) }()
	conn, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	<-accepted
	ctx, cancel := context.WithTimeout(t.Context(), 3*settle)
	defer cancel()
	if err := drainer.Drain(ctx, map[string][]net.Listener{"a": {listener}}); !errors.Is(err,
		context.DeadlineExceeded) {
		t.Errorf("error = %v", err)
	}
}
