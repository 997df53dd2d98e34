package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// SpawnStatus is the outcome of a server's start (ServerSpawnStatus of jupyterhub/metrics.py).
type SpawnStatus string

// The outcomes of a start.
const (
	SpawnSuccess        SpawnStatus = "success"
	SpawnFailure        SpawnStatus = "failure"
	SpawnAlreadyPending SpawnStatus = "already-pending"
	SpawnThrottled      SpawnStatus = "throttled"
	SpawnTooManyUsers   SpawnStatus = "too-many-users"
)

// StopStatus is the outcome of a server's stop (ServerStopStatus).
type StopStatus string

// The outcomes of a stop.
const (
	StopSuccess StopStatus = "success"
	StopFailure StopStatus = "failure"
)

// Bucket bounds in seconds.
var (
	// spawnBuckets are jupyterhub/metrics.py's for starts.
	spawnBuckets = [...]float64{.5, 1, 2.5, 5, 10, 15, 30, 60, 120, 180, 300, 600} // read only
	// pythonBuckets are prometheus_client's defaults, which JupyterHub's other histograms have. Go's own defaults
	// differ, and a dashboard that adds both would be wrong.
	pythonBuckets = [...]float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10} // read only
)

// jupyter holds what is observed under JupyterHub's names. Gauges are in scrape.
type jupyter struct {
	request, spawn, stop, poll *prometheus.HistogramVec
	startup, initSpawners      prometheus.Histogram
}

func newJupyter() jupyter {
	vec := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "jupyterhub", Name: name, Help: help,
			Buckets: buckets}, labels)
	}
	one := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "jupyterhub", Name: name, Help: help,
			Buckets: pythonBuckets[:]})
	}
	j := jupyter{
		request: vec("request_duration_seconds", "Request duration for all HTTP requests to the hub itself.",
			pythonBuckets[:], "method", "handler", "code"),
		spawn: vec("server_spawn_duration_seconds", "Time taken for server spawning operation.", spawnBuckets[:],
			"status"),
		stop: vec("server_stop_seconds", "Time taken for server stopping operation.", pythonBuckets[:],
			"status"),
		poll: vec("server_poll_duration_seconds", "Time taken to poll if server is running.", pythonBuckets[:],
			"status"),
		startup:      one("hub_startup_duration_seconds", "Time taken for Hub to start."),
		initSpawners: one("init_spawners_duration_seconds", "Time taken for spawners to initialize."),
	}
	// As in JupyterHub, each status exists from the start, so that a rate has a zero.
	for _, s := range []SpawnStatus{SpawnSuccess, SpawnFailure, SpawnAlreadyPending, SpawnThrottled,
		SpawnTooManyUsers} {
		j.spawn.WithLabelValues(string(s))
	}
	for _, s := range []StopStatus{StopSuccess, StopFailure} {
		j.stop.WithLabelValues(string(s))
	}
	for _, running := range []bool{true, false} {
		j.poll.WithLabelValues(pollStatus(running))
	}
	return j
}

func (j jupyter) all() []prometheus.Collector {
	return []prometheus.Collector{j.request, j.spawn, j.stop, j.poll, j.startup, j.initSpawners}
}

// ServerStarted records a start that has ended, its outcome and its duration.
func (m *Metrics) ServerStarted(s SpawnStatus, d time.Duration) {
	m.jupyter.spawn.WithLabelValues(string(s)).Observe(d.Seconds())
}

// ServerStopped records a stop that has ended, its outcome and its duration.
func (m *Metrics) ServerStopped(s StopStatus, d time.Duration) {
	m.jupyter.stop.WithLabelValues(string(s)).Observe(d.Seconds())
}

// Polled records that a server was asked whether it runs.
func (m *Metrics) Polled(running bool, d time.Duration) {
	m.jupyter.poll.WithLabelValues(pollStatus(running)).Observe(d.Seconds())
}

func pollStatus(running bool) string {
	if running {
		return "running"
	}
	return "stopped"
}

// HubStarted records the time until the hub accepted requests.
func (m *Metrics) HubStarted(d time.Duration) { m.jupyter.startup.Observe(d.Seconds()) }

// ServersFound records how long the hub took at its start to find the running servers.
func (m *Metrics) ServersFound(d time.Duration) { m.jupyter.initSpawners.Observe(d.Seconds()) }
