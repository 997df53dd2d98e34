package gate

import (
	"context"
	"sync"
	"time"
)

const (
	// JudgeEvery is how often what is open is judged again where no change was announced: rights also end by the clock.
	JudgeEvery = 30 * time.Second
	// pause is between two judgements, so that many changes at once cost little.
	pause = 100 * time.Millisecond
)

// Watch has everything that is open judged again after each change, and at least once in each period of that length.
// judge ends what no longer holds; it is called while an earlier call still waits for an answer. Watch returns when ctx
// has ended and all calls have.
func (g *Gate) Watch(ctx context.Context, every time.Duration, judge func(ctx context.Context)) {
	var all sync.WaitGroup
	defer all.Wait()
	tick := time.NewTicker(every)
	defer tick.Stop()
	seen := g.cfg.Changes.Count()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.cfg.Changes.Since(seen):
		case <-tick.C:
			g.grants.forget(g.cfg.Now().Add(-forgetAfter))
		}
		seen = g.cfg.Changes.Count()
		all.Go(func() { judge(ctx) })
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}
