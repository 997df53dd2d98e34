package web

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// usersAPage is how many users the administration shows at once.
const usersAPage = 50

// adminBody is the page of users.
type adminBody struct {
	Query  adminQuery
	Sorts  []sortChoice
	Total  int
	From   int // the number of the first user shown; 0 when there is none
	To     int
	Before string // URL paths of the pages around; "" for none
	After  string
	Here   string // URL path of this page
	Users  []userView
	MayAdd bool
	Add    addUsersForm
	Groups bool // the page of groups is there for the person
	Images bool // and that of images
	Hours  bool // and that of what users used
	GPUs   bool // and that of GPUs
	Disk   bool // the table has columns for what files take
	Low    []lowView
}

// addUsersForm makes users, as it was filled in when something is wrong.
type addUsersForm struct {
	Names   string
	Admin   bool
	Problem string
}

// adminQuery is which users are shown.
type adminQuery struct {
	Search string
	Sort   string // as store.UserQuery has it
	Active bool   // only those with a server that runs or is on its way
	Page   int    // from 0
}

// sortChoice is an order in which users are shown.
type sortChoice struct {
	Value, Label string
	Chosen       bool
}

// sorts are the orders, the default first.
var sorts = [...]struct{ value, label string }{{"name", "Name"}, {"-last_activity", "Last active first"},
	{"last_activity", "Longest not active first"}, {"-id", "Newest first"}}

// userView is a user as the page shows it.
type userView struct {
	Name         string
	DisplayName  string
	Admin        bool
	LastActivity time.Time
	Groups       []string
	Servers      []serverView
	DiskUse      *diskUseView
	MayMark      bool   // make and unmake an administrator
	Delete       string // URL path of the page that asks; "" where it is not allowed
}

// adminPage is hub/admin: users with their servers and groups, as far as the person's
// scopes show them.
func (s *Web) adminPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	return s.renderAdmin(m, w, r, http.StatusOK, addUsersForm{})
}

func (s *Web) renderAdmin(m access.Subject, w http.ResponseWriter, r *http.Request, status int, add addUsersForm) error {
	q := readQuery(r.URL.Query())
	found, total, err := s.findUsers(r.Context(), m, q)
	if err != nil {
		return err
	}
	body := adminBody{Query: q, Total: total, Here: s.adminURL(q), MayAdd: m.Everywhere(scopes.AdminUsers),
		Add: add, Groups: m.Has(scopes.ListGroups),
		Images: m.Admin(), Hours: m.Admin(), GPUs: m.Admin() && s.anyGPUs(r.Context()), Disk: s.cfg.Disk != nil,
		Low: s.low(m)}
	for _, o := range sorts {
		body.Sorts = append(body.Sorts, sortChoice{o.value, o.label, o.value == q.Sort})
	}
	if len(found) > 0 {
		body.From, body.To = q.Page*usersAPage+1, q.Page*usersAPage+len(found)
	}
	if q.Page > 0 {
		body.Before = s.adminURL(q.at(q.Page - 1))
	}
	if body.To > 0 && body.To < total {
		body.After = s.adminURL(q.at(q.Page + 1))
	}
	profiles, _ := s.profiles(r.Context())
	images := s.runningImages(r.Context())
	persistent := s.persistentOf(r.Context(), s.cfg.Servers.List())
	for _, u := range found {
		v, err := s.userView(r.Context(), m, u, profiles, images, body.Here)
		if err != nil {
			return err
		}
		for i := range v.Servers {
			v.Servers[i] = s.withPersistent(v.Servers[i], persistent)
		}
		body.Users = append(body.Users, v)
	}
	s.render(w, r, status, page{Name: "admin", Title: "Users", Member: m, Wide: true, Body: body})
	return nil
}

// maxPage keeps offsets within what a database counts.
const maxPage = 1 << 20

func readQuery(args url.Values) adminQuery {
	q := adminQuery{Search: args.Get("q"), Sort: sorts[0].value, Active: args.Get("state") == "active"}
	for _, o := range sorts {
		if args.Get("sort") == o.value {
			q.Sort = o.value
		}
	}
	if n, err := strconv.Atoi(args.Get("page")); err == nil && n > 0 && n < maxPage {
		q.Page = n
	}
	return q
}

