package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// stopWait is how long a stop is waited for before the page says that it goes on.
const stopWait = 2 * time.Second

// stop is POST hub/stop/USER[/NAME]: the field next is where to go afterwards. It waits a
// moment, so that most people come back to a page that shows the server stopped.
func (s *Web) stop(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := s.existing(m, r, scopes.DeleteServers)
	if err != nil {
		return err
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), stopWait)
	defer cancel()
	err = s.cfg.Servers.Stop(ctx, key)
	if errors.Is(err, servers.ErrNotActive) || errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		err = nil
	}
	s.audit(r, m, StopServer, key, err)
	if err != nil {
		return launcherError(err)
	}
	redirect(w, http.StatusSeeOther, cmp.Or(safeNext(r.PostFormValue("next")), s.hub+"home"))
	return nil
}
