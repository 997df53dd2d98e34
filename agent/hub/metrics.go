package hub

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend/local/cgroup"
	"github.com/gifford-lab/gifford-hub/agent/hub/fetchmeta"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/metrics"
)

// readMetrics is JupyterHub's scope for metrics.
const readMetrics = "read:metrics"

// newSources returns what is read at a scrape.
func newSources(g given, d data, r rights, m machine) metrics.Sources {
	s := metrics.Sources{
		Database:   database(g.cfg),
		Servers:    m.servers.List,
		Users:      func(ctx context.Context) (metrics.Users, error) { return countUsers(ctx, d.store, time.Now()) },
		WebSockets: r.proxy.WebSockets,
		Requests:   func() int { return max(r.proxy.Open()-r.proxy.WebSockets(), 0) },
		Draining:   olderProcesses,
		Disks:      m.disk.Places,
		GPUs:       m.gpus.GPUs,
	}
	if d.cert != nil {
		s.CertificateExpiry = func() time.Time {
			_, until := d.cert.Info()
			return until
		}
	}
	return s
}

// olderProcesses counts the hub's processes in this service besides this one: those that still serve what was open when
// a newer one took over.
func olderProcesses() int { return cgroup.New(os.DirFS("/")).Siblings("gifford-hub", os.Getpid()) }

// userCounter counts users and those who were active after a time.
type userCounter interface {
	CountUsers(ctx context.Context) (int, error)
	CountActive(ctx context.Context, since time.Time) (int, error)
}

func countUsers(ctx context.Context, from userCounter, now time.Time) (u metrics.Users, err error) {
	if u.Total, err = from.CountUsers(ctx); err != nil {
		return metrics.Users{}, err
	}
	const day = 24 * time.Hour
	for period, n := range map[time.Duration]*int{day: &u.Day, 7 * day: &u.Week, 30 * day: &u.Month} {
		if *n, err = from.CountActive(ctx, now.Add(-period)); err != nil {
			return metrics.Users{}, err
		}
	}
	return u, nil
}

// guardMetrics lets may decide who reads the metrics: its error, which fail answers, refuses a request.
func guardMetrics(scrapes http.Handler, may func(*http.Request) error, log *slog.Logger,
	fail func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpx.SetRoute(r, r.URL.Path) // one of two paths
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Allow", "GET, HEAD")
		if err := may(r); err != nil {
			httpx.LogFailure(log, r, err)
			fail(w, r, err)
			return
		}
		scrapes.ServeHTTP(w, r)
	})
}

// metricsReader returns the error to answer with when a request may not read the metrics. Without authenticate
// everybody may. A person may see them in a tab of their own.
func metricsReader(authenticate bool, who *access.Authenticator, requests fetchmeta.Rules) func(*http.Request) error {
	return func(r *http.Request) error {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			return httpx.Fail(http.StatusMethodNotAllowed, "metrics are read with GET")
		}
		if !authenticate {
			return nil
		}
		ask := who.Request
		if r.Header.Get("Authorization") == "" && requests.Kind(r) == fetchmeta.Document {
			ask = who.Browser
		}
		s, err := ask(r)
		if err != nil {
			return err
		}
		if !s.Has(readMetrics) {
			return httpx.Fail(http.StatusForbidden,
				"Action is not authorized with current scopes; requires any of [%s]", readMetrics)
		}
		return nil
	}
}

// loginResult is the metrics' word for the end of a sign-in.
func loginResult(err error) metrics.LoginResult {
	var denied *login.Denied
	switch {
	case err == nil:
		return metrics.LoginSuccess
	case errors.As(err, &denied):
		return metrics.LoginDenied
	case httpx.Public(err).Status < http.StatusInternalServerError:
		return metrics.LoginRefused
	}
	return metrics.LoginFailed
}
