package servers

import (
	"context"
	"sync"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// maxSteps bounds what a late reader gets of a start that writes a lot.
const maxSteps = 200

// broadcast holds the steps of one start and wakes those who follow it.
type broadcast struct {
	mu    sync.Mutex // guards all below
	steps []Progress
	first int // number of the oldest step in steps
	done  bool
	wake  chan struct{} // closed and made again at each step
	read  bool          // the unit's journal is being read for it
	ended chan struct{} // closed after the last step
}

func newBroadcast() *broadcast {
	return &broadcast{wake: make(chan struct{}), ended: make(chan struct{})}
}

// add records a step. A step that is Ready or Failed is the last. The percentage never
// goes back.
func (b *broadcast) add(p Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done {
		return
	}
	if n := len(b.steps); n > 0 {
		p.Percent = max(p.Percent, b.steps[n-1].Percent)
	}
	b.steps = append(b.steps, p)
	if len(b.steps) > maxSteps {
		b.first += len(b.steps) - maxSteps
		b.steps = b.steps[len(b.steps)-maxSteps:]
	}
	if b.done = p.Ready || p.Failed; b.done {
		close(b.ended)
	}
	close(b.wake)
	b.wake = make(chan struct{})
}

// readOnce is true for the first who asks: the journal is read once for each start.
func (b *broadcast) readOnce() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.read
	b.read = true
	return !was
}

// readAgain lets the journal be read once more, for a later start of the same request.
func (b *broadcast) readAgain() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read = false
}

// since returns the steps from number n on, the number after them, whether the last
// has come, and what to wait for.
func (b *broadcast) since(n int) ([]Progress, int, bool, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	from := max(n-b.first, 0)
	steps := append([]Progress(nil), b.steps[min(from, len(b.steps)):]...)
	return steps, b.first + len(b.steps), b.done, b.wake
}

// Follow calls step for each step of the server's present or latest start, from its
// beginning, until one is Ready or Failed (then it returns nil), step fails or ctx
// ends. It reports false when there is no start to follow.
func (m *Manager) Follow(ctx context.Context, key ident.Key, step func(Progress) error) (bool, error) {
	m.mu.Lock()
	s, ok := m.servers[key]
	if !ok || s.State == Stopped || s.State == Stopping {
		m.mu.Unlock()
		return false, nil
	}
	b := s.progress
	m.mu.Unlock()
	for n := 0; ; {
		steps, upTo, done, wake := b.since(n)
		for _, p := range steps {
			if err := step(p); err != nil {
				return true, err
			}
		}
		if done {
			return true, nil
		}
		n = upTo
		select {
		case <-ctx.Done():
			return true, ctx.Err()
		case <-wake:
		}
	}
}
