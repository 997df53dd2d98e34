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
	lingers                // systemd has given up on it, and processes of it are left
	runs
	ends // it is being stopped
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
		return l.verdictOfFailed(ctx, key)
	case u.State == systemd.Deactivating:
		return ends
	case u.State != systemd.Inactive:
		return runs
	case u.Queued:
		return unknown
	}
	return over
}

// verdictOfFailed asks for the processes of a failed unit. systemd gives up on a unit whose processes do not end when
// they are killed, such as those that wait for a device or a network file system.
func (l *Launcher) verdictOfFailed(ctx context.Context, key ident.Key) verdict {
	left, err := l.cfg.Units.Processes(ctx, key.Unit())
	switch {
	case errors.Is(err, systemd.ErrNotLoaded):
		return over
	case err != nil:
		l.cfg.Log.Warn("cannot ask for the processes of a failed unit, and will ask again", "event", "end-unknown",
			"unit", key.Unit(), "error", err)
		return unknown
	case left > 0:
		return lingers
	}
	return broken
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
	switch {
	case v == unknown:
		return false
	case v == lingers:
		l.kill(ctx, key)
		return false
	case v == runs, v == ends, !l.claim(s, &s.over):
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

// A unit's own time-outs are not its end: any program that systemd takes for the unit's may ask for more time
// (EXTEND_TIMEOUT_USEC=, sd_notify(3)), and Podman runs as the member, who can put other programs in the place of its
// own. So a stop has a deadline that only the launcher knows, and with it the devices come back.

const (
	// stopSteps are ExecStop and the signals after it, and ExecStopPost and those after it. What ends as it should
	// takes as long as the first.
	stopSteps = 2
	killEvery = 5 * time.Second
)

// oversee kills a unit that is being stopped and has not ended by its deadline, again and again until systemd says that
// it has.
func (l *Launcher) oversee(key ident.Key, s *server) {
	if !l.claim(s, &s.overseen) {
		return
	}
	l.wg.Go(func() {
		wait := stopSteps*s.stopTimeout + stopMargin
		for stopping := true; stopping && l.sleep(s, wait); wait = killEvery {
			stopping = l.press(key, s)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		s.overseen = false
	})
}

// press kills a unit that is still being stopped, and reports whether it is not one that runs again.
func (l *Launcher) press(key ident.Key, s *server) bool {
	switch v := l.verdictOf(l.life, key); v {
	case runs:
		return false
	case ends:
		l.cfg.Log.Warn("a server that was to stop has not ended, and its processes are killed", "event",
			"stop-deadline", "user", key.User.String(), "server", key.Server.String(), "unit", key.Unit())
		l.kill(l.life, key)
	default:
		l.mayHaveEnded(l.life, key, s, v == broken)
	}
	return true
}

// sleep waits, and reports whether the server has not ended meanwhile.
func (l *Launcher) sleep(s *server, d time.Duration) bool {
	select {
	case <-s.ended:
	case <-l.life.Done():
	case <-time.After(d):
		return true
	}
	return false
}

// kill sends SIGKILL to all processes of a unit. That there is none is said by systemd when it is asked.
func (l *Launcher) kill(ctx context.Context, key ident.Key) {
	ctx, cancel := context.WithTimeout(ctx, endingTime)
	defer cancel()
	if err := l.cfg.Manager.Kill(ctx, key.Unit()); err != nil {
		l.cfg.Log.Info("cannot kill the processes of a unit", "event", "kill-failed", "unit", key.Unit(), "error", err)
	}
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
