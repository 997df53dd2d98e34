package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/printable"
)

// groupsBody is the page of groups.
type groupsBody struct {
	Groups  []groupView
	MayAdd  bool
	Name    string // as it was filled in when something is wrong
	Problem string
}

// groupView is a group as the page shows it.
type groupView struct {
	Name      string
	Members   []string
	MayChange bool
	Delete    string // URL path of the page that asks; "" where it is not allowed
}

func (s *Web) auditGroup(r *http.Request, m access.Subject, a Action, group, detail string, err error) {
	s.cfg.Audit(r, Deed{Action: a, By: m.User, Group: group, Detail: detail, Err: err})
}

// groupsPage is hub/admin/groups: the groups that the person may list.
func (s *Web) groupsPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	return s.renderGroups(m, w, r, http.StatusOK, groupsBody{})
}

func (s *Web) renderGroups(m access.Subject, w http.ResponseWriter, r *http.Request, status int, body groupsBody) error {
	if !m.Has(scopes.ListGroups) {
		return errNotFound()
	}
	all, err := s.cfg.Store.Groups(r.Context())
	if err != nil {
		return err
	}
	for _, g := range all {
		if !m.MayGroup(g.Name, scopes.ListGroups) {
			continue
		}
		v := groupView{Name: g.Name, MayChange: m.MayGroup(g.Name, scopes.Groups)}
		if m.MayGroup(g.Name, scopes.ReadGroups) {
			for _, u := range g.Users {
				v.Members = append(v.Members, u.String())
			}
		}
		if m.MayGroup(g.Name, scopes.DeleteGroups) {
			v.Delete = s.hub + "admin/delete-group?" + url.Values{"group": {g.Name}}.Encode()
		}
		body.Groups = append(body.Groups, v)
	}
	body.MayAdd = m.Has(scopes.AdminGroups)
	s.render(w, r, status, page{Name: "groups", Title: "Groups", Member: m, Wide: true, Body: body})
	return nil
}

// addGroup is POST hub/admin/groups: the field group.
func (s *Web) addGroup(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	name := strings.TrimSpace(r.PostFormValue("group"))
	if !m.MayGroup(name, scopes.AdminGroups) {
		return errNotFound()
	}
	err := s.cfg.Store.CreateGroups(r.Context(), []store.Group{{Name: name}})
	s.auditGroup(r, m, AddGroup, name, "", err)
	var invalid *store.InvalidNameError
	if errors.Is(err, store.ErrExists) || errors.As(err, &invalid) {
		return s.renderGroups(m, w, r, http.StatusBadRequest, groupsBody{Name: name, Problem: err.Error()})
	}
	if err != nil {
		return err
	}
	redirect(w, http.StatusSeeOther, s.hub+"admin/groups")
	return nil
}

// groupOf returns the group that a request names, if there is one and the scope holds on it.
func (s *Web) groupOf(m access.Subject, r *http.Request, name, scope string) (store.Group, error) {
	g, err := s.cfg.Store.GroupByName(r.Context(), name)
	if errors.Is(err, store.ErrNotFound) || err == nil && !m.MayGroup(name, scope) {
		err = errNotFound()
	}
	return g, err
}

// changeMembers is POST hub/admin/members: the fields group, users (several names), and
// change ("add" or "remove"). Who is in a group by the settings or by sign-in comes back
// with these.
func (s *Web) changeMembers(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	g, err := s.groupOf(m, r, r.PostFormValue("group"), scopes.Groups)
	if err != nil {
		return err
	}
	var users []ident.User
	for _, name := range listed(r.PostFormValue("users")) {
		u, err := s.userOf(r, name)
		if err != nil && httpx.Public(err).Status == http.StatusNotFound {
			return s.renderGroups(m, w, r, http.StatusBadRequest,
				groupsBody{Problem: "there is no user " + printable.Text(name) + " in this hub: add the user first"})
		}
		if err != nil {
			return err
		}
		users = append(users, u.Name)
	}
	act, change := AddMembers, s.cfg.Store.AddToGroup
	switch r.PostFormValue("change") {
	case "add":
	case "remove":
		act, change = DropMembers, s.cfg.Store.RemoveFromGroup
	default:
		return httpx.Fail(http.StatusBadRequest, "the form does not say what to do")
	}
	err = change(r.Context(), g.Name, users)
	s.auditGroup(r, m, act, g.Name, names(users), err)
	if err != nil {
		return err
	}
	redirect(w, http.StatusSeeOther, s.hub+"admin/groups")
	return nil
}

// deleteGroupPage is hub/admin/delete-group?group=: it asks.
func (s *Web) deleteGroupPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	g, err := s.groupOf(m, r, r.URL.Query().Get("group"), scopes.DeleteGroups)
	if err != nil {
		return err
	}
	s.render(w, r, http.StatusOK, page{Name: "sure", Title: "Delete group " + printable.Text(g.Name) + "?", Member: m,
		Body: sureBody{
			Action: s.hub + "admin/delete-group", Field: "group", Value: g.Name, What: "group " + g.Name,
			Back: s.hub + "admin/groups",
			Words: []string{"Its " + count(len(g.Users), "member loses", "members lose") +
				" what the group may do, and what was shared with it.",
				"A group of the settings or of the sign-in is there again after the next start or sign-in."}}})
	return nil
}

// deleteGroup is POST hub/admin/delete-group: the field group.
func (s *Web) deleteGroup(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	g, err := s.groupOf(m, r, r.PostFormValue("group"), scopes.DeleteGroups)
	if err != nil {
		return err
	}
	err = s.cfg.Store.DeleteGroup(r.Context(), g.Name)
	s.auditGroup(r, m, DeleteGroup, g.Name, names(g.Users), err)
	if err != nil {
		return err
	}
	redirect(w, http.StatusSeeOther, s.hub+"admin/groups")
	return nil
}
