package gate

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/proxy"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// open lets everybody through, as the proxy did before there was a gate.
type open struct{ leave proxy.Leave }

func (o *open) Admit(http.ResponseWriter, *http.Request, ident.Key) *proxy.Leave { return &o.leave }

// BenchmarkProxy has small answers of a server with the gate and without, for docs/performance.md.
func BenchmarkProxy(b *testing.B) {
	dir, err := os.MkdirTemp("", "bench") // b.TempDir is too long for a socket's path
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	})}
	go func() { _ = server.Serve(l) }()
	b.Cleanup(func() { _ = server.Close() })
	p, err := proxy.New(proxy.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	p.SetRoute(key(b, "alice"), backend.UnixSocket(filepath.Join(dir, "s"), uint32(os.Getuid())))
	r := newRig(b)
	cookie := r.cookie(b, "s-alice", "alice") + "; " + hub("s-alice") +
		"; _xsrf=2|0123456789|abcdef; jupyterhub-session-id=x"
	without := &open{proxy.Leave{Owner: true, Holds: func(context.Context) bool { return true }}}
	for name, h := range map[string]http.Handler{"without": p.Handler(without, proxy.Answers{}),
		"with": p.Handler(r.Gate, proxy.Answers{})} {
		b.Run(name, func(b *testing.B) {
			front := httptest.NewServer(h)
			defer front.Close()
			client := front.Client()
			b.ReportAllocs()
			for b.Loop() {
				req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, front.URL+"/user/alice/api/status",
					nil)
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set("Cookie", cookie)
				resp, err := client.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					b.Fatal(resp.Status)
				}
			}
		})
	}
}

// BenchmarkAdmit is what the gate adds to a request.
func BenchmarkAdmit(b *testing.B) {
	r := newRig(b)
	req := fetch("/user/alice/api", "Cookie", r.cookie(b, "s-alice", "alice"), "Cookie", hub("s-alice"))
	w, alice := httptest.NewRecorder(), key(b, "alice")
	b.ReportAllocs()
	for b.Loop() {
		if r.Admit(w, req, alice) == nil {
			b.Fatal("refused")
		}
	}
}
