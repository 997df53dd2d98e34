package web

import (
	"net/http"
	"net/url"

	"github.com/gifford-lab/gifford-hub/agent/hub/oauth"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
)

// confirmBody asks whether a server or a service may learn who the user is.
type confirmBody struct {
	Owner   string // of the server; "" for a service
	Server  string // URL path of the server or service; "" for a service without pages
	Service string
	Scopes  []scopes.Description
}

// Confirm answers with the page that asks whether somebody else's server, or a service, may learn who the user is, and
// which scopes a service gets. Its form posts to the same URL. The caller must have checked that the user is signed in
// and may use the client.
func (s *Web) Confirm(w http.ResponseWriter, r *http.Request, q oauth.Question) error {
	m, err := s.cfg.Access.Browser(r)
	if err != nil {
		return err
	}
	body := confirmBody{Server: q.Client.Path, Service: q.Client.Service, Scopes: q.Scopes}
	title := "Sign in to " + body.Service + "?"
	if k := q.Client.Server; k != nil {
		body.Owner = k.User.String()
		title = "Open " + body.Owner + "'s server?"
	}
	p := page{Name: "confirm", Title: title, Member: m, Body: body}
	if to, err := url.Parse(q.Client.Redirect); err == nil && to.Host != "" {
		p.FormTo = []string{to.Scheme + "://" + to.Host} // browsers hold redirects of a form to its policy
	}
	s.render(w, r, http.StatusOK, p)
	return nil
}
