package launcher

import (
	"cmp"
	"context"
	"errors"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// UnitPrefix and UnitSuffix are those of the units to watch.
const (
	UnitPrefix = "jupyter-"
	UnitSuffix = ".service"
	allUnits   = UnitPrefix + "*" + UnitSuffix
)

// stateOf is the state of a unit in our words. One whose start is queued, as while its view of the images is made, is
// starting. One that has failed is stopping until its last process has ended and its end is announced.
func (l *Launcher) stateOf(u systemd.Status) (launcherbus.State, bool) {
	if u.State == systemd.Inactive && u.Queued {
		return launcherbus.Starting, true
	}
	if u.State == systemd.Failed {
		if key, err := ident.ParseUnit(u.Name); err == nil && l.server(key) != nil {
			return launcherbus.Stopping, true
		}
	}
	return inOurWords(u.State)
}

// inOurWords maps systemd's states.
func inOurWords(s systemd.State) (launcherbus.State, bool) {
	state, ok := map[systemd.State]launcherbus.State{
		systemd.Activating: launcherbus.Starting, systemd.Active: launcherbus.Running,
		systemd.Deactivating: launcherbus.Stopping,
		systemd.Inactive:     launcherbus.Stopped, systemd.Failed: launcherbus.Failed,
		"reloading": launcherbus.Running, "refreshing": launcherbus.Running, "maintenance": launcherbus.Running,
	}[s]
	return state, ok
}

// hasEnded reports whether a unit of that state has no processes.
func hasEnded(s launcherbus.State) bool { return s == launcherbus.Stopped || s == launcherbus.Failed }

// Get returns one server, if its unit exists and has not ended.
func (l *Launcher) Get(ctx context.Context, key ident.Key) (launcherbus.ServerRow, error) {
	made, state, err := l.existing(ctx, key)
	if err != nil {
		return launcherbus.ServerRow{}, err
	}
	return made.row(state).Row(), nil
}

// existing asks systemd for a server's unit. One that does not exist, has ended or is not ours is an error for people.
func (l *Launcher) existing(ctx context.Context, key ident.Key) (made, launcherbus.State, error) {
	u, err := l.cfg.Units.Get(ctx, key.Unit())
	if err != nil && !errors.Is(err, systemd.ErrNotLoaded) {
		return made{}, "", err
	}
	meta, ours := contract.ReadMetadata(u.Name, u.Environment)
	state, ok := l.stateOf(u.Status)
	if !ours || !ok || hasEnded(state) {
		return made{}, "", notRunning(key)
	}
	return made{meta, u.Since, u.StopTimeout}, state, nil
}

func notRunning(key ident.Key) error {
	return fail(launcherbus.NotFound, "unit %q does not run", key.Unit())
}

// List returns the servers whose units exist and have not ended. It skips units of such a name that the launcher has
// not made.
func (l *Launcher) List(ctx context.Context) ([]launcherbus.ServerRow, error) {
	units, err := l.cfg.Units.List(ctx, allUnits)
	if err != nil {
		return nil, err
	}
	rows := []launcherbus.ServerRow{}
	for _, u := range units {
		state, ok := l.stateOf(u)
		if !ok || hasEnded(state) {
			continue
		}
		made, err := l.recall(ctx, u.Name)
		if err != nil {
			return nil, err
		}
		if made != nil {
			rows = append(rows, made.row(state).Row())
		}
	}
	return rows, nil
}

// Adopt takes over the units that exist when the launcher starts, and announces those that failed while there was none.
// It returns the states from which changes are to be watched. It asks systemd alone: files come later, with Tidy.
func (l *Launcher) Adopt(ctx context.Context) ([]systemd.Status, error) {
	found, err := l.cfg.Units.List(ctx, allUnits)
	if err != nil {
		return nil, err
	}
	for _, u := range found {
		made, err := l.ask(ctx, u.Name)
		if err != nil {
			return nil, err
		}
		switch {
		case made == nil:
		case u.State == systemd.Inactive && !u.Queued:
		case u.State == systemd.Failed, u.State == systemd.Inactive:
			// No signal announces the end of a start that is canceled in systemd's queue.
			l.mayHaveEnded(ctx, made.Key, l.enter(*made), u.State == systemd.Failed)
		default:
			s := l.enter(*made)
			if u.State == systemd.Deactivating {
				l.oversee(made.Key, s)
			}
		}
	}
	return found, nil
}

// Changed takes note of a unit's new state and announces it to the hub; an end only when systemd, asked, says that it
// is one. It is called for one change after the other.
func (l *Launcher) Changed(ctx context.Context, c systemd.Change) {
	key, err := ident.ParseUnit(c.Name)
	state, ok := inOurWords(c.State)
	if err != nil || !ok {
		return
	}
	s := l.server(key)
	if s == nil && (state == launcherbus.Starting || state == launcherbus.Running) {
		s = l.begunBefore(ctx, key)
	}
	if s == nil {
		return // a unit that the launcher has not made
	}
	l.noteStart(s, c.Since)
	if hasEnded(state) {
		l.mayHaveEnded(ctx, key, s, state == launcherbus.Failed)
		return
	}
	l.cfg.Emit(l.event(s, state, systemd.Outcome{}))
	switch state {
	case launcherbus.Running:
		l.files.removeCredential(key) // a start that an earlier launcher began
	case launcherbus.Stopping:
		l.oversee(key, s)
	}
}

// event describes a unit's new state. A unit that was stopped has not failed, even if it had to be killed.
func (l *Launcher) event(s *server, state launcherbus.State, o systemd.Outcome) launcherbus.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	if state == launcherbus.Failed && s.stopping {
		state = launcherbus.Stopped
	}
	e := launcherbus.Event{Server: s.row(state)}
	if state == launcherbus.Failed {
		e.Result, e.Exit = o.Result, cmp.Or(o.Exit, o.PreExit)
	}
	return e
}

// begunBefore takes over a unit whose start an earlier launcher had queued and that had to
// wait for another unit then; nil if it is not the launcher's.
func (l *Launcher) begunBefore(ctx context.Context, key ident.Key) *server {
	made, err := l.ask(ctx, key.Unit())
	if err != nil || made == nil {
		return nil
	}
	return l.enter(*made)
}

// failure reads why a unit failed and lets systemd forget it.
func (l *Launcher) failure(ctx context.Context, key ident.Key) systemd.Outcome {
	ctx, cancel := context.WithTimeout(ctx, endingTime)
	defer cancel()
	o, err := l.cfg.Units.Outcome(ctx, key.Unit())
	if err == nil || errors.Is(err, systemd.ErrNotLoaded) {
		err = l.cfg.Manager.ResetFailed(ctx, key.Unit())
	}
	if err != nil {
		l.cfg.Log.Warn("cannot read or reset a failed unit", "event", "unit-failed", "unit", key.Unit(), "error", err)
	}
	l.cfg.Log.Info("server failed", "event", "server-failed", "user", key.User.String(), "server", key.Server.String(),
		"unit", key.Unit(), "result", o.Result, "exit", o.Exit)
	return o
}
