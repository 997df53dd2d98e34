package web

import (
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/disk"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// disks knows what users' files take and which file systems are nearly full.
type disks interface {
	Of(user ident.User) (backend.DiskUse, bool)
	Places() []disk.Place
	LowFor(user ident.User) []disk.Place
}

// usageView is what a user's files took when they were last measured.
type usageView struct {
	Home       string // for people
	Containers string
	Unread     bool // there is more that could not be looked at
	Measured   time.Time
}

// lowView is a file system on which little space is left.
type lowView struct{ Path, Free, Total string }

// usage returns nil where nothing was measured.
func (s *Web) usage(user ident.User) *usageView {
	if s.cfg.Disk == nil {
		return nil
	}
	u, ok := s.cfg.Disk.Of(user)
	if !ok {
		return nil
	}
	return &usageView{size(u.Home.Bytes), size(u.Storage.Bytes), u.Home.Unread+u.Storage.Unread > 0, u.Measured}
}

// usageOf returns a user's usage to who may see what that user does.
func (s *Web) usageOf(m access.Subject, user ident.User) *usageView {
	if !m.MayUser(user, scopes.ReadUsersActivity) {
		return nil
	}
	return s.usage(user)
}

// lowFor returns what a user is warned of on the home page.
func (s *Web) lowFor(user ident.User) []lowView {
	if s.cfg.Disk == nil {
		return nil
	}
	return lowViews(s.cfg.Disk.LowFor(user))
}

// low returns what administrators are warned of.
func (s *Web) low(m access.Subject) []lowView {
	if s.cfg.Disk == nil || !m.Admin() {
		return nil
	}
	return lowViews(s.cfg.Disk.Places())
}

func lowViews(places []disk.Place) []lowView {
	var all []lowView
	for _, p := range places {
		if p.Low {
			all = append(all, lowView{p.Path, size(p.Free), size(p.Total)})
		}
	}
	return all
}
