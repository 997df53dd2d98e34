package servers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// ErrActive says that a server that was to be started runs, or is starting or
// stopping.
var ErrActive = errors.New("the server is active already")

// Options is how a server is started.
type Options struct {
	// WithoutGPUs asks for none of the devices that the profile would get. A start that is queued for them goes on
	// without.
	WithoutGPUs bool
}

// Start begins to start a server and returns at once; Follow reports its progress. It fails with ErrActive where there
// is nothing to start.
func (m *Manager) Start(key ident.Key, profile string, o Options) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil {
		return fmt.Errorf("server %s: cannot start it: the hub is stopping", key)
	}
	s := m.entry(key)
	if s.queuedHere() && o.WithoutGPUs {
		m.must(s, turnCame)
		m.leaveQueue(s)
		s.WithoutGPUs = true
		m.begin(s)
		return nil
	}
	if s.State.Active() {
		return fmt.Errorf("server %s is %s: %w", key, s.State, ErrActive)
	}
	if err := m.transition(s, startAsked); err != nil {
		return err
	}
	s.Profile, s.WithoutGPUs = profile, o.WithoutGPUs
	s.requested()
	m.begin(s)
	return nil
}

// requested makes the progress of a new start. Manager.mu is held.
func (s *server) requested() {
	s.progress = newBroadcast()
	s.progress.add(Progress{Message: "Server requested"})
}

// begin launches a server that is Starting, for the first time or from the queue. m.mu is held.
func (m *Manager) begin(s *server) {
	token := newToken()
	s.reason, s.end, s.Started = "", nil, time.Now()
	s.run = run{tokenHash: ident.HashToken(token)}
	ctx, cancel := context.WithTimeout(m.ctx, m.cfg.StartTimeout)
	s.cancel, s.launching = cancel, true
	l := launch{StartRequest: backend.StartRequest{Key: s.Key, Profile: s.Profile, WithoutGPUs: s.WithoutGPUs,
		Env: m.cfg.Env.Env(s.Key, token)}, progress: s.progress, hadTurn: !s.asked.IsZero()}
	launched := make(chan struct{})
	s.launched = launched
	m.wg.Go(func() {
		defer close(launched)
		defer cancel()
		m.launch(ctx, l)
	})
	m.readOutput(s, s.Started)
}

// launch is one attempt to start a server.
type launch struct {
	backend.StartRequest
	// progress identifies the start that the attempt belongs to: another may have begun meanwhile.
	progress *broadcast
	hadTurn  bool // it has been in the queue, whose order then holds for it no more
}

// launch asks the backend for the server, and does what its answer calls for.
func (m *Manager) launch(ctx context.Context, l launch) {
	since := time.Now()
	m.step(l.Key, 10, "Preparing "+m.cfg.Backend.Name(l.Key))
	o := m.attempt(ctx, l)
	name := m.cfg.Backend.Name(l.Key)
	switch startVerdict(o) {
	case isAccepted:
		m.launched(l)
	case mustQueue:
		m.enqueue(l)
	case isAbandoned:
	case isTaken:
		if !m.takeOver(l) {
			m.startFailed(l, whyOf(o.err), since, false)
		}
	case tookTooLong:
		m.stopGivenUp(l.Key)
		m.startFailed(l, because("%s was not active within %s", name, m.cfg.StartTimeout), since, false)
	case isCancelled:
		m.startFailed(l, because("the start was cancelled"), since, false)
	case hasFailed:
		m.startFailed(l, whyOf(o.err), since, backend.Is(o.err, backend.StartFailed))
	}
}

// attempt fetches the image and asks the backend, unless an entry of the queue wants the same devices.
func (m *Manager) attempt(ctx context.Context, l launch) outcome {
	err := m.getImage(ctx, l.Key, l.Profile)
	if err == nil && !l.hadTurn && !l.WithoutGPUs && m.mustWait(ctx, l.Key, l.Profile) {
		return outcome{mustWait: true}
	}
	if err == nil {
		err = ctx.Err() // what was stopped is not asked for
	}
	if err == nil {
		err = m.cfg.Backend.Start(ctx, l.StartRequest)
	}
	return outcome{err: err, hubEnds: m.ctx.Err() != nil, startEnds: ctx.Err(), queues: m.cfg.Devices != nil}
}

// getImage waits until the image of the profile is there.
func (m *Manager) getImage(ctx context.Context, key ident.Key, profile string) error {
	if m.cfg.Images == nil {
		return nil
	}
	return m.cfg.Images.Ensure(ctx, profile, func(message string) { m.step(key, 20, message) })
}

// outcome is the result of an attempt to start a server.
type outcome struct {
	err       error // nil: the backend has accepted it
	mustWait  bool  // the backend was not asked: others are before it in the queue for devices
	hubEnds   bool
	startEnds error // of the start's context: its time is over, or it was stopped
	queues    bool  // the hub has a queue for devices
}

