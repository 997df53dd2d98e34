package web

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/url"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/xsrf"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// serverBody is a page about one server.
type serverBody struct {
	Server   serverView
	Start    startForm
	Next     string // URL path to go to when the server is ready
	Progress string // URL path of the stream of events; "" for people who may not read it
	Asked    string // the path that was asked for, when the server does not run
}

// refreshHome is the time in seconds after which a page without JavaScript loads itself again while a server changes.
const refreshHome = 3

// pending shows how a start goes, and why it failed. Somebody who may open a server but not read its progress gets a
// page that loads itself again.
func (s *Web) pending(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := s.existing(m, r, scopes.ReadServers, scopes.AccessServers)
	if err != nil {
		return err
	}
	next := safeNext(r.URL.Query().Get("next"))
	switch srv := s.cfg.Servers.Get(key); {
	case srv.State == servers.Ready && !m.MayServer(key, scopes.AccessServers):
		httpx.Redirect(w, http.StatusSeeOther, s.hub+"home")
		return nil
	case srv.State == servers.Ready:
		s.open(w, key, next)
		return nil
	case srv.State == servers.Stopped:
		return s.notRunning(m, w, r, srv, next)
	default:
		p, status := s.pendingPage(r.Context(), m, srv, next)
		s.render(w, r, status, p)
		return nil
	}
}

// pendingPage is the page of a server between two states, or of one that has failed.
func (s *Web) pendingPage(ctx context.Context, m access.Subject, srv servers.Server, next string) (p page, status int) {
	key := srv.Key
	profiles, warning := s.profiles(ctx)
	body := serverBody{Server: s.view(m, srv, profiles), Next: cmp.Or(next, s.prefix(key)),
		Start: s.startForm(s.spawnURL(key), next, srv, srv.Profile, profiles, warning)}
	if m.MayServer(key, scopes.ReadServers) {
		body.Progress = s.streamURL(m, s.progressPath(key), nil)
	}
	p, status = page{Name: "starting", Title: "Starting " + whose(m, key), Member: m, Refresh: refreshHome,
		NoJS: body.Progress != "", Body: body}, http.StatusOK
	switch srv.State {
	case servers.Queued:
		p.Name, p.Title, p.Refresh, p.NoJS, p.Wide = "queued", capital(whose(m, key))+" waits for a GPU", refreshQueue,
			false, true
	case servers.Stopping:
		p.Name, p.Title, p.NoJS = "stopping", "Stopping "+whose(m, key), false
	case servers.Failed:
		p.Name, p.Title, p.Refresh, status = "spawn", "The start failed", 0, http.StatusInternalServerError
	}
	return p, status
}

// notRunning is the page in place of a server that does not run. JupyterLab knows its status, 424, from JupyterHub.
func (s *Web) notRunning(m access.Subject, w http.ResponseWriter, r *http.Request, srv servers.Server,
	next string) error {
	profiles, warning := s.profiles(r.Context())
	s.render(w, r, http.StatusFailedDependency, page{Name: "notrunning",
		Title: capital(whose(m, srv.Key)) + " does not run", Member: m, Body: serverBody{
			Server: s.view(m, srv, profiles), Asked: next,
			Start: s.startForm(s.spawnURL(srv.Key), next, srv, srv.Profile, profiles, warning)}})
	return nil
}

// pendingURL is the URL path of the page of a start, which goes on to next.
func (s *Web) pendingURL(key ident.Key, next string) string {
	target := s.act("spawn-pending", key)
	if next != "" {
		target += "?" + url.Values{"next": {next}}.Encode()
	}
	return target
}

// streamURL is the URL of a stream of events for a page that a browser shows now: it has a token that expires soon.
func (s *Web) streamURL(m access.Subject, path string, q url.Values) string {
	with := url.Values{xsrf.Field: {s.cfg.Tokens.ForStream(m.SessionID, path)}}
	maps.Copy(with, q)
	return path + "?" + with.Encode()
}

// progressPath is the URL path of the API's stream of a start's steps.
func (s *Web) progressPath(key ident.Key) string {
	user := s.hub + "api/users/" + key.User.String()
	if key.Server.IsDefault() {
		return user + "/server/progress"
	}
	return user + "/servers/" + key.Server.String() + "/progress"
}

func (s *Web) spawnURL(key ident.Key) string { return s.act("spawn", key) }
