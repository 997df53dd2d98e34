package launcher

import (
	"context"
	"errors"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// A unit has ended when systemd, asked, says so. A signal is only a reason to ask, and so is an order without an
// answer. As long as systemd does not answer, the end is unknown: nothing is announced, removed or lent again.

// askAgain is the time between two questions about a unit of which nothing is known.
const askAgain = time.Second

// verdict is what systemd says of a unit that may have ended.
type verdict int

const (
	unknown verdict = iota // no answer; or its start waits in systemd's queue
	runs
	over
	broken // it has failed
)

// verdictOf asks systemd about a unit.
func (l *Launcher) verdictOf(ctx context.Context, key ident.Key) verdict {
	ctx, cancel := context.WithTimeout(ctx, endingTime)
	defer cancel()
	u, err := l.cfg.Units.Get(ctx, key.Unit())
	switch {
	case errors.Is(err, systemd.ErrNotLoaded):
		return over
	case err != nil:
		l.cfg.Log.Warn("cannot ask whether a unit has ended, and will ask again", "event", "end-unknown", "unit",
			key.Unit(), "error", err)
		return unknown
	case u.State == systemd.Failed:
		return broken
	case u.State != systemd.Inactive:
		return runs
	case u.Queued:
		return unknown
	}
	return over
}

// mayHaveEnded announces a unit's end and clears away what it has left, now or as soon as systemd says that it has
// ended. failed is what the signal said of it.
func (l *Launcher) mayHaveEnded(ctx context.Context, key ident.Key, s *server, failed bool) {
	if l.settle(ctx, key, s, failed) || !l.claim(s, &s.asking) {
		return
	}
	l.wg.Go(func() {
		for !l.settle(l.life, key, s, failed) {
			select {
			case <-l.life.Done():
				return
			case <-time.After(askAgain):
			}
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		s.asking = false
	})
}

// settle asks once, and reports whether there is nothing more to ask.
func (l *Launcher) settle(ctx context.Context, key ident.Key, s *server, failed bool) bool {
	v := l.verdictOf(ctx, key)
	if v == unknown {
		return false
	}
	if v == runs || !l.claim(s, &s.over) {
		return true
	}
	state, outcome := launcherbus.Stopped, systemd.Outcome{}
	if failed || v == broken {
		state, outcome = launcherbus.Failed, l.failure(ctx, key)
	}
	l.cfg.Emit(l.event(s, state, outcome))
	l.leave(key, s, outcome)
	return true
}

// claim sets one of a server's flags and reports whether it was not set.
func (l *Launcher) claim(s *server, flag *bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := *flag || s.left
	*flag = true
	return !was
}

// notBegun handles a start that systemd has refused, or to which it has not answered: then there may be a unit.
func (l *Launcher) notBegun(ctx context.Context, key ident.Key, s *server) {
	ctx = context.WithoutCancel(ctx)
	if l.verdictOf(ctx, key) == over {
		l.leave(key, s, systemd.Outcome{})
		return
	}
	l.mayHaveEnded(ctx, key, s, false)
}
