package operator

import (
	"net/http"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
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
