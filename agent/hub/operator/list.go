package operator

import (
	"context"
	"net/http"
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

// list sends all servers.
func (o *Operator) list(w http.ResponseWriter, r *http.Request) error {
	all := []control.Server{}
	age := func(servers.Server) string { return "" } // "older", "current" or unknown
	if o.cfg.Older != nil {
		age = words(o.cfg.Older(r.Context()))
	}
	outdated := o.outdated(r.Context())
	for _, s := range o.cfg.Servers.List() {
		all = append(all, control.Server{User: s.Key.User, Server: s.Key.Server, State: string(s.State),
			Profile: s.Profile,
			Since:   s.Since, URL: o.cfg.URL(s.Key), Unit: s.Name, LastActivity: s.LastActivity,
			Outdated: outdated(s), Image: age(s)})
	}
	answer(w, http.StatusOK, all)
	return nil
}

// words returns the function that says which image a server has, "" where that is not known.
func words(older func(servers.Server) (older, known bool)) func(servers.Server) string {
	return func(s servers.Server) string {
		switch is, known := older(s); {
		case !known:
			return ""
		case is:
			return "older"
		default:
			return "current"
		}
	}
}

// outdated returns the function that reports whether a server runs in a persistent container that was made of other
// settings than its profile has now. Without the launcher's answer it reports none.
func (o *Operator) outdated(ctx context.Context) func(servers.Server) bool {
	all, err := o.cfg.Persistent(ctx)
	if err != nil {
		o.cfg.Log.Warn("cannot read the persistent containers", "event", "persistent-unreadable", "error", err.Error())
	}
	return func(s servers.Server) bool {
		return slices.ContainsFunc(all, func(c backend.PersistentContainer) bool {
			return c.Key == s.Key && c.Profile == s.Profile && c.Outdated
		})
	}
}
