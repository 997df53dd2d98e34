package login

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// atOnce is how many people are judged at the same time, so that one slow answer does not hold up all.
const atOnce = 4

// Run judges, again and again until ctx ends, the people whom present returns, such as the owners of running servers,
// and those who may not enter any more: the first without waiting for a request of theirs, the others so that their
// tokens work again.
func (s *Service) Run(ctx context.Context, present func() []ident.User) {
	tick := time.NewTicker(min(s.c.Recheck, retryCheck))
	defer tick.Stop()
	for {
		s.judgeAll(ctx, present())
		select {
		case <-ctx.Done():
			return
		case u := <-s.soon:
			_ = s.judgePerson(ctx, u) // it is logged
		case <-tick.C:
		}
	}
}

// judgeAll judges those who are due.
func (s *Service) judgeAll(ctx context.Context, people []ident.User) {
	departed, err := s.c.Store.Departed(ctx)
	if err != nil && ctx.Err() == nil {
		s.c.Log.Error("cannot read who may not enter any more", "event", "database-error", "error", err.Error())
	}
	for _, v := range departed {
		people = append(people, v.User)
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, u := range people {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			if s.personDue(u) {
				_ = s.judgePerson(ctx, u) // it is logged
			}
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
}
