// Package probe asks a single-user server whether it answers HTTP yet.
// It must never send anything that opens the server: no token, no cookie.
package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
)

// Prober asks servers.
type Prober struct{}

// maxAnswer bounds how long one question waits for its answer.
const maxAnswer = 5 * time.Second

// Probe sends GET path and returns nil on any answer below 500, as JupyterHub's wait_for_http_server does
// (jupyterhub/utils.py).
func (Prober) Probe(ctx context.Context, server backend.Address, path string) error {
	ctx, cancel := context.WithTimeout(ctx, maxAnswer)
	defer cancel()
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return server.Dial(ctx) },
		DisableKeepAlives: true,
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server"+path, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", server, err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", server, err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	_ = resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("ask %s: it answered %s", server, resp.Status)
	}
	return nil
}
