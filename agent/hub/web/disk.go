package web

import (
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/disk"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// disks knows how much space users' files take and which file systems are nearly full.
type disks interface {
	Of(user ident.User) (backend.DiskUse, bool)
	Places() []disk.Place
	LowFor(user ident.User) []disk.Place
}

// diskUseView is the space that a user's files took when they were last measured.
type diskUseView struct {
	Home       string // for people
	Containers string
	Unread     bool // some files could not be read and are not counted
	Measured   time.Time
}

// lowView is a file system on which little space is left.
type lowView struct{ Path, Free, Total string }

// size is disk.Size with a space at which no line breaks, for narrow columns.
func size(bytes int64) string { return strings.ReplaceAll(disk.Size(bytes), " ", "\u00a0") }

// diskUse returns nil where nothing was measured.
func (s *Web) diskUse(user ident.User) *diskUseView {
	if s.cfg.Disk == nil {
		return nil
	}
	u, ok := s.cfg.Disk.Of(user)
	if !ok {
		return nil
	}
	return &diskUseView{Home: size(u.Home.Bytes), Containers: size(u.Storage.Bytes),
		Unread: u.Home.Unread+u.Storage.Unread > 0, Measured: u.Measured}
}

// diskUseOf is diskUse for m, who must have the right to see the user's activity.
func (s *Web) diskUseOf(m access.Subject, user ident.User) *diskUseView {
	if !m.MayUser(user, scopes.ReadUsersActivity) {
		return nil
	}
	return s.diskUse(user)
}

// lowFor returns the file systems of which a user is warned on the home page.
func (s *Web) lowFor(user ident.User) []lowView {
	if s.cfg.Disk == nil {
		return nil
	}
	return lowViews(s.cfg.Disk.LowFor(user))
}

// low returns the file systems of which administrators are warned.
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
