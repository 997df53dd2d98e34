// Package disk knows how much space members' files take, as the backend measures it for the hub, and how much is free
// on their file systems. It warns before a disk is full. It must never read a member's directory, never have more than
// one member measured at a time, and never make a page wait for a file system that does not answer.
package disk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// meter is the backend, which measures.
type meter interface {
	DiskUse(ctx context.Context, user ident.User, measure bool) (backend.DiskUse, error)
}

// Threshold is how little may be free before people are warned: a part of the file system or a number of bytes. The
// zero value never warns.
type Threshold struct {
	Percent float64 // 0 to 100
	Bytes   int64
}

// Low reports whether the free part of a file system is below the threshold.
func (t Threshold) Low(free, total int64) bool {
	return free < t.Bytes || t.Percent > 0 && float64(free) < float64(total)*t.Percent/100
}

// Place is a file system, by one of the directories on it.
type Place struct {
	Path        string
	Free, Total int64 // bytes; Free is what those who are not root may still take
	Low         bool
	Seen        time.Time
	id          uint64 // of the file system
}

// Config is what a Watch needs. All fields are required except where noted.
type Config struct {
	Backend meter
	// Users returns all users. What was measured of them before is read once.
	Users func(ctx context.Context) ([]ident.User, error)
	// Recent returns the users whose files may have changed since a time: their server runs, or was used since then.
	Recent func(ctx context.Context, since time.Time) ([]ident.User, error)
	// Refresh is the greatest age of a measurement. 0 means that only Measure measures.
	Refresh time.Duration
	// Paths are directories on the file systems to watch. A missing directory is left out.
	Paths []string
	// WarnFree is when people are warned.
	WarnFree Threshold
	// Statfs reads a file system; nil is the host's.
	Statfs func(path string) (FileSystem, error)
	Log    *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Watch holds the latest measurements. Make it with New, then Run it. It is safe for concurrent use.
type Watch struct {
	cfg  Config
	turn chan struct{} // holds one thing while a member is measured

	mu     sync.Mutex // guards all below
	usage  map[ident.User]backend.DiskUse
	tried  map[ident.User]time.Time
	places map[string]Place
	asking map[string]bool // paths whose file system has not answered yet
}

// Bounds of the work.
const (
	readEvery    = time.Minute           // for file systems
	roundEvery   = 10 * time.Minute      // for members who are to be measured
	pollEvery    = 2 * time.Second       // while one is
	longest      = 30 * time.Minute      // for one measurement; the policy's own limit is below
	answerTime   = time.Minute           // for the backend
	statfsTime   = 5 * time.Second       // for one file system
	quickTime    = 50 * time.Millisecond // for the next after one that does not answer
	tryAgainTime = time.Hour             // after a measurement without a result
)

// New checks cfg. It reads nothing yet.
func New(cfg Config) (*Watch, error) {
	if cfg.Backend == nil || cfg.Users == nil || cfg.Recent == nil || cfg.Log == nil {
		return nil, errors.New("cannot watch the disks: Backend, Users, Recent and Log must be set")
	}
	if cfg.Statfs == nil {
		cfg.Statfs = Statfs
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Watch{cfg: cfg, turn: make(chan struct{}, 1), usage: map[ident.User]backend.DiskUse{},
		tried: map[ident.User]time.Time{}, places: map[string]Place{}, asking: map[string]bool{}}, nil
}

// Run works until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { repeat(ctx, readEvery, w.Read) })
	both.Go(func() {
		w.recall(ctx)
		if w.cfg.Refresh > 0 {
			repeat(ctx, min(roundEvery, w.cfg.Refresh), w.round)
		}
	})
	both.Wait()
}

func repeat(ctx context.Context, every time.Duration, do func(context.Context)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for do(ctx); ctx.Err() == nil; do(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Of returns what was last measured of a user; ok is false when nothing was.
func (w *Watch) Of(user ident.User) (u backend.DiskUse, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, ok = w.usage[user]
	return u, ok && !u.Measured.IsZero()
}

// Users returns the users of whom something was measured, by name.
func (w *Watch) Users() []ident.User {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []ident.User
	for user, u := range w.usage {
		if !u.Measured.IsZero() {
			all = append(all, user)
		}
	}
	slices.SortFunc(all, func(a, b ident.User) int { return strings.Compare(a.String(), b.String()) })
	return all
}

func (w *Watch) note(user ident.User, u backend.DiskUse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.usage[user] = u
}

// ErrNoResult says that a measurement ended without a new result.
var ErrNoResult = errors.New("the measurement ended without a result")

// Measure has a user measured now and waits for the result. Measurements that began earlier come first.
func (w *Watch) Measure(ctx context.Context, user ident.User) (backend.DiskUse, error) {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return backend.DiskUse{}, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	begun := w.cfg.Now()
	w.mu.Lock()
	w.tried[user] = begun
	w.mu.Unlock()
	u, err := w.ask(ctx, user, true)
	for err == nil && u.Measuring {
		select {
		case <-time.After(pollEvery):
			u, err = w.ask(ctx, user, false)
		case <-ctx.Done():
			return u, fmt.Errorf("%s is still being measured: %w", user, ctx.Err())
		}
	}
	if err == nil && u.Measured.Before(begun.Truncate(time.Second)) {
		err = hint.With(ErrNoResult, u.Hint)
	}
	return u, err
}

func (w *Watch) ask(ctx context.Context, user ident.User, measure bool) (backend.DiskUse, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	u, err := w.cfg.Backend.DiskUse(ctx, user, measure)
	if err == nil {
		w.note(user, u)
	}
	return u, err
}

// recall reads what was measured before the hub began.
func (w *Watch) recall(ctx context.Context) {
	all, err := w.cfg.Users(ctx)
	if err != nil {
		w.cfg.Log.Warn("cannot list the users whose files were measured", "event", "disk-users", "error", err.Error())
	}
	for _, user := range all {
		if _, err := w.ask(ctx, user, false); err != nil && ctx.Err() == nil {
			// Such as a user whose account no longer exists.
			w.cfg.Log.Debug("cannot read a user's disk use", "event", "disk-unknown", "user", user.String(),
				"error", err.Error())
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// round measures, one by one, the users whose numbers are old.
func (w *Watch) round(ctx context.Context) {
	users, err := w.cfg.Recent(ctx, w.cfg.Now().Add(-w.cfg.Refresh))
	if err != nil {
		w.cfg.Log.Warn("cannot list the users to measure", "event", "disk-users", "error", err.Error())
		return
	}
	for _, user := range users {
		if ctx.Err() != nil || !w.due(user) {
			continue
		}
		if _, err := w.Measure(ctx, user); err != nil && ctx.Err() == nil {
			w.cfg.Log.Warn("cannot measure a user's disk use", "event", "disk-unmeasured", "user", user.String(),
				"error", err.Error())
		}
	}
}

func (w *Watch) due(user ident.User) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.cfg.Now()
	return now.Sub(w.usage[user].Measured) >= w.cfg.Refresh &&
		now.Sub(w.tried[user]) >= min(tryAgainTime, w.cfg.Refresh)
}
