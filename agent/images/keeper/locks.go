package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/imagestore"
)

// nameLocks is a lock for each image name: what changes one name does not hold up another. Its zero value is ready.
type nameLocks struct {
	mu   sync.Mutex // guards held
	held map[string]chan struct{}
}

// lock waits for all the names until ctx ends. The caller calls unlock when it has changed them.
func (l *nameLocks) lock(ctx context.Context, names ...string) (unlock func(), err error) {
	names = slices.Compact(slices.Sorted(slices.Values(names))) // one order for all, so that no two wait for each other
	for i, name := range names {
		if err := l.one(ctx, name); err != nil {
			l.unlock(names[:i])
			return nil, fmt.Errorf("gave up waiting for another change of %s: %w", name, err)
		}
	}
	return func() { l.unlock(names) }, nil
}

// tryLock is lock if nobody has any of the names.
func (l *nameLocks) tryLock(names ...string) (unlock func(), ok bool) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if l.take(names...) != nil {
		return nil, false
	}
	return func() { l.unlock(names) }, true
}

// take locks all of the names, or none and returns a channel that is closed when one of them is free again.
func (l *nameLocks) take(names ...string) (busy <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range names {
		if busy, held := l.held[name]; held {
			return busy
		}
	}
	if l.held == nil {
		l.held = map[string]chan struct{}{}
	}
	for _, name := range names {
		l.held[name] = make(chan struct{})
	}
	return nil
}

func (l *nameLocks) one(ctx context.Context, name string) error {
	for {
		busy := l.take(name)
		if busy == nil {
			return nil
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *nameLocks) unlock(names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range names {
		close(l.held[name])
		delete(l.held, name)
	}
}

// gate lets any number of changes of names run side by side. While it is closed none runs: what failed ones have left
// is removed then, images that never had a name and layers without an image, and a change that is not finished has
// such, too. Its zero value is open.
type gate struct {
	mu      sync.Mutex // guards all below
	inside  int        // changes under way
	closed  bool
	changed chan struct{} // closed and replaced at each change; nil until somebody waits
}

// enter begins a change. It waits while the gate is closed, until ctx ends.
func (g *gate) enter(ctx context.Context) error {
	return g.wait(ctx, func() bool {
		if !g.closed {
			g.inside++
		}
		return !g.closed
	})
}

// close waits until no change is under way, until ctx ends. Changes that come meanwhile are not held up, so that a pull
// that hangs holds up nothing but the caller.
func (g *gate) close(ctx context.Context) error { return g.wait(ctx, g.shut) }

// tryClose closes the gate if no change is under way.
func (g *gate) tryClose() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut()
}

func (g *gate) shut() bool {
	if g.closed || g.inside > 0 {
		return false
	}
	g.closed = true
	return true
}

// leave ends a change, open ends a removal.
func (g *gate) leave() { g.change(func() { g.inside-- }) }
func (g *gate) open()  { g.change(func() { g.closed = false }) }

func (g *gate) change(what func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	what()
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

func (g *gate) wait(ctx context.Context, passed func() bool) error {
	for {
		g.mu.Lock()
		if passed() {
			g.mu.Unlock()
			return nil
		}
		if g.changed == nil {
			g.changed = make(chan struct{})
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("gave up waiting for other changes of images: %w", ctx.Err())
		}
	}
}

// begin waits until the names may be changed. The caller calls end when they are.
func (k *Keeper) begin(ctx context.Context, names ...string) (end func(), err error) {
	unlock, err := k.names.lock(ctx, names...)
	if err != nil {
		return nil, err
	}
	if err := k.changes.enter(ctx); err != nil {
		unlock()
		return nil, err
	}
	return func() {
		k.changes.leave()
		unlock()
	}, nil
}

// lockInterval is the time between two attempts to lock the launcher's file: flock(2) cannot wait for a context.
const lockInterval = 20 * time.Millisecond

// withoutViews runs work while gifford-view makes no view of an image, with the units and containers that use each
// image, by its ID.
func (k *Keeper) withoutViews(ctx context.Context, work func(uses map[string][]string) error) error {
	file, err := os.Open(filepath.Join(k.cfg.LauncherRun, "images", imagestore.LockName))
	switch {
	case errors.Is(err, fs.ErrNotExist): // no launcher has run yet
	case err != nil:
		return fmt.Errorf("cannot lock the images: %w", err)
	default:
		defer file.Close()
		if err := flock(ctx, file); err != nil {
			return fmt.Errorf("cannot lock the images: %w", err)
		}
	}
	uses, err := imagestore.Uses(k.cfg.LauncherRun, k.cfg.LauncherState)
	if err != nil {
		return err
	}
	return work(uses)
}

func flock(ctx context.Context, file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-time.After(lockInterval):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
