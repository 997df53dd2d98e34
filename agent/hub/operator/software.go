package operator

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

// shell writes an administrator's shell into the hub's log, where its other entries about
// that server are: "journalctl -u gifford-hub JUPYTER_USER=alice". The command asks before
// it opens the shell, so that none goes without an entry.
func (o *Operator) shell(w http.ResponseWriter, r *http.Request) error {
	var req control.Shell
	if err := decode(w, r, &req); err != nil {
		return err
	}
	key := ident.Key{User: req.User, Server: req.Server}
	fields := []any{"user", req.User.String(), "server", req.Server.String(), "who", req.Who, "root", req.Root,
		"command", strings.Join(req.Command, " ")}
	if req.Ended {
		o.cfg.Log.Info("administrator's shell in a server has ended",
			append(fields, "event", "servers-shell-end", "status", req.Status)...)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if !o.cfg.Servers.Get(key).State.Active() {
		return &httpx.Error{Status: http.StatusNotFound, Public: "server " + key.String() + " does not run",
			Hint: "gifford-hub servers start " + key.String()}
	}
	o.cfg.Log.Warn("administrator opens a shell in a server", append(fields, "event", "servers-shell")...)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// reset removes what a persistent profile has kept of a server.
func (o *Operator) reset(w http.ResponseWriter, r *http.Request) error {
	var req control.ResetRequest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	key := ident.Key{User: req.User, Server: req.Server}
	if req.Stop {
		if err := o.cfg.Servers.Stop(r.Context(), key); err != nil && !errors.Is(err, servers.ErrNotActive) {
			return err
		}
	}
	err := o.cfg.Servers.Reset(r.Context(), key)
	if errors.Is(err, servers.ErrActive) {
		return &httpx.Error{Status: http.StatusConflict, Public: "cannot reset server " + key.String() +
			": it is not stopped", Hint: "gifford-hub servers reset --stop " + key.String()}
	} else if errors.Is(err, servers.ErrNothingKept) {
		return httpx.Fail(http.StatusNotFound, "nothing is kept of server %s", key)
	} else if err != nil {
		return &httpx.Error{Status: http.StatusConflict, Public: "cannot reset server " + key.String(), Cause: err}
	}
	o.cfg.Log.Info("administrator reset a server", "event", "operator-reset", "user", req.User.String(), "server",
		req.Server.String())
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// outdated reports whether a server runs in a kept container whose profile says something
// else by now. Without the launcher's answer nothing is said of it.
func (o *Operator) outdated(ctx context.Context) func(servers.Server) bool {
	kept, err := o.cfg.Kept(ctx)
	if err != nil {
		o.cfg.Log.Warn("cannot read what is kept of servers", "event", "kept-unreadable", "error", err.Error())
	}
	return func(s servers.Server) bool {
		return slices.ContainsFunc(kept, func(k backend.PersistentContainer) bool {
			return k.Key == s.Key &&
				k.Profile == s.Profile && k.Outdated
		})
	}
}
