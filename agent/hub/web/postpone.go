package web

import (
	"errors"
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// keep is POST hub/keep/USER[/NAME]: an idle server is not stopped yet, or an unused GPU
// not given back yet.
func (s *Web) keep(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := s.existing(m, r, scopes.StartServers)
	if err != nil {
		return err
	}
	if s.cfg.Keep == nil || s.cfg.Servers.Get(key).State != servers.Ready {
		return errNotFound()
	}
	err = s.cfg.Keep(key)
	s.audit(r, m, KeepServer, key, err)
	if errors.Is(err, cull.ErrKeptBefore) {
		return httpx.Fail(http.StatusConflict, "an unused GPU can be kept once, and that was done already; use the "+
			"GPU, or save your work")
	} else if err != nil {
		return err
	}
	redirect(w, http.StatusSeeOther, s.hub+"home")
	return nil
}
