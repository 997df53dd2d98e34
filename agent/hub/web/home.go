package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// homeBody is the home page.
type homeBody struct {
	Own      serverView
	Start    startForm
	Named    []serverView // one's own named servers
	Add      *addForm     // nil where none can be added
	Shared   []serverView // others' that one may open by a share
	Services []serviceLink
	DiskUse  *diskUseView // nil when nothing was measured
	Low      []lowView
	GPUs     *gpusView // nil where there are none
}

// serviceLink is a service with pages.
type serviceLink struct{ Name, URL string }

// homeFacts is what the home page shows and has to ask for.
type homeFacts struct {
	own    servers.Server // the default one
	named  []servers.Server
	titles map[ident.Key]string
	shared []servers.Server
	left   int // how many more named servers there may be; below 0: any number
	hostFacts
}

// root redirects from hub/ to where a person begins.
func (s *Web) root(_ access.Subject, w http.ResponseWriter, _ *http.Request) error {
	target := s.hub + "home"
	if s.cfg.RedirectToServer {
		target = s.hub + "spawn" // which redirects to a server that runs
	}
	httpx.Redirect(w, http.StatusFound, target)
	return nil
}

// home shows one's own servers, those that others have shared, and the services.
func (s *Web) home(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	return s.renderHome(m, w, r, http.StatusOK, addForm{})
}

func (s *Web) renderHome(m access.Subject, w http.ResponseWriter, r *http.Request, status int, add addForm) error {
	f, err := s.gatherHome(r.Context(), m)
	if err != nil {
		return err
	}
	body := s.homeBody(m, f, add)
	p := page{Name: "home", Title: "Home", Member: m, Wide: len(body.Named)+len(body.Shared) > 0, Body: body}
	// A page that loads itself again would take away what is being written into its form.
	if body.Add == nil && (changing(f.own) || slices.ContainsFunc(f.named, changing)) {
		p.Refresh = refreshHome
	}
	s.render(w, r, status, p)
	return nil
}

// changing reports whether a server leaves its state by itself soon.
func changing(srv servers.Server) bool { return srv.State.Pending() || srv.State == servers.Stopping }

// gatherHome asks for everything that the home page shows.
func (s *Web) gatherHome(ctx context.Context, m access.Subject) (f homeFacts, err error) {
	f.own = s.cfg.Servers.Get(ident.Key{User: m.User})
	if f.named, f.titles, err = s.named(ctx, m.User); err != nil {
		return f, err
	}
	if f.shared, err = s.shared(ctx, m); err != nil {
		return f, err
	}
	if f.left, err = s.left(ctx, m.User); err != nil {
		return f, err
	}
	f.hostFacts = s.askHost(ctx, append(f.named, f.own))
	return f, nil
}

// homeBody shows to m what was gathered.
func (s *Web) homeBody(m access.Subject, f homeFacts, add addForm) homeBody {
	body := homeBody{Own: s.fullView(m, f.own, f.hostFacts), Services: s.links(m), DiskUse: s.diskUse(m.User),
		Low: s.lowFor(m.User), GPUs: s.homeGPUs(m, f.hostFacts),
		Start: s.startForm(s.hub+"spawn", "", f.own, f.own.Profile, f.profiles, f.warning)}
	for _, srv := range f.named {
		v := s.fullView(m, srv, f.hostFacts)
		v.Title = cmp.Or(f.titles[srv.Key], v.Name)
		body.Named = append(body.Named, v)
	}
	for _, srv := range f.shared {
		body.Shared = append(body.Shared, s.view(m, srv, f.profiles))
	}
	if s.cfg.NamedServers != 0 && body.Own.MayStart {
		add.Left = f.left
		body.Add = &add
	}
	return body
}

// shared returns others' servers that m may open because they were shared, by name.
func (s *Web) shared(ctx context.Context, m access.Subject) ([]servers.Server, error) {
	shares, err := s.cfg.Records.SharesFor(ctx, m.User, m.Groups)
	if err != nil {
		return nil, err
	}
	var all []servers.Server
	seen := map[ident.Key]bool{}
	for _, v := range shares {
		if seen[v.Key] || v.Key.User == m.User || !m.MayServer(v.Key, scopes.AccessServers) {
			continue
		}
		seen[v.Key] = true
		all = append(all, s.cfg.Servers.Get(v.Key))
	}
	slices.SortFunc(all, func(x, y servers.Server) int { return strings.Compare(x.Key.String(), y.Key.String()) })
	return all, nil
}

// links returns the services that m is shown: those with pages, and of those that ask who comes only the ones that let
// m in.
func (s *Web) links(m access.Subject) []serviceLink {
	var all []serviceLink
	for _, v := range s.cfg.Services() {
		if v.Display && v.Prefix != "" && (v.ClientID == "" || m.MayService(v.Name, scopes.AccessServices)) {
			all = append(all, serviceLink{v.Name, v.Prefix})
		}
	}
	return all
}
