package metrics

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
)

// own holds what is counted under names of our own. Gauges are in scrape.
type own struct {
	login, launcher *prometheus.HistogramVec
	culled, proxied *prometheus.CounterVec
	proxiedBytes    prometheus.Counter
	reloadFailures  prometheus.Counter
}

// launcherBuckets range from a question on the bus to a start that pulls an image.
var launcherBuckets = [...]float64{.005, .025, .1, .5, 1, 2.5, 5, 10, 30, 60, 180, 600} // read only

func newOwn() own {
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "gifford", Name: name, Help: help,
			Buckets: buckets}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "gifford", Name: name, Help: help}, labels)
	}
	o := own{
		login: histogram("login_duration_seconds", "Time from the browser's return from the sign-in server to the "+
			"hub's answer; its count is the number of logins.",
			pythonBuckets[:], "result"),
		launcher: histogram("launcher_call_duration_seconds", "Time that calls of the launcher took.",
			launcherBuckets[:], "operation", "result"),
		culled: counter("culled_servers_total", "Servers that the hub stopped because they were not used or had "+
			"run too long.", "reason"),
		proxied: counter("proxy_requests_total", "Requests for servers: HTTP when they end, WebSockets when they "+
			"begin or are refused.", "kind", "status"),
		proxiedBytes: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "gifford",
			Name: "proxy_response_bytes_total",
			Help: "Bytes of answers to HTTP requests for servers, without headers and WebSockets."}),
		reloadFailures: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "gifford",
			Name: "reload_failures_total",
			Help: "Reloads after which this process continued because the new one did not start."}),
	}
	o.preset()
	return o
}

// preset makes the series that dashboards and alerts use, so that they have a zero before the first event.
func (o own) preset() {
	for _, r := range []LoginResult{LoginSuccess, LoginDenied, LoginRefused, LoginFailed} {
		o.login.WithLabelValues(string(r))
	}
	for _, kind := range []string{kindHTTP, kindWebSocket} {
		for _, class := range classes {
			o.proxied.WithLabelValues(kind, class)
		}
		o.proxied.WithLabelValues(kind, clientGone)
	}
}

func (o own) all() []prometheus.Collector {
	return []prometheus.Collector{o.login, o.launcher, o.culled, o.proxied, o.proxiedBytes, o.reloadFailures}
}

// LoginResult is how a sign-in ended.
type LoginResult string

// The outcomes of a sign-in.
const (
	LoginSuccess LoginResult = "success"
	LoginDenied  LoginResult = "denied"  // the rules of access do not let the person in
	LoginRefused LoginResult = "refused" // expired, cancelled, or an answer that cannot be verified
	LoginFailed  LoginResult = "failed"  // by the fault of the provider or the hub
)

// Login records a sign-in that has ended, and how long the hub took over it.
func (m *Metrics) Login(r LoginResult, d time.Duration) {
	m.own.login.WithLabelValues(string(r)).Observe(d.Seconds())
}

// Backend counts a call of the backend. A failed stop also counts as the server's stop: the server then stays in its
// state, so no change of state follows.
func (m *Metrics) Backend(operation string, err error, d time.Duration) {
	m.own.launcher.WithLabelValues(operation, backendResult(err)).Observe(d.Seconds())
	if operation == "stop" && err != nil && !backend.Is(err, backend.NotFound) {
		m.ServerStopped(StopFailure, d)
	}
}

// backendResult reduces an error to one of a few words.
func backendResult(err error) string {
	var e *backend.Error
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case !errors.As(err, &e):
		return "unreachable"
	}
	switch e.Code {
	case backend.Refused:
		return "refused"
	case backend.NoAccount:
		return "no-account"
	case backend.NoSubIDs:
		return "no-subids"
	case backend.MountRefused:
		return "mount-refused"
	case backend.HomeNotCovered:
		return "home-not-covered"
	case backend.AlreadyExists:
		return "already-exists"
	case backend.NotFound:
		return "not-found"
	case backend.DevicesTaken:
		return "devices-taken"
	case backend.DevicesMissing:
		return "devices-missing"
	case backend.StartFailed:
		return "start-failed"
	case backend.Internal:
		return "internal"
	}
	return "other" // a backend newer than this hub
}

// Culled counts a server that the hub stopped by itself. The reason is one of a few words of the culler's, never a
// text.
func (m *Metrics) Culled(reason string) { m.own.culled.WithLabelValues(reason).Inc() }

// ReloadFailed counts a reload after which this process continues. A reload that succeeds ends this process's scrapes,
// so it needs no count here.
func (m *Metrics) ReloadFailed() { m.own.reloadFailures.Inc() }
