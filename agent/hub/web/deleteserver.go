package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// deleteServer is POST hub/delete/USER/NAME. It forgets a stopped server with all that
// was shared of it; files are the user's and stay.
func (s *Web) deleteServer(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := s.existing(m, r, scopes.DeleteServers)
	if err != nil {
		return err
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	if key.Server.IsDefault() {
		return errNotFound()
	}
	if s.cfg.Servers.Get(key).State.Active() {
		return &httpx.Error{Status: http.StatusConflict, Public: "this server runs, so it cannot be deleted",
			Hint: "stop it first"}
	}
	_, known, err := s.record(r.Context(), key)
	if err == nil && !known {
		return errNotFound()
	}
	if err == nil {
		err = s.forget(r.Context(), key)
		s.persistent.forget()
	}
	s.audit(r, m, DeleteServer, key, err)
	if err != nil {
		return err
	}
	s.cfg.Log.Info("server deleted", "event", "server-deleted", "user", key.User.String(), "server",
		key.Server.String(), "by", m.User.String())
	redirect(w, http.StatusSeeOther, cmp.Or(safeNext(r.PostFormValue("next")), s.hub+"home"))
	return nil
}

// forget takes back what was shared first, so that nothing of a server outlives it when
// one of the same name is made.
func (s *Web) forget(ctx context.Context, key ident.Key) error {
	if err := s.cfg.Store.RevokeShares(ctx, key); err != nil {
		return err
	}
	if err := s.cfg.Store.DeleteShareCodes(ctx, key); err != nil {
		return err
	}
	if err := s.cfg.Servers.Reset(ctx, key); err != nil && !errors.Is(err, servers.ErrNoContainer) {
		return err
	}
	return s.cfg.Store.DeleteServer(ctx, key)
}
