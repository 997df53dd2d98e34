package launcher

import (
	"context"
	"errors"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/root/unit"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// made is what a unit of ours was made of. Only the time may still be learned while the unit exists.
type made struct {
	contract.Metadata
	since time.Time // when it began to start; zero before that
	// stopTimeout is the unit's time-out for each step of its stop.
	stopTimeout time.Duration
}

// madeFrom is the unit that Build makes of in.
func madeFrom(in unit.Input) made {
	return made{Metadata: contract.Metadata{Key: in.Key, Profile: in.Profile.Name, TokenHash: in.TokenHash, UID: in.UID,
		Devices: in.Devices}, stopTimeout: unit.StopTimeout(in.Profile)}
}

// row is what List and Changed say of the unit.
func (m made) row(state launcherbus.State) launcherbus.Server {
	return launcherbus.Server{Key: m.Key, Profile: m.Profile, State: state, UID: m.UID,
		Socket:  contract.SocketPath(m.Key),
		Started: m.since, TokenHash: m.TokenHash, Devices: deviceNames(m.Devices)}
}

// server is a unit from its start to its end. Launcher.mu guards it but for the channel.
type server struct {
	made
	stopping bool            // its end was asked for
	asking   bool            // its end is asked for again and again
	overseen bool            // its end has a deadline
	over     bool            // its end is announced, or is about to be
	left     bool            // ended is closed
	outcome  systemd.Outcome // set before ended is closed
	ended    chan struct{}   // closed when its end has been announced and cleared away
}

// enter notes that a unit exists or is about to.
func (l *Launcher) enter(m made) *server {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &server{made: m, ended: make(chan struct{})}
	l.servers[m.Key] = s
	return s
}

// leave notes that a unit is gone and clears away its files, unless the next one exists by then. It does nothing for
// one that has left.
func (l *Launcher) leave(key ident.Key, s *server, o systemd.Outcome) {
	l.mu.Lock()
	if s.left {
		l.mu.Unlock()
		return
	}
	s.left, s.outcome = true, o
	if l.servers[key] == s {
		delete(l.servers, key)
	}
	l.mu.Unlock()
	close(s.ended)
	l.wg.Go(func() {
		defer l.users.lock(key.User)()
		if l.server(key) == nil {
			l.clear(context.Background(), key)
		}
	})
}

// server returns the unit that was entered last and has not left; nil if there is none.
func (l *Launcher) server(key ident.Key) *server {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.servers[key]
}

// noteStart notes when a unit began to start, which systemd says with its first signals.
func (l *Launcher) noteStart(s *server, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !since.IsZero() {
		s.since = since
	}
}

// setStopping notes whether a unit's end was asked for.
func (l *Launcher) setStopping(s *server, stopping bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.stopping = stopping
}

// recall returns what a unit was made of, without a question to systemd where this process made or adopted it. It is
// nil for a unit that is gone or that the launcher has not made.
func (l *Launcher) recall(ctx context.Context, name string) (*made, error) {
	key, err := ident.ParseUnit(name)
	if err != nil {
		return nil, nil
	}
	l.mu.Lock()
	s := l.servers[key]
	if s == nil {
		l.mu.Unlock()
		return l.ask(ctx, name)
	}
	defer l.mu.Unlock()
	m := s.made
	return &m, nil
}

// ask returns what systemd says a unit was made of; nil as for recall.
func (l *Launcher) ask(ctx context.Context, name string) (*made, error) {
	u, err := l.cfg.Units.Get(ctx, name)
	if errors.Is(err, systemd.ErrNotLoaded) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	meta, ours := contract.ReadMetadata(u.Name, u.Environment)
	if !ours {
		return nil, nil
	}
	return &made{meta, u.Since, u.StopTimeout}, nil
}
