package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/handover"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/tlscert"
	"github.com/gifford-lab/gifford-hub/agent/hub/visitors"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

// Time-outs of every listener. There is none for answers, nor for bodies on their way to servers and services: uploads,
// downloads and event streams may take as long as they take.
const (
	headerTimeout = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	bodyPause     = 30 * time.Second
	bodyTotal     = 5 * time.Minute // the largest body of a form or the API is 1 MB
)

// Bounds of a request's headers, in bytes.
const (
	maxHeaders = 64 << 10
	// maxBrowserHeaders leaves room for all that a page can make a browser send: the cookies that it holds for a host
	// (Chromium 180, of 4 KiB) and the longest URL (Chromium 2 MiB, Firefox 1 MiB). net/http would refuse it in four
	// words without any header of ours. Nobody could ever clear the cookies, and the four words would be a window of
	// the servers' origin without a policy, in which a page could do what its own forbids. So the hub takes it in, its
	// own page clears cookies (web.WithinCookies), and its own words refuse URLs (httpx.WithStrictRequests).
	maxBrowserHeaders = 3 << 20
)

// judgeDraining is how often an older process judges again who may have open what it still serves: changes of rights
// are made in the newer one, and it sees them in the database alone.
const judgeDraining = time.Second

// stopGrace is for open requests when the service is stopped.
const stopGrace = 5 * time.Second

// surface is a group of listeners with the handler that answers on them.
type surface struct {
	name      string
	server    *http.Server
	drainer   *handover.Drainer
	listeners []net.Listener
	tls       bool
	visitors  *visitors.Visitors // nil where nothing is bounded
}

// newSurface makes a surface. Messages of net/http, such as one for each port scan's broken handshake, are logged at
// the level debug.
func newSurface(name string, listeners []net.Listener, handler http.Handler, log *slog.Logger) *surface {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaders,
		ErrorLog: slog.NewLogLogger(log.With("event", "connection-failed", "surface", name).Handler(),
			slog.LevelDebug)}
	return &surface{name: name, server: server, drainer: handover.NewDrainer(server), listeners: listeners}
}

// expose makes the surfaces of the listeners. cert is nil without TLS.
func expose(g given, cert *tlscert.Loader, t routing, v *visitors.Visitors) []*surface {
	main, redirected := g.listeners["public"], []net.Listener(nil)
	if cert != nil {
		main, redirected = splitPublic(main, g.cfg.HTTP.RedirectPort)
	}
	front := newSurface("public", main, chain(g.log, v.Handler(t.named(g))), g.log)
	front.visitors, front.server.ConnContext = v, visitors.ConnContext
	front.server.MaxHeaderBytes = maxBrowserHeaders
	if cert != nil {
		front.tls, front.server.TLSConfig = true, cert.TLSConfig()
	}
	all := []*surface{front, newSurface("api", g.listeners["api"], chain(g.log, t.private()), g.log),
		newSurface("control", g.listeners["control"], chain(g.log, t.operator), g.log)}
	if len(redirected) > 0 {
		plain := newSurface("redirect", redirected, chain(g.log, redirect(g.cfg.HTTP.PublicURL)), g.log)
		plain.server.MaxHeaderBytes = maxBrowserHeaders
		plain.visitors = v
		all = append(all, plain)
	}
	return all
}

// chain is the middleware that every request passes, outermost first.
func chain(log *slog.Logger, next http.Handler) http.Handler {
	times := httpx.BodyTimes{Pause: bodyPause, Total: bodyTotal}
	return httpx.WithRequestID(httpx.WithRecover(log, httpx.WithStrictRequests(httpx.WithBodyTimes(times, next))))
}

// splitPublic separates the listeners on a port of TCP, which redirect to TLS, from the others.
func splitPublic(all []net.Listener, port int) (main, redirected []net.Listener) {
	for _, l := range all {
		if addr, ok := l.Addr().(*net.TCPAddr); ok && addr.Port == port {
			redirected = append(redirected, l)
		} else {
			main = append(main, l)
		}
	}
	return main, redirected
}

// listenersFor returns the listeners as the operator's commands show them.
func listenersFor(all map[string][]net.Listener) (shown []control.Listener) {
	for name, group := range all {
		for _, l := range group {
			shown = append(shown, control.Listener{Name: name, Address: l.Addr().String()})
		}
	}
	return shown
}

// redirect sends browsers from plain HTTP to the same page of the public URL.
func redirect(publicURL string) http.Handler {
	to, err := url.Parse(publicURL)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err != nil || to.Host == "" {
			httpx.Words(w, "this hub is reached by https", http.StatusBadRequest)
			return
		}
		target := "https://" + to.Host + r.URL.RequestURI()
		if !strings.HasPrefix(r.URL.RequestURI(), "/") { // "*", or a proxy's absolute form
			target = publicURL
		}
		http.Redirect(w, r, target, http.StatusPermanentRedirect)
	})
}

// listen begins to accept, and returns a channel with the error of the first listener that fails.
func listen(surfaces []*surface) <-chan error {
	failed := make(chan error, 1)
	for _, s := range surfaces {
		for _, l := range s.listeners {
			go func() { // ends when shutdown closes the server
				if err := s.serve(l); err != nil {
					select {
					case failed <- fmt.Errorf("listener %s (%s): %w", l.Addr(), s.name, err):
					default:
					}
				}
			}()
		}
	}
	return failed
}

// serve answers on a listener. It returns nil when the surface was shut down.
func (s *surface) serve(l net.Listener) (err error) {
	if s.visitors != nil {
		l = s.visitors.Listener(l)
	}
	if s.tls {
		err = s.server.ServeTLS(l, "", "")
	} else {
		err = s.server.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// drain serves what is open to its end, or until drain_timeout.
func (h *hub) drain() error {
	h.log.Info("a newer process has taken over; serving what is open", "event", "draining", "open", h.proxy.Open())
	ctx, cancel := context.WithTimeout(context.Background(), h.cfg.HTTP.DrainTimeout)
	var judging sync.WaitGroup
	defer judging.Wait()
	defer cancel()
	judging.Go(func() { h.gate.Watch(ctx, judgeDraining, h.proxy.Judge) })
	err := shutdown(ctx, h.surfaces)
	if err := h.proxy.Drain(ctx); err != nil {
		h.log.Info("ended connections that were still open", "event", "drain-ended", "error", err.Error())
	}
	return err
}

// stop ends the service: open requests have a moment, WebSockets end at once.
func (h *hub) stop() {
	_ = (handover.Notify{}).Stopping() // without a service manager there is nobody to tell
	h.process.status.stop()
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	ended, end := context.WithCancel(ctx)
	end()
	_ = h.proxy.Drain(ended)
	if err := shutdown(ctx, h.surfaces); err != nil {
		h.log.Info("ended requests that were still open", "event", "stop-ended", "error", err.Error())
	}
}

// shutdown stops accepting on every surface and waits for open requests until ctx ends.
func shutdown(ctx context.Context, surfaces []*surface) error {
	errs := make(chan error, len(surfaces))
	for _, s := range surfaces {
		go func() { errs <- s.drainer.Drain(ctx, map[string][]net.Listener{s.name: s.listeners}) }()
	}
	var all error
	for range surfaces {
		all = errors.Join(all, <-errs)
	}
	for _, s := range surfaces {
		_ = s.server.Close()
	}
	return all
}
