package keeper

import (
	"context"
	"sync"

	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// job is a pull, load or import that several callers may follow. A pull or load goes on when they go away.
type job struct {
	name string // of the image

	mu     sync.Mutex // guards all below
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

func newJob(name string) *job {
	return &job{name: name, latest: map[string]step{}, wake: make(chan struct{})}
}

// ended returns a job that has nothing to do.
func ended(p imagekeeper.Progress) *job {
	j := newJob(p.Image)
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

// follow calls each for every step from now on, the last one included, or until ctx ends.
func (j *job) follow(ctx context.Context, each func(imagekeeper.Progress) error) error {
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
