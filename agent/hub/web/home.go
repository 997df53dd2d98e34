package web

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// homeBody is the home page.
type homeBody struct {
	Own      serverView
	Start    startForm
	Named    []serverView // one's own servers with names
	Add      *addForm     // nil where there are none
	Shared   []serverView // others' that one may open by a share
	Services []serviceLink
	Usage    *usageView // nil when nothing was measured
	Low      []lowView
	GPUs     *gpusView // nil where there is none
}

// serviceLink is a service with pages.
type serviceLink struct{ Name, URL string }

// root sends people to where they go who asked for nothing else.
func (s *Web) root(_ access.Subject, w http.ResponseWriter, _ *http.Request) error {
	target := s.hub + "home"
	if s.cfg.RedirectToServer {
		target = s.hub + "spawn" // goes on to the server at once if it runs
	}
	redirect(w, http.StatusFound, target)
	return nil
}

// home shows one's own servers, what was shared with one, and the services.
func (s *Web) home(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	return s.renderHome(m, w, r, http.StatusOK, addForm{})
}

func (s *Web) renderHome(m access.Subject, w http.ResponseWriter, r *http.Request, status int, add addForm) error {
	profiles, warning := s.profiles(r.Context())
	images := s.runningImages(r.Context())
	srv := s.cfg.Servers.Get(ident.Key{User: m.User})
	kept := s.kept(r.Context())
	body := homeBody{Own: s.withKept(s.view(m, srv, profiles), kept),
		Start: s.startForm(s.hub+"spawn", "", srv, srv.Profile, profiles, warning), Services: s.links(m),
		Usage: s.usage(m.User), Low: s.lowFor(m.User)}
	body.Own.Older = older(srv, images, profiles)
	var holds func(ident.Key) []string
	body.GPUs, holds = s.gpusFor(r.Context(), m, profiles)
	body.Own.GPUs = holds(srv.Key)
	named, titles, err := s.named(r.Context(), m.User)
	if err != nil {
		return err
	}
	for _, srv := range named {
		v := s.withKept(s.view(m, srv, profiles), kept)
		v.Title, v.Older, v.GPUs = orElse(titles[srv.Key], v.Name), older(srv, images, profiles), holds(srv.Key)
		body.Named = append(body.Named, v)
	}
	if s.cfg.NamedServers != 0 && body.Own.MayStart {
		if add.Left, err = s.left(r.Context(), m.User); err != nil {
			return err
		}
		body.Add = &add
	}
	if body.Shared, err = s.shared(r.Context(), m, profiles); err != nil {
		return err
	}
	p := page{Name: "home", Title: "Home", Member: m, Wide: len(body.Named)+len(body.Shared) > 0, Body: body}
	// A page that loads itself again would take away what is being written into its form.
	if body.Add == nil && slices.ContainsFunc(append(named, srv), onItsWay) {
		p.Refresh = refreshHome
	}
	s.render(w, r, status, p)
	return nil
}

func onItsWay(srv servers.Server) bool { return srv.State.Pending() || srv.State == servers.Stopping }

// shared gives others' servers that the person may open because they were shared.
func (s *Web) shared(ctx context.Context, m access.Subject, profiles []backend.Profile) ([]serverView, error) {
	shares, err := s.cfg.Store.SharesFor(ctx, m.User, m.Groups)
	if err != nil {
		return nil, err
	}
	var all []serverView
	seen := map[ident.Key]bool{}
	for _, v := range shares {
		if seen[v.Key] || v.Key.User == m.User || !m.MayServer(v.Key, scopes.AccessServers) {
			continue
		}
		seen[v.Key] = true
		all = append(all, s.view(m, s.cfg.Servers.Get(v.Key), profiles))
	}
	slices.SortFunc(all, func(x, y serverView) int { return strings.Compare(x.Key.String(), y.Key.String()) })
	return all, nil
}

// links returns the services that are shown to the person: those with pages, and of those
// that ask who comes the ones that let them in.
func (s *Web) links(m access.Subject) []serviceLink {
	var all []serviceLink
	for _, v := range s.cfg.Services() {
		if v.Display && v.Prefix != "" && (v.ClientID == "" || m.MayService(v.Name, scopes.AccessServices)) {
			all = append(all, serviceLink{v.Name, v.Prefix})
		}
	}
	return all
}
