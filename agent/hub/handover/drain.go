package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// settle covers the moments between a connection's acceptance, its first
	// change of state, and the server's check whether it is shutting down.
	settle = 100 * time.Millisecond
	// silent is how long a connection may be open without a request before it
	// counts as idle, the same as in http.Server.Shutdown.
	silent = 5 * time.Second
)

// Drainer ends an http.Server whose sockets another process has taken over.
// http.Server.Shutdown alone hangs up on connections that were accepted but
// whose first request has not been read; those would see an empty answer.
type Drainer struct {
	server *http.Server

	mu      sync.Mutex
	fresh   map[net.Conn]time.Time // accepted, no request read yet
	changed time.Time              // when fresh changed last
}

// NewDrainer watches the connections of server through its ConnState, and
// passes them on to the hook that was there. Call it before Serve.
func NewDrainer(server *http.Server) *Drainer {
	d := &Drainer{server: server, fresh: map[net.Conn]time.Time{}}
	before := server.ConnState
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		d.note(conn, state)
		if before != nil {
			before(conn, state)
		}
	}
	return d
}

func (d *Drainer) note(conn net.Conn, state http.ConnState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, known := d.fresh[conn]
	switch {
	case state == http.StateNew:
		d.fresh[conn] = time.Now()
	case known:
		delete(d.fresh, conn)
	default:
		return
	}
	d.changed = time.Now()
}

// Drain closes the listeners, answers what was accepted before, and returns
// when the last request is done, or with an error when ctx ends first or a
// listener cannot be closed. Hijacked connections (WebSockets) are the
// caller's to wait for. Serve returns an error that is net.ErrClosed or
// http.ErrServerClosed.
func (d *Drainer) Drain(ctx context.Context, listeners map[string][]net.Listener) error {
	var failed error
	for name, group := range listeners {
		for _, listener := range group {
			if err := listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				failed = errors.Join(failed, fmt.Errorf("close listener %q: %w", name, err))
			}
		}
	}
	d.server.SetKeepAlivesEnabled(false)
	for closed := time.Now(); !d.quiet(closed, time.Now()); {
		select {
		case <-ctx.Done():
			return errors.Join(failed, fmt.Errorf("drain connections: %w", ctx.Err()))
		case <-time.After(settle / 10):
		}
	}
	if err := d.server.Shutdown(ctx); err != nil {
		failed = errors.Join(failed, fmt.Errorf("drain connections: %w", err))
	}
	return failed
}

// quiet reports whether the first request of every connection was read long enough ago that the
// server has begun to handle it.
func (d *Drainer) quiet(closed, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(closed) < settle || now.Sub(d.changed) < settle {
		return false
	}
	for _, since := range d.fresh {
		if now.Sub(since) < silent {
			return false
		}
	}
	return true
}
