package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// serve returns a client whose hub is h.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "control") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
		_ = os.RemoveAll(dir)
	})
	return New(socket)
}

func key(t *testing.T, user, server string) ident.Key {
	t.Helper()
	k, err := ident.ParseKey(user, server)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestServers(t *testing.T) {
	k := key(t, "alice", "gpu")
	want := []Server{{User: k.User, Server: k.Server, State: "running", Profile: "p", Since: time.Unix(1e9, 0).UTC(),
		URL: "https://h/user/alice/gpu/", Unit: k.Unit()}}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != ServersPath {
			t.Errorf("asked for %s %s", r.Method, r.URL)
		}
		_ = json.NewEncoder(w).Encode(want)
	})
	got, err := c.Servers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b ident.User) bool { return a == b }),
		cmp.Comparer(func(a, b ident.Server) bool { return a == b })); diff != "" {
		t.Errorf("Servers (-want +got):\n%s", diff)
	}
}

func TestStart(t *testing.T) {
	tests := map[string]struct {
		answer string
		steps  int
		want   string // part of the error
	}{
		"ready": {`{"progress":10,"message":"a"}` + "\n" + `{"progress":100,"message":"b","ready":true}`, 2, ""},
		"failed": {`{"progress":10,"message":"a"}` + "\n" + `{"message":"no image","failed":true,"hint":"pull"}`, 2,
			"no image"},
		"broken off": {`{"progress":10,"message":"a"}` + "\n", 1, "broke off"},
		"no JSON":    {"<html>", 0, "broke off"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if strings.TrimSpace(string(body)) != `{"user":"alice","server":"","profile":"p"}` {
					t.Errorf("the request is %s", body)
				}
				_, _ = io.WriteString(w, tt.answer)
			})
			steps := 0
			err := c.Start(t.Context(), StartRequest{User: key(t, "alice", "").User, Profile: "p"},
				func(Progress) { steps++ })
			if steps != tt.steps || (err == nil) != (tt.want == "") || err != nil &&
				!strings.Contains(err.Error(), tt.want) {
				t.Errorf("%d steps, error %v", steps, err)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		if r.URL.Path == StopPath {
			_ = json.NewEncoder(w).Encode(Failure{Message: "user \"x\": no server runs",
				Hint: "gifford-hub servers list"})
		}
	})
	var e *Error
	if err := c.Stop(t.Context(), StopRequest{}); !errors.As(err, &e) || e.Status != 404 ||
		e.Hint != "gifford-hub servers list" {
		t.Errorf("Stop: %#v", err)
	}
	if err := c.Reload(t.Context()); !errors.As(err, &e) || e.Status != 404 || e.Hint == "" {
		t.Errorf("Reload: %#v", err)
	}
}

func TestNoHub(t *testing.T) {
	c := New(filepath.Join(t.TempDir(), "s"))
	var e *Error
	if _, err := c.Status(t.Context()); !errors.As(err, &e) || !strings.Contains(e.Message, "does not run") ||
		e.Hint == "" {
		t.Errorf("Status: %#v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c = serve(t, func(http.ResponseWriter, *http.Request) {})
	if err := c.Reload(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Reload: %v", err)
	}
}
