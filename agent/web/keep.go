package web

import (
	"net/http"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/cull"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/login"
)

// culler knows which servers will be stopped because nobody uses them.
type culler interface {
	Notice(key ident.Key) (cull.Notice, bool)
	Keep(key ident.Key)
}

// endView is a server's announced end.
type endView struct {
	At   time.Time
	In   time.Duration
	Idle bool   // it can be kept; otherwise it has run for too long
	Keep string // URL path that takes a POST
}

// Clock is the time of day on the hub's host.
func (e endView) Clock() string { return e.At.Local().Format("15:04") }

// Left says how long there is still, for people.
func (e endView) Left() string { return age(e.In) }

// end gives the announced end of one's own server, nil for none.
func (s *Web) end(key ident.Key) *endView {
	if s.cfg.Cull == nil {
		return nil
	}
	n, ok := s.cfg.Cull.Notice(key)
	if !ok {
		return nil
	}
	return &endView{At: n.At, In: n.At.Sub(s.cfg.Now()), Idle: n.Reason == cull.ReasonIdle, Keep: s.hub + "keep"}
}

// keep is POST hub/keep: one's own server counts as used now.
func (s *Web) keep(m login.Member, w http.ResponseWriter, r *http.Request) error {
	key, err := s.target(m, r)
	if err != nil {
		return err
	}
	if s.cfg.Cull != nil {
		s.cfg.Cull.Keep(key)
	}
	redirect(w, http.StatusSeeOther, s.hub+"home")
	return nil
}
