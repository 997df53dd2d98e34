package keeper

import (
	"context"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/policy"
)

const (
	// silenceBound ends a pull for which nothing comes.
	silenceBound = 2 * time.Minute
	// watchInterval is the time between two measurements. In it a fast disk takes about a gigabyte.
	watchInterval = 500 * time.Millisecond
)

// watch ends a pull or import that would go on for ever or fill the disk.
type watch struct {
	ctx   context.Context // of the work
	pace  pace
	stop  context.CancelCauseFunc
	ended chan struct{}
	begun time.Time
}

// watch begins to watch work that runs with the watch's context. The caller calls end.
func (k *Keeper) watch(ctx context.Context, rules *policy.Policy) *watch {
	w := &watch{ended: make(chan struct{}), begun: time.Now()}
	w.ctx, w.stop = context.WithCancelCause(ctx)
	go func() {
		defer close(w.ended)
		tick := time.NewTicker(watchInterval)
		defer tick.Stop()
		for {
			select {
			case <-w.ctx.Done():
				return
			case <-tick.C:
			}
			if err := k.verdict(rules, w); err != nil {
				w.stop(err)
				return
			}
		}
	}()
	return w
}

// watched runs work that is watched.
func (k *Keeper) watched(ctx context.Context, rules *policy.Policy,
	work func(context.Context) (id string, err error)) (string, error) {
	w := k.watch(ctx, rules)
	defer w.end()
	id, err := work(w.ctx)
	return id, w.reason(err)
}

// verdict returns why the work must end; nil if it may go on.
func (k *Keeper) verdict(rules *policy.Policy, w *watch) error {
	if err := w.pace.silent(); err != nil {
		return err
	}
	if limit := rules.Images.PullTimeout; time.Since(w.begun) > limit {
		return refuseWith("pull_timeout in [images] of "+policy.File, "it has taken longer than the policy allows, %s",
			limit)
	}
	st, err := k.fullest()
	if err != nil {
		return err
	}
	if free := uint64(max(0, freeOf(st))); free < rules.Images.MinFree {
		return refuseWith("gifford-hub images prune; or min_free in [images] of "+policy.File,
			"stopped before the disk was full: %s had %s left, and the policy wants %s", k.cfg.StateDir, inUnits(free),
			inUnits(rules.Images.MinFree))
	}
	return nil
}

// reason returns why the work failed: what ended it, if something did, rather than what that did to it.
func (w *watch) reason(err error) error {
	if err != nil && w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	return err
}

// end ends the watch of work that is over, and waits for that.
func (w *watch) end() {
	w.stop(nil)
	<-w.ended
}

// pace notes when something came last. Its zero value is never silent.
type pace struct {
	mu       sync.Mutex // guards all below
	registry string     // "" until begin
	last     time.Time
	layers   map[string]layerStep
}

// begin starts the time of a pull from a registry, which silent measures from now on.
func (p *pace) begin(registry string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.registry, p.last, p.layers = registry, time.Now(), map[string]layerStep{}
}

// step takes a step of a pull. What counts is a layer that is new, has got further or is another state, and a layer
// that is being unpacked; a line that says the same again does not.
func (p *pace) step(s layerStep) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, known := p.layers[s.Layer]
	switch {
	case s.Unpacking:
	case s.Layer == "" || known && s.Current <= before.Current && s.Status == before.Status:
		return
	default:
		s.Current = max(s.Current, before.Current)
		p.layers[s.Layer] = s
	}
	p.last = time.Now()
}

// silent returns an error if nothing has come for too long.
func (p *pace) silent() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.registry == "" || time.Since(p.last) < silenceBound {
		return nil
	}
	return hint.With(refuse("the registry %s has sent nothing for two minutes", p.registry),
		"curl -sI https://"+p.registry+"/v2/ ; when it answers, pull again")
}
