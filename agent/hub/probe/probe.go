// Package probe asks a single-user server over its socket whether it answers HTTP yet.
// It must never send anything that opens the server: no token, no cookie.
package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Prober asks servers. Make it with New.
type Prober struct {
	dial func(ctx context.Context, socket string, uid uint32) (net.Conn, error)
}

// New makes a Prober that reaches sockets through dial, which checks that the uid given
// really listens there.
func New(dial func(ctx context.Context, socket string, uid uint32) (net.Conn, error)) Prober {
	return Prober{dial}
}

// maxAnswer bounds how long one question waits for its answer.
const maxAnswer = 5 * time.Second

// Probe sends GET path and gives nil on any answer below 500, as JupyterHub's
// wait_for_http_server does (jupyterhub/utils.py).
func (p Prober) Probe(ctx context.Context, socket string, uid uint32, path string) error {
	ctx, cancel := context.WithTimeout(ctx, maxAnswer)
	defer cancel()
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx, socket, uid) },
		DisableKeepAlives: true,
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server"+path, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", socket, err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", socket, err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	_ = resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("ask %s: it answered %s", socket, resp.Status)
	}
	return nil
}
