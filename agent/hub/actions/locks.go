package actions

import (
	"context"
	"sync"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// locks lets one act at a time change a server: a start must not come between the steps of its removal, or it gets
// the old persistent container.
type locks struct {
	mu   sync.Mutex // guards held
	held map[ident.Key]*hold
}

// hold is one server's lock while it is taken.
type hold struct {
	removal bool          // the server is being removed, which may take as long as its stop
	done    chan struct{} // closed at the end
}

// take waits for a server's lock until ctx ends. It does not wait for the end of a removal: that is a *Refusal with
// the reason Stopping. The caller calls release once.
func (l *locks) take(ctx context.Context, k ident.Key, removal bool) (release func(), err error) {
	for {
		l.mu.Lock()
		other, taken := l.held[k]
		if !taken {
			h := &hold{removal: removal, done: make(chan struct{})}
			l.held[k] = h
			l.mu.Unlock()
			return func() { l.release(k, h) }, nil
		}
		l.mu.Unlock()
		if other.removal {
			return nil, refuse(Conflict, Stopping, k.String(), "%s is being removed", k)
		}
		select {
		case <-other.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (l *locks) release(k ident.Key, h *hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, k)
	close(h.done)
}
