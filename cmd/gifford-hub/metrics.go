package main

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/disk"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/metrics"
	"github.com/gifford-lab/gifford-hub/agent/hub/probe"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
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
		Version: version, JupyterHubVersion: jupyterHubVersion, Log: h.log,
		Database:   filepath.Join(h.cfg.State.Directory, "hub.sqlite"),
		Servers:    func() []servers.Server { return h.servers.List() },
		Users:      h.countUsers,
		WebSockets: func() int { return h.proxy.WebSockets() },
		Requests:   func() int { return max(h.proxy.Open()-h.proxy.WebSockets(), 0) },
		Draining:   olderProcesses,
		Disks:      func() []disk.Place { return h.disk.Places() },
		GPUs:       func(ctx context.Context) (launcherbus.GPUs, error) { return h.gpus.GPUs(ctx) },
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

// timedLauncher is the launcher's client with its calls observed.
type timedLauncher struct {
	*launcherbus.Client
	metrics *metrics.Metrics
}

func (l *timedLauncher) Start(ctx context.Context, r launcherbus.StartRequest) error {
	begun := time.Now()
	err := l.Client.Start(ctx, r)
	l.metrics.Launcher("start", err, time.Since(begun))
	return err
}

// Stop also notes a stop that failed: the server then stays in its state, so that no
// change of it tells.
func (l *timedLauncher) Stop(ctx context.Context, key ident.Key) error {
	begun := time.Now()
	err := l.Client.Stop(ctx, key)
	l.metrics.Launcher("stop", err, time.Since(begun))
	var lerr *launcherbus.Error
	if err != nil && !(errors.As(err, &lerr) && lerr.Code == launcherbus.NotFound) {
		l.metrics.ServerStopped(metrics.StopFailure, time.Since(begun))
	}
	return err
}

func (l *timedLauncher) Usage(ctx context.Context, user ident.User, measure bool) (launcherbus.Usage, error) {
	begun := time.Now()
	u, err := l.Client.Usage(ctx, user, measure)
	l.metrics.Launcher("usage", err, time.Since(begun))
	return u, err
}

func (l *timedLauncher) List(ctx context.Context) ([]launcherbus.Server, error) {
	begun := time.Now()
	list, err := l.Client.List(ctx)
	l.metrics.Launcher("list", err, time.Since(begun))
	return list, err
}

func (l *timedLauncher) Profiles(ctx context.Context) ([]launcherbus.Profile, error) {
	begun := time.Now()
	profiles, err := l.Client.Profiles(ctx)
	l.metrics.Launcher("profiles", err, time.Since(begun))
	return profiles, err
}

func (l *timedLauncher) Images(ctx context.Context) (launcherbus.Images, error) {
	begun := time.Now()
	images, err := l.Client.Images(ctx)
	l.metrics.Launcher("images", err, time.Since(begun))
	return images, err
}

func (l *timedLauncher) GPUs(ctx context.Context) (launcherbus.GPUs, error) {
	begun := time.Now()
	g, err := l.Client.GPUs(ctx)
	l.metrics.Launcher("gpus", err, time.Since(begun))
	return g, err
}

// timedProber observes how long servers take to say that they run.
type timedProber struct {
	probe.Prober
	metrics *metrics.Metrics
}

func (p timedProber) Probe(ctx context.Context, socket string, uid uint32, path string) error {
	begun := time.Now()
	err := p.Prober.Probe(ctx, socket, uid, path)
	p.metrics.Polled(err == nil, time.Since(begun))
	return err
}
