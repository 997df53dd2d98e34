package web

import (
	"context"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// kept returns what persistent profiles keep, by server. Without an answer the pages show
// no way to reset a server, and the log says why.
func (s *Web) kept(ctx context.Context) map[ident.Key][]backend.PersistentContainer {
	if s.cfg.Kept == nil {
		return nil
	}
	all, err := s.cfg.Kept(ctx)
	if err != nil {
		s.cfg.Log.Error("cannot read what is kept of servers", "event", "kept-unreadable", "error", err.Error())
	}
	by := map[ident.Key][]backend.PersistentContainer{}
	for _, k := range all {
		by[k.Key] = append(by[k.Key], k)
	}
	return by
}

// withKept adds to a view what is kept of the server and where it is reset.
func (s *Web) withKept(v serverView, kept map[ident.Key][]backend.PersistentContainer) serverView {
	for _, k := range kept[v.Key] {
		v.Outdated = v.Outdated || k.Outdated
		if v.MayStop && !v.State.Active() {
			v.Reset = s.act("reset", v.Key)
		}
	}
	return v
}
