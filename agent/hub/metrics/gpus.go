package metrics

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// devices is the gauges of the host's GPUs. A host without GPUs has none of them.
type devices struct {
	from Sources

	busy, used, memory, holders, healthy, strangers, waiting *prometheus.Desc
}

func newDevices(from Sources) *devices {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("gifford_gpu_"+name, help, []string{"device", "model"}, nil)
	}
	return &devices{
		from:      from,
		busy:      desc("busy_ratio", "Share of time in which a GPU computed when it was last measured, 0 to 1."),
		used:      desc("memory_used_bytes", "Memory of a GPU that is in use."),
		memory:    desc("memory_bytes", "Memory of a GPU."),
		holders:   desc("holders", "Servers that hold a GPU."),
		healthy:   desc("healthy", "1 for a GPU without a known fault, else 0."),
		strangers: desc("strangers", "Processes on a GPU outside the servers that hold it."),
		waiting: prometheus.NewDesc("gifford_gpu_waiting", "Starts of servers that wait in the queue for GPUs.", nil,
			nil),
	}
}

// Describe implements prometheus.Collector.
func (s *devices) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.busy, s.used, s.memory, s.holders, s.healthy, s.strangers, s.waiting} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. It leaves out unknown values; the caller of the backend has logged why.
func (s *devices) Collect(ch chan<- prometheus.Metric) {
	if s.from.GPUs == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	known, err := s.from.GPUs(ctx)
	if err != nil || len(known.Devices) == 0 {
		return
	}
	ch <- prometheus.MustNewConstMetric(s.waiting, prometheus.GaugeValue, float64(s.waits()))
	for _, g := range known.Devices {
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, g.Name, g.Model)
		}
		if g.Now.Known {
			gauge(s.busy, g.Now.Busy)
			gauge(s.used, float64(g.Now.Memory))
		}
		if g.Memory > 0 {
			gauge(s.memory, float64(g.Memory))
		}
		healthy := 0.0
		if g.Health == "" {
			healthy = 1
		}
		gauge(s.healthy, healthy)
		gauge(s.holders, float64(len(g.Holders)))
		gauge(s.strangers, float64(len(g.Strangers)))
	}
}

// waits counts the starts in the queue.
func (s *devices) waits() (n int) {
	for _, v := range s.from.Servers() {
		if v.State == servers.Queued {
			n++
		}
	}
	return n
}
