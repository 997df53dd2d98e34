package hub

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/gate"
	"github.com/gifford-lab/gifford-hub/agent/hub/handover"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// cleanEvery is how often expired sessions and tokens are deleted.
const cleanEvery = time.Hour

// tasks returns what the hub does beside answering requests.
func (h *hub) tasks() []task {
	all := []task{
		func(ctx context.Context) { h.gate.Watch(ctx, gate.JudgeEvery, h.proxy.Judge) },
		h.watchBackend, h.disk.Run, h.accountant.Run, h.culler.Run, h.feedWatchdog,
		func(ctx context.Context) { h.store.KeepClean(ctx, cleanEvery) },
		func(ctx context.Context) { h.login.Run(ctx, h.owners) }, h.watchStandings,
		func(ctx context.Context) { h.servers.Advance(ctx, h.announcedEnd) }}
	if h.cert != nil {
		all = append(all, h.cert.Watch)
	}
	return all
}

// watchStandings lets the culler announce an end, or withdraw it, as soon as somebody has lost or regained the right to
// be here.
func (h *hub) watchStandings(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.standings:
			h.culler.Wake()
		}
	}
}

// owners returns the owners of servers that are active, each once.
func (h *hub) owners() (all []ident.User) {
	for _, s := range h.servers.List() {
		if s.State.Active() && !slices.Contains(all, s.Key.User) {
			all = append(all, s.Key.User)
		}
	}
	return all
}

// watchBackend hands the events of servers on.
func (h *hub) watchBackend(ctx context.Context) {
	h.backend.Watch(ctx, h.servers.Handle, func() {
		if err := h.servers.Sync(ctx); err != nil && ctx.Err() == nil {
			h.log.Error("cannot read which servers run", "event", "sync-failed", "error", err.Error())
		}
	})
}

// feedWatchdog reports to systemd that the hub is alive while the database answers.
func (h *hub) feedWatchdog(ctx context.Context) {
	if err := (handover.Notify{}).Watchdog(ctx, h.store.Ping); err != nil && ctx.Err() == nil {
		h.log.Error("cannot feed the watchdog", "event", "watchdog-failed", "error", err.Error())
	}
}

// longWork is what requests began and outlasts them, such as the pull of an image. It goes on after a newer process has
// taken over, while this one serves what is open.
type longWork struct {
	ctx  context.Context // ends with close
	end  context.CancelFunc
	each *sync.WaitGroup
}

func newLongWork() longWork {
	ctx, end := context.WithCancel(context.Background())
	return longWork{ctx, end, &sync.WaitGroup{}}
}

func (l longWork) run(work func(ctx context.Context)) { l.each.Go(func() { work(l.ctx) }) }

// close ends the work and waits for that.
func (l longWork) close() {
	l.end()
	l.each.Wait()
}
