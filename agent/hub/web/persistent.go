package web

import (
	"context"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// persistentWait is how long a page waits for the launcher's list of persistent containers.
const persistentWait = 5 * time.Second

// persistentContainers are the persistent containers of each server.
type persistentContainers map[ident.Key][]backend.PersistentContainer

// newPersistent remembers the launcher's list for the pages, which ask for it often. Without an answer they show no way
// to reset a server, and the log says why.
func newPersistent(c Config) *recent[persistentContainers] {
	failed := func(err error) {
		c.Log.Error("cannot list persistent containers", "event", "persistent-unreadable", "error", err.Error())
	}
	if c.Persistent == nil {
		return newRecent[persistentContainers](nil, 0, c.Now, failed)
	}
	return newRecent(func(ctx context.Context) (persistentContainers, error) {
		all, err := c.Persistent(ctx)
		byServer := persistentContainers{}
		for _, p := range all {
			byServer[p.Key] = append(byServer[p.Key], p)
		}
		return byServer, err
	}, persistentWait, c.Now, failed)
}

// persistentOf returns the persistent containers as they are since the last change of one of the servers, or fresher.
func (s *Web) persistentOf(ctx context.Context, shown []servers.Server) persistentContainers {
	var since time.Time
	for _, srv := range shown {
		if srv.Since.After(since) {
			since = srv.Since
		}
	}
	return s.persistent.get(ctx, since)
}

// withPersistent adds to a view the server's persistent containers and where it is reset.
func (s *Web) withPersistent(v serverView, all persistentContainers) serverView {
	for _, p := range all[v.Key] {
		v.Outdated = v.Outdated || p.Outdated
		if v.MayStop && !v.State.Active() {
			v.Reset = s.act("reset", v.Key)
		}
	}
	return v
}
