package launcher

import (
	"context"
	"errors"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/root/unit"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// UnitPrefix and UnitSuffix are those of the units to watch.
const (
	UnitPrefix = "jupyter-"
	UnitSuffix = ".service"
)

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

// List returns the servers whose units exist and have not ended. Units of the same name
// that the launcher has not made are none.
func (l *Launcher) List(ctx context.Context) ([]launcherbus.ServerRow, error) {
	units, err := l.cfg.Units.List(ctx, UnitPrefix+"*"+UnitSuffix)
	if err != nil {
		return nil, err
	}
	rows := []launcherbus.ServerRow{}
	for _, u := range units {
		meta, ours := unit.ReadMetadata(u.Name, u.Environment)
		state, ok := inOurWords(u.State)
		if !ours || !ok || state == launcherbus.Stopped || state == launcherbus.Failed {
			continue
		}
		rows = append(rows, launcherbus.Server{Key: meta.Key, Profile: meta.Profile, State: state, UID: meta.UID,
			Socket: unit.SocketPath(meta.Key), Started: u.Since, TokenHash: meta.TokenHash,
			Devices: deviceNames(meta.Devices)}.Row())
	}
	return rows, nil
}

// Adopt takes over the units that exist when the launcher starts, tells of those that
// failed while there was none, and clears away what ended ones have left. It gives the
// states from which changes are to be watched.
func (l *Launcher) Adopt(ctx context.Context) ([]systemd.Unit, error) {
	found, err := l.cfg.Units.List(ctx, UnitPrefix+"*"+UnitSuffix)
	if err != nil {
		return nil, err
	}
	waits := map[ident.Key]bool{} // its start is queued: Changed takes it over when it begins
	for _, u := range found {
		meta, ours := unit.ReadMetadata(u.Name, u.Environment)
		if !ours {
			continue
		}
		if u.State == systemd.Inactive {
			waits[meta.Key] = u.Queued
			continue
		}
		l.enter(meta.Key)
		if u.State == systemd.Failed {
			l.Changed(ctx, systemd.Change{Name: u.Name, State: u.State})
		}
	}
	for _, key := range l.files.leftovers() {
		if l.server(key) == nil && !waits[key] {
			l.files.clear(key)
		}
	}
	return found, nil
}

// Changed takes note of a unit's new state and tells the hub. It is called for one
// change after the other.
func (l *Launcher) Changed(ctx context.Context, c systemd.Change) {
	key, err := ident.ParseUnit(c.Name)
	s := l.server(key)
	state, ok := inOurWords(c.State)
	if s == nil && err == nil && (state == launcherbus.Starting || state == launcherbus.Running) {
		s = l.begunBefore(ctx, key)
	}
	if err != nil || s == nil || !ok {
		return // a unit of another's making
	}
	e := launcherbus.Event{Key: key, State: state}
	var outcome systemd.Outcome
	if state == launcherbus.Failed {
		outcome = l.failure(ctx, key)
		e.Result, e.Exit = outcome.Result, outcome.Exit
		if e.Exit == 0 {
			e.Exit = outcome.PreExit
		}
		if l.wasStopped(s) {
			// What was told to end has not failed, even if it had to be killed.
			e = launcherbus.Event{Key: key, State: launcherbus.Stopped}
		}
	}
	l.cfg.Emit(e)
	if state == launcherbus.Running {
		l.files.removeCredential(key) // a start that an earlier launcher began
	}
	if state == launcherbus.Stopped || state == launcherbus.Failed {
		l.leave(key, s, outcome)
	}
}

// begunBefore takes over a unit whose start an earlier launcher had queued and that had to
// wait for another unit then; nil if it is not the launcher's.
func (l *Launcher) begunBefore(ctx context.Context, key ident.Key) *server {
	u, err := l.cfg.Units.Get(ctx, key.Unit())
	if err != nil || !holds(u) {
		return nil
	}
	if _, ours := unit.ReadMetadata(u.Name, u.Environment); !ours {
		return nil
	}
	return l.enter(key)
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
		l.cfg.Log.Warn("cannot look at a failed unit", "event", "unit-failed", "unit", key.Unit(), "error", err)
	}
	l.cfg.Log.Info("server failed", "event", "server-failed", "user", key.User.String(), "server", key.Server.String(),
		"unit", key.Unit(), "result", o.Result, "exit", o.Exit)
	return o
}

// enter notes that a unit is there.
func (l *Launcher) enter(key ident.Key) *server {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &server{ended: make(chan struct{})}
	l.servers[key] = s
	return s
}

// leave notes that a unit is gone and clears away its files, unless the next one is
// there by then.
func (l *Launcher) leave(key ident.Key, s *server, o systemd.Outcome) {
	l.mu.Lock()
	s.outcome = o
	if l.servers[key] == s {
		delete(l.servers, key)
	}
	l.mu.Unlock()
	close(s.ended)
	l.wg.Go(func() {
		defer l.users.lock(key.User)()
		if l.server(key) == nil {
			l.files.clear(key)
		}
	})
}

func (l *Launcher) server(key ident.Key) *server {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.servers[key]
}

func (l *Launcher) wasStopped(s *server) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return s.stopping
}
