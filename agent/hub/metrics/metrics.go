// Package metrics counts what the hub does, for Prometheus. It uses JupyterHub's names and labels
// (jupyterhub/metrics.py of version 5.5), so that its dashboards continue to work. It adds metrics of our own whose
// names begin with "gifford_". It must never put a path, a person's name or anything else that a client chooses into a
// label. It must never decide who may read: its caller wraps Handler. It must never do work between two scrapes: gauges
// are read at a scrape.
package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/disk"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// Users is how many people the hub knows, and how many of them were active recently.
type Users struct {
	Total            int
	Day, Week, Month int // active in the last 24 hours, 7 days and 30 days
}

// Config is what Metrics needs; all fields are required.
type Config struct {
	Version           string       // the hub's own
	JupyterHubVersion string       // whose contract it follows
	Log               *slog.Logger // receives what cannot be read at a scrape
}

// Sources is what is read at each scrape. The functions must be safe for concurrent use and return soon. All fields are
// required except where noted.
type Sources struct {
	// Servers returns the servers that are active or failed.
	Servers func() []servers.Server
	// Users counts people.
	Users func(ctx context.Context) (Users, error)
	// WebSockets and Requests return how many the proxy passes now.
	WebSockets, Requests func() int
	// Draining returns how many older processes of the hub still serve open connections.
	Draining func() int
	// CertificateExpiry returns when the certificate in use ends; nil without TLS.
	CertificateExpiry func() time.Time
	// Disks returns the monitored file systems.
	Disks func() []disk.Place
	// GPUs returns the host's devices and who holds them. Optional.
	GPUs func(ctx context.Context) (backend.GPUs, error)
	// Database is the path of the SQLite file, whose size is a metric.
	Database string
}

func (s Sources) validate() error {
	if s.Servers == nil || s.Users == nil || s.WebSockets == nil || s.Requests == nil || s.Draining == nil ||
		s.Disks == nil || s.Database == "" {
		return errors.New("cannot make the metrics: Servers, Users, WebSockets, Requests, Draining, Disks and " +
			"Database must be set")
	}
	return nil
}

// Metrics takes events and answers scrapes. It is safe for concurrent use.
type Metrics struct {
	log      *slog.Logger
	registry *prometheus.Registry
	jupyter  jupyter
	own      own
	spans    *spans
}

// New makes the metrics of events in a registry of their own.
func New(cfg Config) (*Metrics, error) {
	if cfg.Log == nil {
		return nil, errors.New("cannot make the metrics: Log must be set")
	}
	m := &Metrics{log: cfg.Log, registry: prometheus.NewRegistry(), jupyter: newJupyter(), own: newOwn(),
		spans: newSpans()}
	all := append(m.jupyter.all(), m.own.all()...)
	all = append(all, buildInfo(cfg), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m, register(m.registry, all...)
}

func register(to *prometheus.Registry, all ...prometheus.Collector) error {
	for _, c := range all {
		if err := to.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func buildInfo(cfg Config) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gifford_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": cfg.Version, "jupyterhub_version": cfg.JupyterHubVersion,
			"go_version": runtime.Version()},
	}, func() float64 { return 1 })
}

// maxScrapes is how many scrapes are answered at the same time. Further ones are refused.
const maxScrapes = 3

// Handler answers scrapes in Prometheus's text format: the events and the values read from the sources. It
// authenticates nobody. The answer is not compressed: the buffers for that are larger than all the metrics.
func (m *Metrics) Handler(from Sources) (http.Handler, error) {
	all, err := m.gatherers(from)
	if err != nil {
		return nil, err
	}
	return promhttp.HandlerFor(all, promhttp.HandlerOpts{
		ErrorLog:           slog.NewLogLogger(m.log.With("event", "metrics-failed").Handler(), slog.LevelWarn),
		ErrorHandling:      promhttp.ContinueOnError,
		DisableCompression: true, MaxRequestsInFlight: maxScrapes,
	}), nil
}

func (m *Metrics) gatherers(from Sources) (prometheus.Gatherers, error) {
	if err := from.validate(); err != nil {
		return nil, err
	}
	gauges := prometheus.NewRegistry()
	err := register(gauges, newScrape(from, m.log), newDevices(from))
	return prometheus.Gatherers{m.registry, gauges}, err
}
