package httpx

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// times are short enough for a test, and long enough that none is decided by them.
var short = BodyTimes{Pause: 50 * time.Millisecond, Total: time.Hour}

// TestSilentBody begins a request's body and sends no more. It waits for the answer and the end of the connection,
// which never came without a deadline.
func TestSilentBody(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"a handler that reads": func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			e := Public(err)
			http.Error(w, e.Public, e.Status)
		},
		"a handler that refuses": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "sign in first", http.StatusForbidden)
		},
		"a handler that answers in parts": func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			for framing, head := range map[string]string{"length": "Content-Length: 9",
				"chunks":     "Transfer-Encoding: chunked",
				"asks first": "Content-Length: 9\r\nExpect: 100-continue"} {
				conn := serveRaw(t, WithBodyTimes(short, h), "http/1.1")
				fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n3", head)
				all, err := io.ReadAll(bufio.NewReader(conn))
				if err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 ") {
					t.Errorf("%s: %q, %v", framing, all, err)
				}
				if strings.Contains(name, "reads") && !strings.Contains(string(all), "408 Request Timeout") {
					t.Errorf("%s: %q, want 408", framing, all)
				}
			}
		})
	}
}

// TestTricklingBody sends a byte again and again, never pausing for long.
func TestTricklingBody(t *testing.T) {
	ended := make(chan error, 1)
	conn := serveRaw(t, WithBodyTimes(BodyTimes{Pause: time.Hour, Total: 100 * time.Millisecond},
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			ended <- err
		})), "http/1.1")
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999\r\n\r\n")
	go func() {
		for {
			if _, err := conn.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	var e *Error
	if err := <-ended; !errors.As(err, &e) || e.Status != http.StatusRequestTimeout {
		t.Errorf("the body ended with %v", err)
	}
}

// TestSilentBodyHTTP2 has a stream of HTTP/2 whose body does not come.
func TestSilentBodyHTTP2(t *testing.T) {
	ended := make(chan error, 1)
	s := httptest.NewUnstartedServer(WithBodyTimes(short, http.HandlerFunc(func(_ http.ResponseWriter,
		r *http.Request) {
		_, err := io.ReadAll(r.Body)
		ended <- err
	})))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	out, in := io.Pipe()
	t.Cleanup(func() { _ = in.Close() })
	go func() {
		if resp, err := s.Client().Post(s.URL, "text/plain", out); err == nil {
			_ = resp.Body.Close()
		}
	}()
	var e *Error
	if err := <-ended; !errors.As(err, &e) || e.Status != http.StatusRequestTimeout {
		t.Errorf("the body ended with %v", err)
	}
}

// TestQuickBody checks that the deadline of a body does not outlive it: neither the answer nor the connection's next
// request has it.
func TestQuickBody(t *testing.T) {
	wait := make(chan struct{})
	conn := serveRaw(t, WithBodyTimes(short, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if r.URL.Path == "/slow" {
			select {
			case <-wait:
			case <-r.Context().Done(): // as when the background read fails by a deadline
				t.Error("the request ended while its answer was made")
			}
		}
		_, _ = fmt.Fprintf(w, "%s %v", body, err)
	})), "http/1.1")
	in := bufio.NewReader(conn)
	for _, path := range []string{"/slow", "/", "/"} {
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", path)
		if path == "/slow" {
			time.AfterFunc(4*short.Pause, func() { close(wait) })
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(resp.Body); string(body) != "abc <nil>" {
			t.Errorf("%s: %q", path, body)
		}
	}
}

// TestStreaming passes a request on, whose body pauses, and then leaves the rest of it.
func TestStreaming(t *testing.T) {
	go1, parts := make(chan struct{}), make(chan string, 2)
	conn := serveRaw(t, WithBodyTimes(short, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		defer Streaming(r)()
		for range 2 {
			b := make([]byte, 1)
			n, err := r.Body.Read(b)
			parts <- fmt.Sprintf("%s %v", b[:n], err)
			<-go1
		}
	})), "http/1.1")
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\na")
	if got := <-parts; got != "a <nil>" {
		t.Fatal(got)
	}
	go1 <- struct{}{}
	time.Sleep(4 * short.Pause) // the handler reads meanwhile, without a deadline
	fmt.Fprint(conn, "b")
	if got := <-parts; got != "b <nil>" {
		t.Fatalf("after a pause: %q", got)
	}
	go1 <- struct{}{}
	if _, err := io.ReadAll(conn); err != nil { // the rest does not come
		t.Error(err)
	}
	Streaming(httptest.NewRequest("GET", "/", nil))() // outside WithBodyTimes nothing is to do
}

// TestNoBody checks that a request without a body has no deadline.
func TestNoBody(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	WithBodyTimes(short, http.HandlerFunc(func(_ http.ResponseWriter, got *http.Request) {
		if got != r {
			t.Error("the request was changed")
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
}
