package access

import "sync"

// Changes announces that rights may have changed: a session ended, a token, a share or a code was revoked, a user, a
// group or a mark was changed. It does not say which: who has judged somebody judges again. Make it with NewChanges. It
// is safe for concurrent use.
type Changes struct {
	mu    sync.Mutex // guards all below
	count uint64
	next  chan struct{}
}

// NewChanges makes Changes.
func NewChanges() *Changes { return &Changes{next: make(chan struct{})} }

// Notify announces a change. It is called after the change has been made, and never waits.
func (c *Changes) Notify() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	close(c.next)
	c.next = make(chan struct{})
}

// Count returns how many changes there were. A judgement that began at the same count is not outdated.
func (c *Changes) Count() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// Since returns a channel that is closed when there was a change after the one with the given number, perhaps already.
func (c *Changes) Since(count uint64) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count == count {
		return c.next
	}
	now := make(chan struct{})
	close(now)
	return now
}
