package web

import (
	"fmt"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// refreshLine is how often the page of a start in the line is loaded again, in seconds.
const refreshLine = 5

// lineView is how a start stands in the line for devices.
type lineView struct {
	Place    string // "2nd of 3 in line"; "" when that is not known yet
	Asked    time.Time
	Estimate string // for people; "" when nobody can tell
	Rows     []gpuRow
}

// line reports how a server's start stands in the line; nil for one that is not in it.
func (s *Web) line(m access.Subject, key ident.Key, profiles []backend.Profile) *lineView {
	w, ok := s.cfg.Servers.Waits(key)
	if !ok {
		return nil
	}
	v := &lineView{Asked: w.Asked, Rows: s.gpuRows(m, backend.GPUs{Devices: w.Devices}, profiles)}
	if w.Place > 0 {
		v.Place = fmt.Sprintf("%s of %d in line", servers.Ordinal(w.Place), w.Of)
	}
	if w.Estimate > 0 {
		v.Estimate = about(w.Estimate)
	}
	return v
}
