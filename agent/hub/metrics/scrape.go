package metrics

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// scrapeTimeout bounds the queries of the database.
const scrapeTimeout = 3 * time.Second

// states are the values of the label state. A stopped server is in no list. read only
var states = [...]servers.State{servers.Queued, servers.Starting, servers.Waiting, servers.Ready, servers.Stopping,
	servers.Failed}

// scrape is the gauges. They are read at each scrape.
type scrape struct {
	from Sources
	log  *slog.Logger

	running, users, active                     *prometheus.Desc
	servers, sockets, requests, draining, file *prometheus.Desc
	certificate, diskFree, diskTotal           *prometheus.Desc
}

func newScrape(from Sources, log *slog.Logger) *scrape {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &scrape{
		from:    from,
		log:     log,
		running: desc("jupyterhub_running_servers", "The number of user servers currently running."),
		users:   desc("jupyterhub_total_users", "Total number of users."),
		active: desc("jupyterhub_active_users", "Number of users who were active in the given time period.",
			"period"),
		servers: desc("gifford_servers", "Servers by state.", "state"),
		sockets: desc("gifford_proxy_websockets", "WebSockets that are open to servers."),
		requests: desc("gifford_proxy_requests_in_flight",
			"HTTP requests that are being passed to servers, without WebSockets."),
		draining: desc("gifford_draining_processes", "Older processes of the hub that still serve connections that "+
			"were open "+
			"when a newer one took over."),
		file: desc("gifford_database_size_bytes", "Size of the hub's database on disk.", "file"),
		diskFree: desc("gifford_disk_free_bytes", "Space that members may still take on a file system that the "+
			"hub watches.", "path"),
		diskTotal: desc("gifford_disk_total_bytes", "Size of a file system that the hub watches.", "path"),
		certificate: desc("gifford_certificate_expiry_timestamp_seconds",
			"When the certificate in use ends, in seconds since 1970."),
	}
}

// Describe implements prometheus.Collector.
func (s *scrape) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.running, s.users, s.active, s.servers, s.sockets, s.requests, s.draining,
		s.file, s.certificate, s.diskFree, s.diskTotal} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. It leaves out and logs what it cannot read: a missing value differs from
// zero.
func (s *scrape) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	s.collectServers(gauge)
	s.collectUsers(gauge)
	s.collectDatabase(gauge)
	gauge(s.sockets, float64(s.from.WebSockets()))
	gauge(s.requests, float64(s.from.Requests()))
	gauge(s.draining, float64(s.from.Draining()))
	for _, p := range s.from.Disks() {
		gauge(s.diskFree, float64(p.Free), p.Path)
		gauge(s.diskTotal, float64(p.Total), p.Path)
	}
	if s.from.CertificateExpiry != nil {
		gauge(s.certificate, float64(s.from.CertificateExpiry().Unix()))
	}
}

type gaugeFunc func(d *prometheus.Desc, v float64, labels ...string)

func (s *scrape) collectServers(gauge gaugeFunc) {
	count := map[servers.State]int{}
	for _, server := range s.from.Servers() {
		count[server.State]++
	}
	for _, state := range states {
		gauge(s.servers, float64(count[state]), string(state))
	}
	gauge(s.running, float64(count[servers.Ready]))
}

func (s *scrape) collectUsers(gauge gaugeFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	u, err := s.from.Users(ctx)
	if err != nil {
		s.missing("users", err)
		return
	}
	gauge(s.users, float64(u.Total))
	gauge(s.active, float64(u.Day), "24h")
	gauge(s.active, float64(u.Week), "7d")
	gauge(s.active, float64(u.Month), "30d")
}

// collectDatabase reads the sizes of the file and its write-ahead log by name: opening them here would drop SQLite's
// locks at the close (sqlite.org/howtocorrupt.html, 2.2).
func (s *scrape) collectDatabase(gauge gaugeFunc) {
	for label, path := range map[string]string{"database": s.from.Database, "wal": s.from.Database + "-wal"} {
		info, err := os.Stat(path)
		switch {
		case err == nil:
			gauge(s.file, float64(info.Size()), label)
		case label == "wal" && errors.Is(err, fs.ErrNotExist):
			gauge(s.file, 0, label)
		default:
			s.missing("database size", err)
		}
	}
}

func (s *scrape) missing(what string, err error) {
	s.log.Warn("cannot read a metric; leaving it out", "event", "metrics-failed", "metric", what, "error",
		err.Error())
}
