package web

import (
	"fmt"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// refreshQueue is the time in seconds after which the page of a queued start loads itself again.
const refreshQueue = 5

// queueView is the position of a start in the queue for devices.
type queueView struct {
	Position string // "2nd of 3 in the queue"; "" while it is not known
	Asked    time.Time
	Estimate string // of the time until its turn, for people; "" when there is none
	Rows     []gpuRow
}

// queued returns the position of a server's start in the queue; nil for one that is not queued.
func (s *Web) queued(m access.Subject, key ident.Key, profiles []backend.Profile) *queueView {
	w, ok := s.cfg.Servers.Queue(key)
	if !ok {
		return nil
	}
	v := &queueView{Asked: w.Since, Rows: gpuRows(m, w.Devices, profiles)}
	if w.Position > 0 {
		v.Position = fmt.Sprintf("%s of %d in the queue", servers.Ordinal(w.Position), w.Of)
	}
	if w.Estimate > 0 {
		v.Estimate = about(w.Estimate)
	}
	return v
}
