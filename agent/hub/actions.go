package hub

import (
	"context"
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// act makes what pages, API and commands do.
func (h *instance) act() (err error) {
	cfg := actions.Config{
		Records: h.store, Authority: h.authority, Servers: h.servers, Services: h.services,
		NamedServers: h.cfg.Servers.Named, TokenLife: h.cfg.Tokens.DefaultLife, MaxTokenLife: h.cfg.Tokens.MaxLife,
		HasPersistent: h.hasPersistent, EndSessions: h.endSessions, Background: h.long.run, Shutdown: h.end,
		RequestID: httpx.ContextRequestID, Log: h.log,
	}
	if h.culler != nil {
		cfg.Postpone = h.culler.Keep
	}
	h.actions, err = actions.New(cfg)
	return err
}

// hasPersistent reports whether a persistent container of a server exists.
func (h *instance) hasPersistent(ctx context.Context, key ident.Key) (bool, error) {
	all, err := h.launcher.Persistent(ctx)
	return slices.ContainsFunc(all, func(c backend.PersistentContainer) bool { return c.Key == key }), err
}

// endSessions signs a user out everywhere who is deleted.
func (h *instance) endSessions(ctx context.Context, u ident.User) error {
	_, err := h.login.EndSessionsOf(ctx, u, "deleted")
	return err
}
