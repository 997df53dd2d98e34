package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// errRouteGone and errDrained are the reasons for which the proxy itself ends a connection.
var (
	errRouteGone = errors.New("the server's route is gone")
	errDrained   = errors.New("the hub ends its connections")
)

// route is one entry of the table with its own pool of connections.
type route struct {
	key       ident.Key       // zero for a service
	prefix    string          // the path below which it answers, with a slash at both ends
	service   string          // its name; "" for a server
	closed    bool            // the service is no more; Proxy.mu guards it
	to        backend.Address // of a server
	transport *http.Transport
	handler   *httputil.ReverseProxy
	slots     chan struct{} // holds one for each request and WebSocket that is open
	saidFull  atomic.Int64  // Unix nanoseconds of the last message that no slot was left
	requests  atomic.Int64
	sockets   atomic.Int64
	traffic   atomic.Int64 // Unix nanoseconds of the last traffic
}

func (p *Proxy) newRoute(key ident.Key, to backend.Address) *route {
	r := &route{key: key, to: to, prefix: p.cfg.BaseURL + key.Path()[1:],
		slots: make(chan struct{}, p.cfg.MaxOpen)}
	r.transport = p.newTransport(func(ctx context.Context, _, _ string) (net.Conn, error) {
		return to.Dial(ctx)
	})
	r.handler = p.newHandler(r, p.rewrite)
	r.touch() // a new route counts as traffic, as in configurable-http-proxy
	return r
}

// maxAnswerHeader bounds the headers of an upstream's answer, in bytes, to what the hub takes of a request's. The hub
// holds them in memory, several times, for each request that is open.
const maxAnswerHeader = 64 << 10

func (p *Proxy) newTransport(dial func(ctx context.Context, network, addr string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialContext:            dial,
		DisableCompression:     true, // the answer passes as the upstream made it
		MaxIdleConnsPerHost:    p.cfg.MaxIdle,
		IdleConnTimeout:        p.cfg.IdleTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxAnswerHeader,
	}
}

func (p *Proxy) newHandler(r *route, rewrite func(*httputil.ProxyRequest)) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:   rewrite,
		Transport: r.transport,
		ModifyResponse: func(answer *http.Response) error {
			if err := r.received(answer); err != nil {
				return err
			}
			p.guard(r, answer)
			return nil
		},
		FlushInterval: -1,
		BufferPool:    p.buffers,
		ErrorLog:      slog.NewLogLogger(p.cfg.Log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, req *http.Request,
			err error) {
			p.failed(w.(*answer), req, r, err)
		},
	}
}

// fields name the route in the log, after an event of it.
func (r *route) fields(event string) []any {
	if r.service != "" {
		return []any{"event", event, "service", r.service}
	}
	return []any{"event", event, "user", r.key.User.String(), "server", r.key.Server.String()}
}

// unreachable is the event of a route whose upstream does not answer.
func (r *route) unreachable() string {
	if r.service != "" {
		return "service-unreachable"
	}
	return "server-unreachable"
}

// touch notes traffic.
func (r *route) touch() { r.traffic.Store(time.Now().UnixNano()) }

// unavailable answers for an upstream that did not answer, with the matching status.
type unavailable func(w http.ResponseWriter, r *http.Request, status int)

// Answers is what clients get where no server answers. They come with the handler and not with the Proxy because the
// pages among them show servers, whose routes the Proxy has.
type Answers struct {
	// Unrouted answers every request that no route is for: a path that is no server's, or a server that does not run.
	// Target returns whom the path names. Optional: 404.
	Unrouted http.Handler
	// Unavailable answers for a server whose route stands but which gave no answer: 503 when nobody listens, 502 when a
	// stranger listens or the answer is broken. Optional: plain text.
	Unavailable func(w http.ResponseWriter, r *http.Request, key ident.Key, status int)
}

// Handler returns the handler that passes requests on to the server that their path names, as g decides; without one it
// lets nobody through. It sets no limit on bodies and no time-outs. The http.Server in front of it must not either.
func (p *Proxy) Handler(g gate, a Answers) http.Handler {
	if g == nil {
		g = closedGate{}
	}
	if a.Unrouted == nil {
		a.Unrouted = http.NotFoundHandler()
	}
	if a.Unavailable == nil {
		a.Unavailable = plainUnavailable
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, g, a) })
}

