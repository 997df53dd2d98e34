// Package hub is the daemon: it makes the parts below it and connects them, brings back what runs, listens, and hands
// over to a newer process at a reload. It must never decide what a part decides, nor print for people.
package hub

import (
	"context"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/hub/gate"
	"github.com/gifford-lab/gifford-hub/agent/hub/handover"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/journal"
	"github.com/gifford-lab/gifford-hub/agent/policy"
)

// jupyterHubVersion is the version of JupyterHub whose contract the hub keeps.
const jupyterHubVersion = "5.5.1"

// Run runs the hub on the sockets that systemd passes, until ctx ends or a newer process has taken over and everything
// open here has ended. version is the program's own. cfg must be complete (config.Load).
func Run(ctx context.Context, cfg *config.Config, version string) error {
	begun := time.Now()
	log, err := journal.New(journal.Config{Level: cfg.Log.Level, Stderr: os.Stderr})
	if err != nil {
		return err
	}
	log, err = audited(log)
	if err != nil {
		return err
	}
	listeners, err := handover.Listeners()
	if err != nil {
		return err
	}
	h, err := construct(ctx, given{cfg: cfg, log: log, version: version, listeners: listeners,
		minUID: minUID(policy.File, log)})
	if err != nil {
		return err
	}
	h.recover(ctx)
	return h.run(ctx, begun, h.tasks())
}

// minUID returns the first uid of people by the launcher's policy. Without a policy that can be read it is 0, for the
// default.
func minUID(file string, log *slog.Logger) uint32 {
	data, err := os.ReadFile(file)
	if err == nil {
		var p *policy.Policy
		if p, err = policy.Parse(file, data); err == nil {
			return p.Host.MinUID
		}
	}
	log.Warn("cannot read min_uid in the launcher's policy; access.allow_all admits accounts by the default", "event",
		"policy-unreadable", "error", err.Error())
	return 0
}

// given is what a process starts with. Nothing changes it.
type given struct {
	cfg       *config.Config
	log       *slog.Logger
	version   string
	listeners map[string][]net.Listener
	unix      accounts.Directory // the host's name service
	minUID    uint32             // of people, by the launcher's policy
}

// hub is a daemon that is ready to run.
type hub struct {
	given
	data
	rights
	machine
	surfaces []*surface
	gate     *gate.Gate
	process  *process
	long     longWork
}

// construct makes the parts, from the ones that need nothing to the ones that need others. It accepts no connection.
func construct(ctx context.Context, g given) (_ *hub, err error) {
	d, err := openData(ctx, g)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	r, err := newRights(ctx, g, d)
	if err != nil {
		return nil, err
	}
	p := newProcess(g, d.metrics)
	m, err := newMachine(g, d, r, p)
	if err != nil {
		return nil, err
	}
	long := newLongWork()
	surfaces, doors, err := newSurfaces(g, d, r, m, p, long)
	if err != nil {
		m.close()
		return nil, err
	}
	return &hub{given: g, data: d, rights: r, machine: m, surfaces: surfaces, gate: doors,
		process: p, long: long}, nil
}

// task is work beside the requests. It goes on until ctx ends.
type task func(ctx context.Context)

// run answers requests and does tasks until ctx ends, the hub is asked to end, a listener fails, or a newer process has
// taken over and all that is open here has ended. At the end it closes the parts. begun is when the process started.
func (h *hub) run(ctx context.Context, begun time.Time, tasks []task) error {
	defer h.close()
	ctx, cancel := context.WithCancel(ctx)
	var background sync.WaitGroup
	defer background.Wait() // before close: tasks use the store until they have ended
	defer cancel()
	for _, t := range tasks {
		background.Go(func() { t(ctx) })
	}
	failed := listen(h.surfaces)
	if err := h.process.ready(h.status); err != nil {
		return err
	}
	h.metrics.HubStarted(time.Since(begun))
	select {
	case err := <-failed:
		return err
	case <-h.process.handedOver.fired():
		cancel()
		return h.drain()
	case <-h.process.ending.fired():
	case <-ctx.Done():
	}
	h.stop()
	return nil
}

// close ends the parts, each before those that it uses.
func (h *hub) close() {
	h.long.close()
	h.machine.close()
	h.data.close()
}

// status is what systemctl status shows.
func (h *hub) status() string {
	running := h.servers.Count(servers.Ready, servers.Stopping)
	starting := h.servers.Count(servers.Queued, servers.Starting, servers.Waiting)
	return statusLine(running, starting, h.cfg.HTTP.PublicURL, h.listeners["public"])
}
