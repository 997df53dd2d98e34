package web

import (
	"context"
	"sync"
	"time"
)

// freshFor is how long an answer of a recent counts.
const freshFor = 5 * time.Second

// recent remembers the last answer of a source that is costly to ask: to the launcher each question means work for
// every server or container of the host. However many pages need the answer, one question runs at a time. Make it with
// newRecent.
type recent[T any] struct {
	ask    func(ctx context.Context) (T, error)
	wait   time.Duration // the longest that one question may take
	failed func(err error)
	now    func() time.Time

	mu    sync.Mutex   // guards all below
	last  *question[T] // nil before the first
	next  *question[T] // being asked for; nil for none
	epoch int          // counts calls of forget
}

// question is one question with its answer.
type question[T any] struct {
	asked time.Time
	epoch int
	done  chan struct{} // closed when value is set
	value T             // the zero value after a failure
}

// newRecent makes a recent. A nil ask makes one whose answer is always the zero value. failed is called with each
// failure, after which the answer is the zero value for as long as another answer would count.
func newRecent[T any](ask func(ctx context.Context) (T, error), wait time.Duration, now func() time.Time,
	failed func(err error)) *recent[T] {
	return &recent[T]{ask: ask, wait: wait, now: now, failed: failed}
}

// get returns an answer that was asked for no earlier than since. While another page asks for a fresher one, it returns
// the last that counts.
func (r *recent[T]) get(ctx context.Context, since time.Time) (value T) {
	if r.ask == nil {
		return value
	}
	q, mine := r.find(since)
	if mine {
		r.fill(ctx, q)
	}
	select {
	case <-q.done:
		return q.value
	case <-ctx.Done(): // nobody reads the page
		return value
	}
}

// find returns the question whose answer counts, and whether the caller must ask it.
func (r *recent[T]) find(since time.Time) (q *question[T], mine bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	last, next := r.last.covers(since, r.epoch), r.next.covers(since, r.epoch)
	switch {
	case last && (next || now.Sub(r.last.asked) < freshFor):
		return r.last, false
	case next:
		return r.next, false
	}
	r.next = &question[T]{asked: now, epoch: r.epoch, done: make(chan struct{})}
	return r.next, true
}

// covers reports whether a question was asked for no earlier than since, and in this epoch.
func (q *question[T]) covers(since time.Time, epoch int) bool {
	return q != nil && q.epoch == epoch && !q.asked.Before(since)
}

// fill asks. Others wait for the answer too, so it does not end with the request that asks.
func (r *recent[T]) fill(ctx context.Context, q *question[T]) {
	defer r.settle(q)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.wait)
	defer cancel()
	value, err := r.ask(ctx)
	if err != nil {
		r.failed(err)
		return
	}
	q.value = value
}

// settle makes a question the last one, unless a later question has been asked since.
func (r *recent[T]) settle(q *question[T]) {
	close(q.done)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == q {
		r.last, r.next = q, nil
	}
}

// forget makes the next page ask, because something has changed.
func (r *recent[T]) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch++
}