func plainUnavailable(w http.ResponseWriter, _ *http.Request, key ident.Key, status int) {
	httpx.Words(w, fmt.Sprintf("the server %s does not answer", key), status)
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request, g gate, a Answers) {
	target, ok := p.Target(r)
	if !ok {
		a.Unrouted.ServeHTTP(w, r)
		return
	}
	route := p.find(target)
	switch {
	case target.Bare && (target.Server.IsDefault() || route != nil && route.key.Server == target.Server):
		p.addSlash(w, r, ident.Key{User: target.User, Server: target.Server})
	case route == nil:
		a.Unrouted.ServeHTTP(w, r)
	default:
		leave := g.Admit(w, r, route.key)
		if leave == nil {
			return
		}
		p.pass(w, r, route, leave, func(w http.ResponseWriter, r *http.Request, status int) {
			a.Unavailable(w, r, route.key, status)
		})
	}
}

// addSlash redirects to the server's own path, which is made from the names alone: nothing that the client sent can
// lead elsewhere.
func (p *Proxy) addSlash(w http.ResponseWriter, r *http.Request, key ident.Key) {
	to := p.cfg.BaseURL + key.Path()[1:]
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusFound)
}

// pass proxies one request and counts it while it lasts. leave is nil for a service.
func (p *Proxy) pass(w http.ResponseWriter, r *http.Request, route *route, leave *Leave, down unavailable) {
	if !p.admit(r, route) {
		p.full(w, route)
		return
	}
	defer route.release()
	ctx, cancel := context.WithCancelCause(r.Context())
	s := &session{route: route, leave: leave, cancel: cancel}
	defer p.leave(s)
	p.enter(s)
	defer httpx.Streaming(r)()
	r, bare := r.WithContext(p.judged(ctx, s)), leave != nil && leave.Preflight
	if bare {
		r = barePreflight(r)
	}
	body := &countedBody{Reader: r.Body, route: route}
	body.ended.Store(r.Body == nil || r.Body == http.NoBody)
	if !body.ended.Load() {
		r.Body = body
	}
	if !bare { // otherwise HTTP/1 would read the rest of an upload before the answer begins
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	answer := &answer{ResponseWriter: w, proxy: p, session: s, unavailable: down, isWebSocket: isWebSocket(r),
		body: body, own: maps.Clone(w.Header()), http1: r.ProtoMajor == 1, interim: !bare && r.ProtoAtLeast(1, 1)}
	route.handler.ServeHTTP(answer, r)
	if answer.status >= http.StatusOK && answer.status < http.StatusMultipleChoices && !poll(r) {
		route.touch() // redirects and failures are no use of the server (configurable-http-proxy)
	}
}

// failed answers for a server that gave no answer.
func (p *Proxy) failed(w *answer, r *http.Request, route *route, err error) {
	status, cause := http.StatusBadGateway, context.Cause(r.Context())
	var stranger *backend.StrangerError
	var dial *net.OpError
	switch {
	case errors.As(err, &stranger):
		p.cfg.Log.Warn("refused a server's socket", "event", "socket-refused", "user", route.key.User.String(),
			"server", route.key.Server.String(), "socket", stranger.Socket, "want_uid", stranger.Want, "got_uid",
			stranger.Got, "error", stranger.Error())
	case errors.Is(cause, errLeaveEnded):
		httpx.Words(w, hint.Join(errLeaveEnded.Error(), "load the page again"), http.StatusForbidden)
		return
	case errors.Is(cause, errRouteGone), errors.Is(cause, errDrained):
		status = http.StatusServiceUnavailable
	case cause != nil:
		w.WriteHeader(status) // the client is gone and does not read it
		return
	case errors.As(err, &dial) && dial.Op == "dial":
		status = http.StatusServiceUnavailable
		fallthrough
	default:
		p.cfg.Log.Warn("a server does not answer", append(route.fields(route.unreachable()), "error", err.Error())...)
	}
	w.unavailable(w, r, status)
}

// buffers is the pool of buffers through which answers pass (httputil.BufferPool).
type buffers struct{ pool sync.Pool }

// bufferSize is the one that io.Copy uses.
const bufferSize = 32 << 10

func newBuffers() *buffers {
	return &buffers{sync.Pool{New: func() any { return new([bufferSize]byte) }}}
}

// Get returns a buffer.
func (b *buffers) Get() []byte { return b.pool.Get().(*[bufferSize]byte)[:] }

// Put takes a buffer back.
func (b *buffers) Put(buf []byte) { b.pool.Put((*[bufferSize]byte)(buf)) }
