package web

import (
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
)

// postpone is POST hub/keep/USER[/NAME]. It postpones the announced end of an idle server, or the return of an unused
// GPU.
func (s *Web) postpone(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := pathKey(m, r)
	if err != nil {
		return err
	}
	err = s.cfg.Actions.Postpone(r.Context(), m, key)
	if reason(err) == actions.Postponed {
		return httpx.Fail(http.StatusConflict, "the return of an unused GPU can be postponed once, and it was; use "+
			"the "+
			"GPU, or save your work")
	}
	if err != nil {
		return inOurWords(err)
	}
	httpx.Redirect(w, http.StatusSeeOther, s.hub+"home")
	return nil
}
