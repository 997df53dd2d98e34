// Package sharedimages brings a profile's image into the store that all members share before a server starts. It must
// never refuse a start because the image keeper does not answer: the unit then gets a copy for its member.
package sharedimages

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

// keeper pulls images (agent/wire/imagekeeper).
type keeper interface {
	Ensure(ctx context.Context, profile string, step func(imagekeeper.Progress)) error
}

// Images asks the image keeper for images. Make it with New.
type Images struct {
	keeper keeper
	log    *slog.Logger
}

// New makes Images over an image keeper.
func New(k keeper, log *slog.Logger) Images { return Images{k, log} }

// Ensure returns when the image of a profile is available. It calls step with a line of text at most twice a second
// while a pull goes on. It returns no error when the keeper cannot be reached, and the context's when that has ended.
func (i Images) Ensure(ctx context.Context, profile string, step func(string)) error {
	err := i.keeper.Ensure(ctx, profile, newPullSum(step).add)
	switch {
	case err == nil, ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, imagekeeper.ErrUnreachable):
		i.log.Warn("the image keeper does not answer; the member gets a copy of the image", "event",
			"images-unreachable", "profile", profile, "error", err.Error())
		return nil
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
