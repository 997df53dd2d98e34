package web

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// adminBody is the page of users.
type adminBody struct {
	Query  adminQuery
	Sorts  []sortChoice
	Total  int
	From   int // the number of the first user shown; 0 when nobody is
	To     int
	Before string // URL paths of the pages before and after; "" for none
	After  string
	Here   string // URL path of this page
	Users  []userView
	MayAdd bool
	Add    addUsersForm
	Groups bool // link to the page of groups
	Images bool // and to that of images
	Hours  bool // and to that of accounting
	GPUs   bool // and to that of GPUs
	Disk   bool // show columns of disk use
	Low    []lowView
}

// addUsersForm makes users. It holds what was filled in where something is wrong with that.
type addUsersForm struct {
	Names   string
	Admin   bool
	Problem string
}

// userView is a user as the page shows it.
type userView struct {
	Name         string
	DisplayName  string
	Admin        bool
	Lost         string // why they may not use the hub any more; "" for one who may
	LostSince    time.Time
	LastActivity time.Time
	Groups       []string
	Servers      []serverView
	DiskUse      *diskUseView
	MayMark      bool   // make and unmake an administrator
	Delete       string // URL path of the page that asks; "" where it is not allowed
}

// adminPage is hub/admin. It shows users with their servers and groups, as far as m's scopes allow.
func (s *Web) adminPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	return s.renderAdmin(m, w, r, http.StatusOK, addUsersForm{})
}

func (s *Web) renderAdmin(m access.Subject, w http.ResponseWriter, r *http.Request, status int,
	add addUsersForm) error {
	q := readQuery(r.URL.Query())
	found, total, err := s.findUsers(r.Context(), m, q)
	if err != nil {
		return err
	}
	host := s.askHost(r.Context(), s.cfg.Servers.List())
	body := adminBody{Query: q, Sorts: sortChoices(q.Sort), Here: s.adminURL(q), Add: add,
		MayAdd: m.Everywhere(scopes.AdminUsers), Groups: m.Has(scopes.ListGroups), Images: m.Admin(), Hours: m.Admin(),
		GPUs: m.Admin() && s.anyGPUs(), Disk: s.cfg.Disk != nil, Low: s.low(m)}
	s.setRange(&body, len(found), total)
	for _, u := range found {
		v, err := s.userView(r.Context(), m, u, host, body.Here)
		if err != nil {
			return err
		}
		body.Users = append(body.Users, v)
	}
	s.render(w, r, status, page{Name: "admin", Title: "Users", Member: m, Wide: true, Body: body})
	return nil
}

// setRange sets which of the users a page shows, and the pages before and after.
func (s *Web) setRange(body *adminBody, shown, total int) {
	q := body.Query
	body.Total = total
	if shown > 0 {
		body.From, body.To = q.Page*usersAPage+1, q.Page*usersAPage+shown
	}
	if q.Page > 0 {
		body.Before = s.adminURL(q.at(q.Page - 1))
	}
	if body.To > 0 && body.To < total {
		body.After = s.adminURL(q.at(q.Page + 1))
	}
}

// findUsers returns a page of the users whom m may list, and how many there are in all.
func (s *Web) findUsers(ctx context.Context, m access.Subject, q adminQuery) ([]store.User, int, error) {
	query := store.UserQuery{NameFilter: q.Search, Sort: q.Sort, Offset: q.Page * usersAPage, Limit: usersAPage}
	if reach := m.Reach(scopes.ListUsers); !reach.All {
		query.Only = append([]ident.User{}, reach.Users...)
		for _, g := range reach.Groups {
			members, err := s.cfg.Records.Members(ctx, g)
			if err != nil {
				return nil, 0, err
			}
			query.Only = append(query.Only, members...)
		}
	}
	if q.Active {
		query.Only = s.activeUsers(m, query.Only)
	}
	return s.cfg.Records.FindUsers(ctx, query)
}

// activeUsers returns those of the users who have an active server that m may see; nil stands for all users. The result
// is never nil.
func (s *Web) activeUsers(m access.Subject, among []ident.User) []ident.User {
	active := []ident.User{}
	for _, srv := range s.cfg.Servers.List() {
		if u := srv.Key.User; srv.State.Active() && m.MayServer(srv.Key, scopes.ReadServers) &&
			(among == nil || slices.Contains(among, u)) {
			active = append(active, u)
		}
	}
	return active
}

// userView shows a user, without what m's scopes hide. back is where its forms lead.
func (s *Web) userView(ctx context.Context, m access.Subject, u store.User, host hostFacts, back string) (userView,
	error) {
	v := userView{Name: u.Name.String(), DisplayName: u.DisplayName, Admin: u.Admin, MayMark: mayMark(m, u.Name),
		DiskUse: s.diskUseOf(m, u.Name)}
	if m.MayUser(u.Name, scopes.ReadUsersActivity) {
		v.LastActivity = u.LastActivity
	}
	if mayDelete(m, u) {
		v.Delete = s.hub + "admin/delete-user?" + url.Values{"user": {v.Name}}.Encode()
	}
	standing, err := s.cfg.Records.StandingOf(ctx, u.Name)
	if err != nil {
		return v, err
	}
	if v.LostSince = standing.Lost; !v.LostSince.IsZero() {
		v.Lost = login.DeniedBy(standing).Error()
	}
	if m.MayUser(u.Name, scopes.ReadUsersGroups) {
		if v.Groups, err = s.cfg.Records.GroupsOf(ctx, u.Name); err != nil {
			return v, err
		}
	}
	v.Servers, err = s.serversOf(ctx, m, u.Name, host, back)
	return v, err
}

// serversOf shows a user's servers that m may see.
func (s *Web) serversOf(ctx context.Context, m access.Subject, u ident.User, host hostFacts, back string) ([]serverView,
	error) {
	named, titles, err := s.named(ctx, u)
	if err != nil {
		return nil, err
	}
	var all []serverView
	for _, srv := range append([]servers.Server{s.cfg.Servers.Get(ident.Key{User: u})}, named...) {
		if m.MayServer(srv.Key, scopes.ReadServers) {
			v := s.fullView(m, srv, host)
			v.Title, v.Back = cmp.Or(titles[srv.Key], v.Name), back
			all = append(all, v)
		}
	}
	return all, nil
}

// back is where a form of the administration leads: the page that has it.
func (s *Web) back(r *http.Request) string {
	return cmp.Or(safeNext(r.PostFormValue("next")), s.hub+"admin")
}
