package web

import (
	"net/http"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// openBody asks whether to open somebody else's server.
type openBody struct {
	Owner  string
	Server string // URL path
	Action string // URL path that takes the POST
	Next   string // URL path on the server, with its query
}

// askToOpen answers with the page that asks whether to open another's server.
func (s *Web) askToOpen(m access.Subject, w http.ResponseWriter, r *http.Request, key ident.Key, next string) error {
	p := page{Name: "open", Title: "Open " + key.User.String() + "'s server?", Member: m}
	if s.cfg.Origins.Separate() {
		p.FormTo = []string{s.cfg.Origins.Server(key.User)} // browsers hold redirects of a form to its policy
	}
	p.Body = openBody{Owner: key.User.String(), Server: s.prefix(key), Action: s.act("open", key), Next: safeNext(next)}
	s.render(w, r, http.StatusOK, p)
	return nil
}

// agree is POST hub/open/USER[/SERVER]: the answer to askToOpen. The field next is where on the server to go.
func (s *Web) agree(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := s.existing(m, r, scopes.AccessServers)
	if err != nil {
		return err
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	if err := s.cfg.Actions.Agree(r.Context(), m, key); err != nil {
		return inOurWords(err)
	}
	rest, below := strings.CutPrefix(safeNext(r.PostFormValue("next")), s.prefix(key))
	if !below {
		rest = ""
	}
	httpx.Redirect(w, http.StatusSeeOther, s.hubPath(key)+rest)
	return nil
}
