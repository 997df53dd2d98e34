package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// session is one request that is being passed, or the WebSocket that it became.
type session struct {
	route     *route
	leave     *Leave // nil to a service
	cancel    context.CancelCauseFunc
	websocket bool // Proxy.mu guards it
}

// end stops the request upstream; for a WebSocket, ReverseProxy then closes both ends.
func (s *session) end(why error) { s.cancel(why) }

// Stats is the traffic over one server's route.
type Stats struct {
	Requests    int       // open requests, without WebSockets
	WebSockets  int       // open upgraded connections
	LastTraffic time.Time // as Activity
}

// Stats returns the traffic over the route of key; zero without a route.
func (p *Proxy) Stats(key ident.Key) Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, ok := p.routes[key]
	if !ok {
		return Stats{}
	}
	return Stats{int(r.requests.Load()), int(r.sockets.Load()), time.Unix(0, r.traffic.Load())}
}

// Activity returns when the server of key was last used: when its route was made, data came from a client (the body of
// a request, or a message over a WebSocket), or an answer below 300 was complete. These are configurable-http-proxy's
// rules (lib/configproxy.js), except that a browser's pings and JupyterLab's polls do not count: they would make an
// open tab look active for ever. The pings of some programs are messages like any other, so use it only for servers
// that do not report their activity. Zero without a route.
func (p *Proxy) Activity(key ident.Key) time.Time { return p.Stats(key).LastTraffic }

// Open returns how many requests and WebSockets are being passed.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open)
}

// WebSockets returns how many upgraded connections are open.
func (p *Proxy) WebSockets() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sockets.n
}

// Drain waits until no WebSocket is open. When ctx ends first, it closes those that are left and says how many there
// were. http.Server.Shutdown does not know them (it waits for plain requests), so call both.
func (p *Proxy) Drain(ctx context.Context) error {
	p.mu.Lock()
	none := p.sockets.untilNone()
	p.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		left := p.sessions(func(s *session) bool { return s.websocket })
		for _, s := range left {
			s.end(errDrained)
		}
		return fmt.Errorf("closed %d WebSockets that were still open: %w", len(left), ctx.Err())
	}
}

// openCount counts open connections. Proxy.mu guards it. Its zero value counts nothing.
type openCount struct {
	n    int
	none chan struct{} // closed when n becomes 0; nil while it is
}

func (c *openCount) add() {
	if c.n++; c.n == 1 {
		c.none = make(chan struct{})
	}
}

func (c *openCount) remove() {
	if c.n--; c.n == 0 {
		close(c.none)
		c.none = nil
	}
}

// untilNone returns a channel that is closed when nothing is open. It is closed already when nothing is open now.
func (c *openCount) untilNone() <-chan struct{} {
	if c.none != nil {
		return c.none
	}
	now := make(chan struct{})
	close(now)
	return now
}

// sessions returns the open sessions that match. match runs under the lock.
func (p *Proxy) sessions(match func(*session) bool) []*session {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []*session
	for s := range p.open {
		if match(s) {
			found = append(found, s)
		}
	}
	return found
}

// enter counts a request. One whose route was deleted since it was found ends at once.
func (p *Proxy) enter(s *session) {
	s.route.requests.Add(1)
	p.mu.Lock()
	p.open[s] = struct{}{}
	gone := s.route.closed || s.route.service == "" && p.routes[s.route.key] != s.route
	p.mu.Unlock()
	if gone {
		s.end(errRouteGone)
	}
}

// upgraded counts a request as a WebSocket from now on.
func (p *Proxy) upgraded(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.websocket = true
	p.sockets.add()
	s.route.requests.Add(-1)
	s.route.sockets.Add(1)
}

// leave ends the counting, and the session's context.
func (p *Proxy) leave(s *session) {
	s.cancel(nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, s)
	if !s.websocket {
		s.route.requests.Add(-1)
		return
	}
	s.route.sockets.Add(-1)
	p.sockets.remove()
}

// answer is the ResponseWriter for ReverseProxy. It records the status and counts the traffic of a hijacked connection.
type answer struct {
	http.ResponseWriter
	proxy   *Proxy
	session *session
	status  int
	body    *countedBody
	own     http.Header // what the hub itself had set before
	http1   bool        // the client speaks HTTP/1, in which requests follow each other on a connection
	interim bool        // the client knows interim answers: HTTP/1.0 has none
	cleared bool        // ReverseProxy has removed what the hub had set

	unavailable unavailable
	isWebSocket bool // what the client asks to upgrade to
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader notes the status. ReverseProxy passes on interim answers (1xx) without asking anybody, and clears all
// headers afterwards, the hub's own among them.
func (a *answer) WriteHeader(status int) {
	if status < http.StatusOK && status != http.StatusSwitchingProtocols {
		if a.interim {
			narrow(a.Header(), a.session.route.prefix)
			a.ResponseWriter.WriteHeader(status)
		}
		a.cleared = true
		return
	}
	if a.cleared {
		for name, values := range a.own {
			a.Header()[name] = append(slices.Clone(values), a.Header()[name]...)
		}
	}
	if !a.body.ended.Load() && a.http1 {
		// net/http may stop waiting for the rest of a body, and would then read it as the next request.
		a.Header().Set("Connection", "close")
	}
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Hijack hands the connection over to ReverseProxy for a WebSocket.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, brw, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	a.status = http.StatusSwitchingProtocols
	a.proxy.upgraded(a.session)
	counted := &countedConn{Conn: conn, early: brw.Reader, route: a.session.route}
	if a.isWebSocket {
		counted.frames = &frames{}
	}
	return counted, brw, nil
}

// countedConn is the client's end of a WebSocket; the messages that come from it are traffic.
type countedConn struct {
	net.Conn
	frames  *frames       // nil where every byte counts; the one goroutine that reads uses it
	early   *bufio.Reader // what the client sent before the upgrade was answered
	drained atomic.Bool   // early is empty
	route   *route
}

// Read first returns what net/http had already read, which ReverseProxy would lose.
func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.read(b)
	if n > 0 && (c.frames == nil || c.frames.message(b[:n])) {
		c.route.touch()
	}
	return n, err
}

func (c *countedConn) read(b []byte) (int, error) {
	if !c.drained.Load() {
		if buffered := c.early.Buffered(); buffered > 0 {
			return c.early.Read(b[:min(len(b), buffered)])
		}
		c.drained.Store(true)
	}
	return c.Conn.Read(b)
}

// CloseWrite passes the server's end of its stream on, so that each side can finish.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}

// countedBody is a request's body; what is read from it is traffic.
type countedBody struct {
	io.Reader
	route  *route
	ended  atomic.Bool // read to its end
	closed atomic.Bool
}

// Read notes the traffic.
func (c *countedBody) Read(b []byte) (int, error) {
	if c.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := c.Reader.Read(b)
	if n > 0 {
		c.route.touch()
	}
	if errors.Is(err, io.EOF) {
		c.ended.Store(true)
	}
	return n, err
}

// Close ends the reading. It leaves the rest of the body to net/http, which closes it after the answer. To do so here
// would wait for that rest first, and nobody would hear that the server does not answer.
func (c *countedBody) Close() error {
	c.closed.Store(true)
	return nil
}
