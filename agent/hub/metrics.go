package hub

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/disk"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/metrics"
	"github.com/gifford-lab/gifford-hub/agent/hub/probe"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// Where metrics are below the base URL, both as JupyterHub has them.
const (
	metricsPath    = "hub/metrics"
	metricsAPIPath = "hub/api/metrics"
)

// readMetrics is JupyterHub's scope for them.
const readMetrics = "read:metrics"

// metricsConfig says what is read at a scrape. The parts that it names are made later,
// before the first request is accepted.
func (h *instance) metricsConfig() metrics.Config {
	c := metrics.Config{
		Version: h.version, JupyterHubVersion: jupyterHubVersion, Log: h.log,
		Database:   filepath.Join(h.cfg.State.Directory, "hub.sqlite"),
		Servers:    func() []servers.Server { return h.servers.List() },
		Users:      h.countUsers,
		WebSockets: func() int { return h.proxy.WebSockets() },
		Requests:   func() int { return max(h.proxy.Open()-h.proxy.WebSockets(), 0) },
		Draining:   olderProcesses,
		Disks:      func() []disk.Place { return h.disk.Places() },
		GPUs:       func(ctx context.Context) (backend.GPUs, error) { return h.gpus.GPUs(ctx) },
	}
	if h.cert != nil {
		c.CertificateExpiry = func() time.Time {
			_, until := h.cert.Info()
			return until
		}
	}
	return c
}

func (h *instance) countUsers(ctx context.Context) (u metrics.Users, err error) {
	if u.Total, err = h.store.CountUsers(ctx); err != nil {
		return u, err
	}
	const day = 24 * time.Hour
	for period, n := range map[time.Duration]*int{day: &u.Day, 7 * day: &u.Week, 30 * day: &u.Month} {
		if *n, err = h.store.CountActive(ctx, time.Now().Add(-period)); err != nil {
			return u, err
		}
	}
	return u, nil
}

// metricsHandler returns the metrics to whom the settings let read them. fail answers an
// error.
func (h *instance) metricsHandler(fail func(http.ResponseWriter, *http.Request, error)) http.Handler {
	answer := h.metrics.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpx.SetRoute(r, r.URL.Path) // one of two paths
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Allow", "GET, HEAD")
		if err := h.mayReadMetrics(r); err != nil {
			httpx.LogFailure(h.log, r, err)
			fail(w, r, err)
			return
		}
		answer.ServeHTTP(w, r)
	})
}

// mayReadMetrics returns the error to answer with when r may not read the metrics.
func (h *instance) mayReadMetrics(r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return httpx.Fail(http.StatusMethodNotAllowed, "metrics are read with GET")
	}
	if !h.cfg.Metrics.Authenticate {
		return nil
	}
	c, err := h.access.Request(r)
	if err != nil {
		return err
	}
	if !c.Has(readMetrics) {
		return httpx.Fail(http.StatusForbidden, "Action is not authorized with current scopes; requires any of [%s]",
			readMetrics)
	}
	return nil
}

// countLogin puts the end of a sign-in into one of a few words.
func (h *instance) countLogin(err error, took time.Duration) {
	var denied *login.Denied
	result := metrics.LoginFailed
	switch {
	case err == nil:
		result = metrics.LoginSuccess
	case errors.As(err, &denied):
		result = metrics.LoginDenied
	case httpx.Public(err).Status < http.StatusInternalServerError:
		result = metrics.LoginRefused
	}
	h.metrics.Login(result, took)
}

// timedProber observes how long servers take to say that they run.
type timedProber struct {
	probe.Prober
	metrics *metrics.Metrics
}

func (p timedProber) Probe(ctx context.Context, server backend.Address, path string) error {
	begun := time.Now()
	err := p.Prober.Probe(ctx, server, path)
	p.metrics.Polled(err == nil, time.Since(begun))
	return err
}