// verdict is what to do after an outcome.
type verdict int

const (
	isAccepted  verdict = iota // read it back
	mustQueue                  // wait for devices
	isAbandoned                // nothing: the next process of the hub finds what the backend made of it
	isTaken                    // take over what another process of the hub has started
	tookTooLong                // have it stopped, and fail
	isCancelled                // fail; who stopped it takes care of what the backend has begun
	hasFailed                  // fail with the reason of the error
)

// startVerdict decides what to do after an outcome. It has no effects.
func startVerdict(o outcome) verdict {
	var refused *backend.Error
	switch {
	case o.mustWait:
		return mustQueue
	case o.err == nil:
		return isAccepted
	case o.hubEnds:
		return isAbandoned
	case backend.Is(o.err, backend.DevicesTaken) && o.queues:
		return mustQueue
	case backend.Is(o.err, backend.AlreadyExists):
		return isTaken
	case errors.As(o.err, &refused):
		return hasFailed
	case errors.Is(o.startEnds, context.DeadlineExceeded):
		return tookTooLong
	case o.startEnds != nil:
		return isCancelled
	}
	return hasFailed
}

// launched reads back a server that the backend has accepted. It may have ended since.
func (m *Manager) launched(l launch) {
	m.mu.Lock()
	current, end := m.answersStart(l), m.entry(l.Key).end
	m.mu.Unlock()
	switch {
	case !current:
	case end != nil:
		m.takeEnd(*end)
	default:
		m.readBack(l)
	}
}

// readBack takes a server as the backend has it now.
func (m *Manager) readBack(l launch) {
	u, err := m.cfg.Backend.Get(m.ctx, l.Key)
	switch {
	case err == nil:
		m.adopt(u)
	case !backend.Is(err, backend.NotFound): // otherwise it has ended; the event of its end has the reason
		m.startFailed(l, because("cannot read back what runs: %v", err), time.Now(), false)
	}
}

// answersStart notes that the backend has answered a start, and reports whether it is the one under way. The caller
// records a failure under the same lock; otherwise the event of the end wins, with less detail. m.mu is held.
func (m *Manager) answersStart(l launch) bool {
	s := m.entry(l.Key)
	if s.progress != l.progress {
		return false
	}
	s.launching = false
	return true
}

// takeOver adopts the server that another process of the hub has started meanwhile, as both may for a moment around a
// reload. It is false where there is none.
func (m *Manager) takeOver(l launch) bool {
	u, err := m.cfg.Backend.Get(m.ctx, l.Key)
	if err != nil {
		return false
	}
	m.mu.Lock()
	current := m.answersStart(l)
	m.mu.Unlock()
	if current {
		m.adopt(u)
	}
	return current
}

// whyOf is an error as the reason of a failure, and because one of the hub's own.
func whyOf(err error) backend.Why { return backend.Why{Message: err.Error(), Hint: hint.Of(err)} }

func because(format string, args ...any) backend.Why {
	return backend.Why{Message: fmt.Sprintf(format, args...)}
}

// startFailed ends a start with its reason and the end of the server's log. byItself says that the backend had begun
// it, and that it is over.
func (m *Manager) startFailed(l launch, why backend.Why, since time.Time, byItself bool) {
	m.mu.Lock()
	explain := func() {}
	if m.answersStart(l) {
		s := m.entry(l.Key)
		s.over = s.over || byItself // the news of its end may come later
		explain = m.fail(l.Key, startFailed, failure{why, since, byItself})
	}
	m.mu.Unlock()
	explain()
}

// step adds a step to the start under way.
func (m *Manager) step(key ident.Key, percent int, message string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.servers[key]; ok && s.State.Pending() {
		s.progress.add(Progress{Percent: percent, Message: message})
	}
}

// readOutput passes the lines of the server's log on as steps of the start, until its last step. m.mu is held.
func (m *Manager) readOutput(s *server, since time.Time) {
	key, progress := s.Key, s.progress
	if !progress.readOnce() {
		return
	}
	ctx, stop := context.WithCancel(m.ctx)
	s.unfollow = stop
	m.wg.Go(func() {
		defer stop()
		err := m.cfg.Output.Follow(ctx, key, since, func(line string) { m.step(key, 30, line) })
		if err != nil && ctx.Err() == nil {
			m.log(slog.LevelWarn, key, "cannot follow the log of a starting server", "journal-unreadable", "error",
				err.Error())
			m.step(key, 30, unreadable(err))
		}
	})
	m.wg.Go(func() {
		defer stop()
		select {
		case <-progress.ended:
		case <-ctx.Done():
		}
	})
}

// stopReading ends the reading of the log of a server that waits: it may take hours until there is something to read.
// m.mu is held.
func (s *server) stopReading() {
	if s.unfollow != nil {
		s.unfollow()
		s.progress.readAgain()
	}
}
