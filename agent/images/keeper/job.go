package keeper

import (
	"context"
	"errors"
	"sync"

	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// errAbandoned is why a job ends for which nobody waits any more.
var errAbandoned = errors.New("interrupted: nobody waits for it any more")

// job is a pull, load or import that several callers may follow. It ends when all of them have gone away, unless one of
// them wants it to go on.
type job struct {
	cancel context.CancelCauseFunc // nil for a job that has nothing to do

	mu     sync.Mutex // guards all below
	holds  int        // callers that follow it, or will
	stays  bool       // it goes on without callers
	left   bool       // all have gone away
	order  []string   // keys of latest, by their first step
	latest map[string]step
	number int // of the last step
	end    *imagekeeper.Progress
	wake   chan struct{} // closed at the next step
}

// step is the latest of a layer, or of the whole: a caller that comes late or reads slowly sees each layer as it is
// now.
type step struct {
	imagekeeper.Progress
	number int
}

func newJob() *job {
	return &job{holds: 1, latest: map[string]step{}, wake: make(chan struct{})}
}

// join adds a caller, who calls follow. It reports whether the job can still be followed.
func (j *job) join(stays bool) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.left {
		return false
	}
	j.holds++
	j.stays = j.stays || stays
	return true
}

// leave takes a caller away, and ends a job for which nobody waits.
func (j *job) leave() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.holds--
	if j.holds > 0 || j.stays || j.end != nil || j.cancel == nil {
		return
	}
	j.left = true
	j.cancel(errAbandoned)
}

// ended returns a job that has nothing to do.
func ended(p imagekeeper.Progress) *job {
	j := newJob()
	p.Done = true
	j.add(p)
	return j
}

// add records a step. Steps of one layer, and messages of the whole, replace each other.
func (j *job) add(p imagekeeper.Progress) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if p.Done || p.Failed {
		j.end = &p
	} else {
		if _, ok := j.latest[p.Layer]; !ok {
			j.order = append(j.order, p.Layer)
		}
		j.number++
		j.latest[p.Layer] = step{p, j.number}
	}
	close(j.wake)
	j.wake = make(chan struct{})
}

// follow calls each for every step from now on, the last one included, or until ctx ends. The caller does not wait for
// the job any more then.
func (j *job) follow(ctx context.Context, each func(imagekeeper.Progress) error) error {
	defer j.leave()
	seen := 0
	for {
		steps, end, wake := j.since(seen)
		for _, s := range steps {
			seen = max(seen, s.number)
			if err := each(s.Progress); err != nil {
				return err
			}
		}
		if end != nil {
			return each(*end)
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (j *job) since(seen int) (steps []step, end *imagekeeper.Progress, wake <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, key := range j.order {
		if s := j.latest[key]; s.number > seen {
			steps = append(steps, s)
		}
	}
	return steps, j.end, j.wake
}
