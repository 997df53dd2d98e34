package web

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// source counts its questions. Each answer is their number, and takes a second.
type source struct {
	mu     sync.Mutex
	asked  int
	fails  error
	failed int
}

func (s *source) ask(ctx context.Context) (int, error) {
	s.mu.Lock()
	s.asked++
	n, err := s.asked, s.fails
	s.mu.Unlock()
	select {
	case <-time.After(time.Second):
		return n, err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (s *source) recent(wait time.Duration) *recent[int] {
	return newRecent(s.ask, wait, time.Now, func(error) { s.failed++ })
}

// at checks an answer and the time that it took.
func at(t *testing.T, r *recent[int], since time.Time, want int, took time.Duration) {
	t.Helper()
	began := time.Now()
	if got := r.get(t.Context(), since); got != want {
		t.Errorf("the answer is %d, want %d", got, want)
	}
	if d := time.Since(began); d != took {
		t.Errorf("it took %v, want %v", d, took)
	}
}

func TestRecentAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{}
		r := src.recent(time.Minute)
		var pages sync.WaitGroup
		for range 50 {
			pages.Go(func() { at(t, r, time.Time{}, 1, time.Second) })
		}
		pages.Wait()
		at(t, r, time.Time{}, 1, 0)
		time.Sleep(freshFor) // the answer does not count any more
		pages.Go(func() { at(t, r, time.Time{}, 2, time.Second) })
		synctest.Wait()
		at(t, r, time.Time{}, 1, 0) // nobody waits while another asks
		pages.Wait()
		at(t, r, time.Time{}, 2, 0)
	})
}

func TestRecentSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{}
		r := src.recent(time.Minute)
		began := time.Now()
		at(t, r, began, 1, time.Second)
		at(t, r, began, 1, 0)
		at(t, r, time.Now(), 2, time.Second) // something changed after the answer was asked for
		r.forget()
		at(t, r, time.Time{}, 3, time.Second)
	})
}

// TestRecentForgetsWhatIsBeingAsked checks that an answer that may be from before a change is not remembered.
func TestRecentForgetsWhatIsBeingAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{}
		r := src.recent(time.Minute)
		var page sync.WaitGroup
		page.Go(func() { at(t, r, time.Time{}, 1, time.Second) })
		time.Sleep(time.Second / 2)
		r.forget()
		at(t, r, time.Time{}, 2, time.Second)
		page.Wait()
		at(t, r, time.Time{}, 2, 0)
	})
}

func TestRecentFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{fails: errors.New("no answer")}
		r := src.recent(time.Minute)
		at(t, r, time.Time{}, 0, time.Second)
		at(t, r, time.Time{}, 0, 0) // a source in trouble is not asked by each page
		if src.failed != 1 {
			t.Errorf("%d failures are reported", src.failed)
		}
		src.fails = nil
		time.Sleep(freshFor)
		at(t, r, time.Time{}, 2, time.Second)
	})
}

// TestRecentTime checks that no page waits for longer than it may, nor for one whose reader is gone.
func TestRecentTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{}
		at(t, src.recent(time.Second/2), time.Time{}, 0, time.Second/2)
		r := src.recent(time.Minute)
		gone, cancel := context.WithCancel(t.Context())
		var page sync.WaitGroup
		page.Go(func() { r.get(gone, time.Time{}) })
		synctest.Wait()
		cancel() // the answer is for others too
		at(t, r, time.Time{}, 2, time.Second)
		page.Wait()
	})
}

func TestRecentOfNothing(t *testing.T) {
	if got := newRecent[int](nil, 0, nil, nil).get(t.Context(), now); got != 0 {
		t.Errorf("the answer is %d", got)
	}
}
