package unixhttp

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hint"
)

var service = Service{Name: "the hub", Journal: "read the log", Status: "ask systemd", Start: "start it",
	Version: "update it"}

// serve returns a client whose service is h.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "unixhttp") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
		_ = os.RemoveAll(dir)
	})
	return New(filepath.Join(dir, "s"), service)
}

func answer(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

type step struct{ N int }

// calls are the ways to ask.
var calls = map[string]func(context.Context, *Client) error{
	"get":    func(ctx context.Context, c *Client) error { var s step; return c.Get(ctx, "/x", &s) },
	"post":   func(ctx context.Context, c *Client) error { var s step; return c.Post(ctx, "/x", JSON(step{1}), &s) },
	"copy":   func(ctx context.Context, c *Client) error { return c.Copy(ctx, "/x", io.Discard) },
	"stream": func(ctx context.Context, c *Client) error { return Stream(ctx, c, "/x", Body{}, untilTwo) },
}

func untilTwo(s step) (bool, error) { return s.N == 2, nil }

// want checks an error's words, its next step and its status.
func want(t *testing.T, what string, err error, message, next string, status int) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(e.Message, message) || e.Hint != next || e.Status != status ||
		hint.Of(err) != next {
		t.Errorf("%s: %#v; want %q, hint %q, status %d", what, err, message, next, status)
	}
}

// TestFailures checks each failure through each way to ask.
func TestFailures(t *testing.T) {
	refused := serve(t, answer(404, `{"message":"there is none","hint":"list them"}`))
	silent := serve(t, answer(500, "<html>"))
	empty := serve(t, answer(403, `{"hint":"x"}`))
	nobody := New(filepath.Join(t.TempDir(), "s"), service)
	odd := New(t.TempDir(), service) // a directory
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range calls {
		want(t, name+", refused", call(t.Context(), refused), "there is none", "list them", 404)
		want(t, name+", no reason", call(t.Context(), silent), "the hub answered 500", service.Journal, 500)
		want(t, name+", empty reason", call(t.Context(), empty), "the hub answered 403", service.Journal, 403)
		err := call(t.Context(), nobody)
		want(t, name+", nobody", err, "the hub does not run: nothing listens on", service.Start, 0)
		if !errors.Is(err, ErrUnreachable) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v is not among the causes", name, err)
		}
		if err := call(t.Context(), odd); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: at a directory: %v", name, err)
		}
		err = call(gone, refused)
		want(t, name+", cancelled", err, "interrupted", "", 0)
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreachable) {
			t.Errorf("%s, cancelled: %v", name, err)
		}
	}
}

func TestNoPermission(t *testing.T) {
	err := New("/s", service).unreachable(t.Context(), &net.OpError{Op: "dial", Err: syscall.EACCES})
	want(t, "no permission", err, "only root may do this: cannot open /s", "run it with sudo", 0)
	err = New("/s", service).unreachable(t.Context(), &net.OpError{Op: "dial", Err: syscall.EMFILE})
	want(t, "other", err, "cannot reach the hub", service.Status, 0)
}

func TestAnswers(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, `{"Method":"`+r.Method+`","Kind":"`+r.Header.Get("Content-Type")+`","Body":"`+
			strings.ReplaceAll(string(body), `"`, "'")+`"}`)
	})
	type seen struct{ Method, Kind, Body string }
	var got seen
	if err := c.Get(t.Context(), "/x", &got); err != nil || got != (seen{"GET", "", ""}) {
		t.Errorf("Get: %+v, %v", got, err)
	}
	if err := c.Post(t.Context(), "/x", JSON(step{1}), &got); err != nil ||
		got != (seen{"POST", "application/json", "{'N':1}"}) {
		t.Errorf("Post: %+v, %v", got, err)
	}
	if err := c.Post(t.Context(), "/x", Bytes(strings.NewReader("tar")), &got); err != nil ||
		got != (seen{"POST", "application/octet-stream", "tar"}) {
		t.Errorf("Post of bytes: %+v, %v", got, err)
	}
	if err := c.Post(t.Context(), "/x", JSON(1), nil); err != nil {
		t.Errorf("Post without an answer: %v", err)
	}
	var text strings.Builder
	if err := c.Copy(t.Context(), "/x", &text); err != nil || !strings.HasPrefix(text.String(), `{"Method":"GET"`) {
		t.Errorf("Copy: %s, %v", &text, err)
	}
	want(t, "no JSON", serve(t, answer(200, "<html>")).Get(t.Context(), "/x", &got), "cannot understand the answer of",
		service.Version, 0)
	far := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://example.org/", http.StatusFound)
	})
	if err := far.Get(t.Context(), "/x", &got); err == nil {
		t.Error("a redirect was followed")
	}
}

func TestStream(t *testing.T) {
	no := errors.New("no")
	for name, tt := range map[string]struct {
		answer  string
		message string
		sum     int
	}{
		"whole":            {`{"N":1}{"N":2}`, "", 3},
		"more is not read": {`{"N":2}{"N":1}`, "", 2},
		"broken off":       {`{"N":1}`, "the hub broke off", 1},
		"half a value":     {`{"N":1}{"N`, "the hub broke off", 1},
		"no JSON":          {"<html>", "the hub broke off", 0},
		"the caller's":     {`{"N":1}{"N":7}{"N":2}`, "no", 8},
	} {
		sum := 0
		err := Stream(t.Context(), serve(t, answer(200, tt.answer)), "/x", Body{}, func(s step) (bool, error) {
			if sum += s.N; s.N == 7 {
				return false, no
			}
			return s.N == 2, nil
		})
		switch {
		case sum != tt.sum:
			t.Errorf("%s: steps sum to %d", name, sum)
		case tt.message == "" && err != nil, tt.message == "no" && !errors.Is(err, no):
			t.Errorf("%s: %v", name, err)
		case tt.message != "" && tt.message != "no":
			want(t, name, err, tt.message, service.Journal, 0)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// TestInTheMiddle checks what ends an answer after it has begun.
func TestInTheMiddle(t *testing.T) {
	if err := serve(t, answer(200, "text")).Copy(t.Context(), "/x", broken{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"N":1}`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	err := Stream(ctx, c, "/x", Body{}, func(step) (bool, error) { cancel(); return false, nil })
	want(t, "cancelled", err, "interrupted", "", 0)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
