package web

import (
	"cmp"
	"net/http"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
)

// stopWait is how long a page waits for a stop. A longer one continues in the background.
const stopWait = 2 * time.Second

// stop is POST hub/stop/USER[/NAME]. The field next is where to go afterwards. It waits a moment, so that most people
// come back to a page that shows the server stopped.
func (s *Web) stop(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := pathKey(m, r)
	if err != nil {
		return err
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	if _, err = s.cfg.Actions.Stop(r.Context(), m, key, stopWait); err != nil {
		return inOurWords(err)
	}
	httpx.Redirect(w, http.StatusSeeOther, cmp.Or(safeNext(r.PostFormValue("next")), s.hub+"home"))
	return nil
}
