package hub

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub/accounting"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend/local"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend/local/cgroup"
	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/hub/disk"
	"github.com/gifford-lab/gifford-hub/agent/hub/gpus"
	"github.com/gifford-lab/gifford-hub/agent/hub/metrics"
	"github.com/gifford-lab/gifford-hub/agent/hub/probe"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/sharedimages"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// machine is what runs servers, and what watches those that run.
type machine struct {
	env        servers.EnvConfig
	backend    *local.Backend
	servers    *servers.Manager
	accountant *accounting.Accountant
	disk       *disk.Watch
	gpus       *gpus.Desk
	culler     *cull.Culler
}

func newMachine(g given, d data, r rights, p *process) (m machine, err error) {
	if m.env, err = serverEnv(g); err != nil {
		return machine{}, err
	}
	if m.backend, err = local.New(local.Config{Log: g.log, Observe: d.metrics.Backend}); err != nil {
		return machine{}, err
	}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	kernel := cgroup.New(os.DirFS("/"))
	if m.accountant, err = newAccountant(g, d, m, kernel); err != nil {
		return m, err
	}
	if m.servers, err = newServers(g, d, r, m, p); err != nil {
		return m, err
	}
	if m.disk, err = newDisk(g, d, m); err != nil {
		return m, err
	}
	m.gpus, err = gpus.New(gpus.Config{Backend: m.backend, UserName: g.unix.UserName, Log: g.log})
	if err != nil {
		return m, err
	}
	m.culler, err = newCuller(g, d, r, m, kernel)
	return m, err
}

// close ends starts and stops under way, and then the connection to the launcher.
func (m machine) close() {
	if m.servers != nil {
		m.servers.Close()
	}
	m.backend.Close()
}

// usualAPIPort is that of gifford-hub-api.socket and of host.hub_api_port in launcher.toml, unless both were changed.
const usualAPIPort = 8081

// serverEnv returns the addresses of the hub that servers get in their environment.
func serverEnv(g given) (servers.EnvConfig, error) {
	if len(g.listeners["api"]) == 0 {
		return servers.EnvConfig{}, hint.New("there is no listener for the servers' way back to the hub",
			"systemctl start gifford-hub-servers.socket")
	}
	base := g.cfg.HTTP.BaseURL
	url := fmt.Sprintf("http://127.0.0.1:%d%shub/api", apiPort(g), base)
	return servers.EnvConfig{BaseURL: base, APIURL: url, PublicURL: g.cfg.HTTP.PublicURL,
		Origins: g.cfg.Origins()}, nil
}

// apiPort returns the port of the hub's API. Servers have it on their container's loopback and reach the hub by a UNIX
// socket, so they need nothing from who holds the host's port.
func apiPort(g given) int {
	for _, l := range g.listeners["api"] {
		if addr, ok := l.Addr().(*net.TCPAddr); ok && addr.IP.To4() != nil {
			return addr.Port
		}
	}
	g.log.Error("nothing of the hub's listens on the loopback port of its API: another program may have taken it, and "+
		"would get the tokens of this host's services", "event", "api-port-missing", "port", usualAPIPort,
		"hint", "gifford-hub check; then systemctl restart gifford-hub")
	return usualAPIPort
}

func newAccountant(g given, d data, m machine, kernel cgroup.Host) (*accounting.Accountant, error) {
	return accounting.New(accounting.Config{Backend: m.backend, Records: d.store, Log: g.log,
		Counters: func(ctx context.Context, key ident.Key) (accounting.Counters, bool) {
			r, ok := kernel.Read(ctx, key)
			return accounting.Counters(r), ok
		}})
}

func newServers(g given, d data, r rights, m machine, p *process) (*servers.Manager, error) {
	c := g.cfg.Servers
	return servers.New(servers.Config{
		Backend: m.backend, Images: sharedimages.New(imagekeeper.New(imagekeeper.DefaultSocket), g.log),
		Router: r.proxy, Prober: timedProber{probe.Prober{}, d.metrics}, Output: m.backend, Env: m.env,
		Devices: m.backend, Memory: queueMemory{d.store},
		StartTimeout: c.StartTimeout, HTTPTimeout: c.HTTPTimeout, StopTimeout: c.StopTimeout, Log: g.log,
		OnTransition: func(s servers.Server, from servers.State) {
			p.status.changed()
			d.metrics.Changed(s, from)
			m.accountant.Changed(s, from)
		},
	})
}

func newDisk(g given, d data, m machine) (*disk.Watch, error) {
	c, members := g.cfg.Disk, members{d.store, m.servers}
	return disk.New(disk.Config{Backend: m.backend, Refresh: c.Refresh, Paths: c.Paths,
		WarnFree: disk.Threshold(c.WarnFree), Log: g.log, Users: members.all, Recent: members.recent})
}

// newCuller makes what ends servers. When culling is off it ends those alone whose owner may not be here any more.
func newCuller(g given, d data, r rights, m machine, kernel cgroup.Host) (*cull.Culler, error) {
	c := g.cfg.Cull
	policy := cull.NewRules(cullPolicies(c), g.unix, r.authority.Groups).Policy
	if !c.Enabled {
		c.BusyCPU, c.BusyGPU = 0, 0
		policy = func(context.Context, ident.User) (cull.Policy, error) { return cull.Policy{Exempt: true}, nil }
	}
	return cull.New(cull.Config{
		Departures: r.login, Leaving: g.cfg.Access.Leaving,
		Servers: m.servers, Policy: policy, OnCull: d.metrics.Culled, Every: c.Every, Log: g.log,
		Traffic: r.proxy.Activity, Touch: toucher{m.servers, d.store, g.log}.touch,
		CPUTime: kernel.CPU, BusyCPU: float64(c.BusyCPU) / 100,
		GPUs: m.backend.GPUs, BusyGPU: float64(c.BusyGPU) / 100, Memory: d.store,
		StartWithoutGPUs: func(k ident.Key, profile string) error {
			return m.servers.Start(k, profile, servers.Options{WithoutGPUs: true})
		},
		Ask: cull.Jupyter{Tokens: d.store, Prefix: m.env.Prefix, Connected: c.Connected, Route: r.proxy.Lookup},
	})
}

// timedProber observes how long servers take to answer.
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

// queueMemory saves the queue for devices in the database.
type queueMemory struct{ *store.Store }

func (m queueMemory) SaveQueue(ctx context.Context, queue []servers.QueueEntry) error {
	rows := make([]store.QueuedStart, len(queue))
	for i, p := range queue {
		rows[i] = store.QueuedStart(p)
	}
	return m.Store.SaveQueue(ctx, rows)
}

// announcedEnd returns the time of a server's announced end.
func (m machine) announcedEnd(key ident.Key) (time.Time, bool) {
	n, ok := m.culler.Notice(key)
	return n.At, ok
}