func (q adminQuery) at(page int) adminQuery { q.Page = page; return q }

// adminURL is the URL path of the page that shows what q selects.
func (s *Web) adminURL(q adminQuery) string {
	args := url.Values{}
	if q.Search != "" {
		args.Set("q", q.Search)
	}
	if q.Sort != sorts[0].value {
		args.Set("sort", q.Sort)
	}
	if q.Active {
		args.Set("state", "active")
	}
	if q.Page > 0 {
		args.Set("page", strconv.Itoa(q.Page))
	}
	if len(args) == 0 {
		return s.hub + "admin"
	}
	return s.hub + "admin?" + args.Encode()
}

// findUsers returns a page of the users whom the person may list.
func (s *Web) findUsers(ctx context.Context, m access.Subject, q adminQuery) ([]store.User, int, error) {
	query := store.UserQuery{NameFilter: q.Search, Sort: q.Sort, Offset: q.Page * usersAPage, Limit: usersAPage}
	if reach := m.Reach(scopes.ListUsers); !reach.All {
		query.Only = append([]ident.User{}, reach.Users...)
		for _, g := range reach.Groups {
			members, err := s.cfg.Store.Members(ctx, g)
			if err != nil {
				return nil, 0, err
			}
			query.Only = append(query.Only, members...)
		}
	}
	if q.Active {
		active := []ident.User{}
		for _, srv := range s.cfg.Servers.List() {
			if u := srv.Key.User; srv.State.Active() && m.MayServer(srv.Key, scopes.ReadServers) &&
				(query.Only == nil || slices.Contains(query.Only, u)) {
				active = append(active, u)
			}
		}
		query.Only = active
	}
	return s.cfg.Store.FindUsers(ctx, query)
}

// userView shows a user, without what the person's scopes hide.
func (s *Web) userView(ctx context.Context, m access.Subject, u store.User, profiles []backend.Profile,
	images backend.Images, back string) (userView, error) {
	v := userView{Name: u.Name.String(), DisplayName: u.DisplayName, Admin: u.Admin, MayMark: s.mayMark(m, u.Name),
		DiskUse: s.diskUseOf(m, u.Name)}
	if m.MayUser(u.Name, scopes.ReadUsersActivity) {
		v.LastActivity = u.LastActivity
	}
	if mayDelete(m, u) {
		v.Delete = s.hub + "admin/delete-user?" + url.Values{"user": {v.Name}}.Encode()
	}
	var err error
	if m.MayUser(u.Name, scopes.ReadUsersGroups) {
		if v.Groups, err = s.cfg.Store.GroupsOf(ctx, u.Name); err != nil {
			return v, err
		}
	}
	named, titles, err := s.named(ctx, u.Name)
	if err != nil {
		return v, err
	}
	for _, srv := range append([]servers.Server{s.cfg.Servers.Get(ident.Key{User: u.Name})}, named...) {
		if m.MayServer(srv.Key, scopes.ReadServers) {
			sv := s.view(m, srv, profiles)
			sv.Title, sv.Back, sv.Older = cmp.Or(titles[srv.Key], sv.Name), back, older(srv, images, profiles)
			v.Servers = append(v.Servers, sv)
		}
	}
	return v, nil
}

// mayMark reports whether the person may make the user an administrator or end that. It is
// for administrators alone, and never for oneself: somebody must be left who can undo it.
func (s *Web) mayMark(m access.Subject, u ident.User) bool {
	return m.Admin() && u != m.User && m.MayUser(u, scopes.AdminUsers)
}

// mayDelete reports whether the person may delete the user: never oneself, and an
// administrator only as one (JupyterHub's apihandlers/users.py).
func mayDelete(m access.Subject, u store.User) bool {
	return u.Name != m.User && (m.Admin() || !u.Admin) && m.MayUser(u.Name, scopes.DeleteUsers)
}

// back is where an administrator's form leads, the page that it stood on.
func (s *Web) back(r *http.Request) string {
	return cmp.Or(safeNext(r.PostFormValue("next")), s.hub+"admin")
}
