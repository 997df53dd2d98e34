package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// stepsEvery bounds how often a starting page is told of a pull.
const stepsEvery = 500 * time.Millisecond

// sharedImages brings images into the store that all members share. Without a keeper the
// unit itself gets a copy for its member.
type sharedImages struct {
	keeper *imagekeeper.Client
	log    *slog.Logger
}

// Ensure returns when the image of a profile is there.
func (s sharedImages) Ensure(ctx context.Context, profile string, step func(string)) error {
	sum := newPullSum(step)
	err := s.keeper.Ensure(ctx, profile, sum.add)
	var failed *imagekeeper.Error
	switch {
	case err == nil, ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, imagekeeper.ErrUnreachable):
		s.log.Warn("the image keeper does not answer; the member gets a copy of the image", "event",
			"images-unreachable", "profile", profile, "error", err.Error())
		return nil
	case errors.As(err, &failed) && failed.Hint != "":
		return fmt.Errorf("%s\nhint: %s", failed.Message, failed.Hint)
	}
	return err
}

// pullSum turns the steps of all layers into a line now and then.
type pullSum struct {
	step func(string)

	mu             sync.Mutex // guards all below
	current, total map[string]int64
	message        string
	last           time.Time
}

func newPullSum(step func(string)) *pullSum {
	return &pullSum{step: step, current: map[string]int64{}, total: map[string]int64{}}
}

func (s *pullSum) add(p imagekeeper.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Done {
		return // what was there already is not worth a line
	}
	if p.Layer == "" {
		s.message = p.Message
		s.step(p.Message)
		return
	}
	if p.Total > 0 {
		s.current[p.Layer], s.total[p.Layer] = p.Current, p.Total
	}
	var current, total int64
	for layer, n := range s.total {
		current, total = current+s.current[layer], total+n
	}
	if total > 0 && time.Since(s.last) >= stepsEvery {
		s.last = time.Now()
		s.step(fmt.Sprintf("%s: %d of %d MB", s.message, current>>20, total>>20))
	}
}
