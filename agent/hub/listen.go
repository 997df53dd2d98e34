package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/handover"
)

type prefix = netip.Prefix

// Time-outs of every listener. There is none for bodies, neither read nor written: uploads,
// downloads and event streams of servers may take as long as they take.
const (
	headerTimeout = 30 * time.Second
	idleTimeout   = 2 * time.Minute
)

// surface is a group of listeners with the handler that answers on them.
type surface struct {
	name      string
	server    *http.Server
	drainer   *handover.Drainer
	listeners []net.Listener
	tls       bool
}

// newSurface makes a surface. What net/http has to say, such as each port scan's broken
// handshake, is for debugging.
func newSurface(name string, listeners []net.Listener, handler http.Handler, log *slog.Logger) *surface {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.With("event", "connection-failed", "surface", name).Handler(),
			slog.LevelDebug)}
	return &surface{name: name, server: server, drainer: handover.NewDrainer(server), listeners: listeners}
}

// expose sorts the listeners into surfaces.
func (h *instance) expose(public, private, operator http.Handler) {
	main, plain := h.splitPublic()
	front := newSurface("public", main, public, h.log)
	if h.cert != nil {
		front.tls, front.server.TLSConfig = true, h.cert.TLSConfig()
	}
	h.surfaces = []*surface{front, newSurface("api", h.listeners["api"], private, h.log),
		newSurface("control", h.listeners["control"], operator, h.log)}
	if len(plain) > 0 {
		h.surfaces = append(h.surfaces, newSurface("redirect", plain, redirect(h.cfg.HTTP.PublicURL), h.log))
	}
}

// splitPublic tells the listeners that redirect to TLS from the ones that serve.
func (h *instance) splitPublic() (main, plain []net.Listener) {
	for _, l := range h.listeners["public"] {
		addr, ok := l.Addr().(*net.TCPAddr)
		if h.cert != nil && ok && addr.Port == h.cfg.HTTP.RedirectPort {
			plain = append(plain, l)
			continue
		}
		main = append(main, l)
	}
	return main, plain
}

// redirect sends browsers from plain HTTP to the same page of the public URL.
func redirect(publicURL string) http.Handler {
	to, err := url.Parse(publicURL)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err != nil || to.Host == "" {
			http.Error(w, "this hub is reached by https", http.StatusBadRequest)
			return
		}
		target := "https://" + to.Host + r.URL.RequestURI()
		if !strings.HasPrefix(r.URL.RequestURI(), "/") { // "*", or a proxy's absolute form
			target = publicURL
		}
		http.Redirect(w, r, target, http.StatusPermanentRedirect)
	})
}

// listen begins to accept, and gives the error of the first listener that fails.
func (h *instance) listen() <-chan error {
	failed := make(chan error, 1)
	for _, s := range h.surfaces {
		for _, l := range s.listeners {
			go func() { // ends when drain or stop closes the server
				var err error
				if s.tls {
					err = s.server.ServeTLS(l, "", "")
				} else {
					err = s.server.Serve(l)
				}
				if err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
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

// reload starts the binary on disk with our listeners. When it is ready this process
// stops accepting and serves what is open to its end.
func (h *instance) reload(ctx context.Context) error {
	if !h.reloading.TryLock() {
		return errors.New("a reload is under way already")
	}
	defer h.reloading.Unlock()
	select {
	case <-h.handedOver:
		return errors.New("a newer process has taken over already")
	default:
	}
	h.log.Info("reloading", "event", "reload")
	self, err := os.Executable()
	if err != nil {
		return err
	}
	_ = (handover.Notify{}).Reloading() // without a service manager there is nobody to tell
	h.notify.stop()
	// The package manager has replaced the file: the kernel then marks our own as deleted.
	err = handover.Successor(ctx, handover.Config{Path: strings.TrimSuffix(self, " (deleted)"), Args: os.Args[1:],
		Listeners: h.listeners, Timeout: reloadBound, Stderr: os.Stderr})
	if err != nil {
		h.metrics.ReloadFailed()
		h.log.Error("reload failed; serving on as before", "event", "reload-failed", "error", err.Error())
		_ = (handover.Notify{}).Ready(h.status())
		h.notify.start(h.status)
		return err
	}
	close(h.handedOver)
	return nil
}

// drain serves what is open to its end, or until drain_timeout.
func (h *instance) drain() error {
	h.log.Info("a newer process has taken over; serving what is open", "event", "draining", "open", h.proxy.Open())
	ctx, cancel := context.WithTimeout(context.Background(), h.cfg.HTTP.DrainTimeout)
	defer cancel()
	err := h.shutdown(ctx)
	if err := h.proxy.Drain(ctx); err != nil {
		h.log.Info("ended connections that were still open", "event", "drain-ended", "error", err.Error())
	}
	return err
}

// stop ends the service: open requests have a moment, WebSockets end at once.
func (h *instance) stop() {
	_ = (handover.Notify{}).Stopping()
	h.notify.stop()
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	ended, end := context.WithCancel(ctx)
	end()
	_ = h.proxy.Drain(ended)
	if err := h.shutdown(ctx); err != nil {
		h.log.Info("ended requests that were still open", "event", "stop-ended", "error", err.Error())
	}
}

// shutdown stops accepting on every surface and waits for open requests.
func (h *instance) shutdown(ctx context.Context) error {
	errs := make(chan error, len(h.surfaces))
	for _, s := range h.surfaces {
		go func() { errs <- s.drainer.Drain(ctx, map[string][]net.Listener{s.name: s.listeners}) }()
	}
	var all error
	for range h.surfaces {
		all = errors.Join(all, <-errs)
	}
	for _, s := range h.surfaces {
		_ = s.server.Close()
	}
	return all
}

// olderProcesses counts the hub's processes in this service besides this one: those that
// still serve what was open when a newer one took over.
func olderProcesses() int {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0
	}
	older := 0
	for line := range strings.Lines(string(text)) {
		path, unified := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !unified {
			continue
		}
		procs, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", path, "cgroup.procs"))
		if err != nil {
			return 0
		}
		for pid := range strings.FieldsSeq(string(procs)) {
			name, err := os.ReadFile(filepath.Join("/proc", pid, "comm"))
			if err == nil && strings.TrimSpace(string(name)) == "gifford-hub" && pid != fmt.Sprint(os.Getpid()) {
				older++
			}
		}
	}
	return older
}
