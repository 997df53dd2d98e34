package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
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
	Name    string // as it was filled in where something is wrong with it
	Problem string
}

// groupView is a group as the page shows it.
type groupView struct {
	Name      string
	Members   []string
	MayChange bool
	Delete    string // URL path of the page that asks; "" where it is not allowed
}

// groupsPage is hub/admin/groups. It shows the groups that m may list.
func (s *Web) groupsPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	return s.renderGroups(m, w, r, http.StatusOK, groupsBody{})
}

func (s *Web) renderGroups(m access.Subject, w http.ResponseWriter, r *http.Request, status int,
	body groupsBody) error {
	if !m.Has(scopes.ListGroups) {
		return errNotFound()
	}
	all, err := s.cfg.Records.Groups(r.Context())
	if err != nil {
		return err
	}
	for _, g := range all {
		if m.MayGroup(g.Name, scopes.ListGroups) {
			body.Groups = append(body.Groups, s.groupView(m, g))
		}
	}
	body.MayAdd = m.Has(scopes.AdminGroups)
	s.render(w, r, status, page{Name: "groups", Title: "Groups", Member: m, Wide: true, Body: body})
	return nil
}

// groupView shows a group, without what m's scopes hide.
func (s *Web) groupView(m access.Subject, g store.Group) groupView {
	v := groupView{Name: g.Name, MayChange: m.MayGroup(g.Name, scopes.Groups)}
	if m.MayGroup(g.Name, scopes.ReadGroups) {
		for _, u := range g.Users {
			v.Members = append(v.Members, u.String())
		}
	}
	if m.MayGroup(g.Name, scopes.DeleteGroups) {
		v.Delete = s.hub + "admin/delete-group?" + url.Values{"group": {g.Name}}.Encode()
	}
	return v
}

// addGroup is POST hub/admin/groups: the field group.
func (s *Web) addGroup(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	name := strings.TrimSpace(r.PostFormValue("group"))
	err := s.cfg.Actions.CreateGroups(r.Context(), m, []string{name}, nil)
	switch reason(err) {
	case actions.GroupExists, actions.BadName:
		return s.renderGroups(m, w, r, http.StatusBadRequest, groupsBody{Name: name, Problem: err.Error()})
	}
	if err != nil {
		return inOurWords(err)
	}
	httpx.Redirect(w, http.StatusSeeOther, s.hub+"admin/groups")
	return nil
}

// changeMembers is POST hub/admin/members: the fields group, users (several names), and change ("add" or "remove").
func (s *Web) changeMembers(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	unknown, err := s.change(r.Context(), m, r.PostFormValue("change"), r.PostFormValue("group"),
		listed(r.PostFormValue("users")))
	if unknown != "" {
		return s.renderGroups(m, w, r, http.StatusBadRequest,
			groupsBody{Problem: "there is no user " + printable.Text(unknown) + " in this hub: add the user first"})
	}
	if err != nil {
		return err
	}
	httpx.Redirect(w, http.StatusSeeOther, s.hub+"admin/groups")
	return nil
}

// change adds users to a group or removes them. unknown is a name that is no user's; nothing was done then.
func (s *Web) change(ctx context.Context, m access.Subject, how, group string, names []string) (unknown string,
	err error) {
	act := s.cfg.Actions.AddMembers
	switch how {
	case "add":
	case "remove":
		act = s.cfg.Actions.RemoveMembers
	default:
		return "", httpx.Fail(http.StatusBadRequest, "the form does not say what to do")
	}
	users := make([]ident.User, len(names))
	for i, name := range names {
		if users[i], err = ident.ParseUser(name); err != nil {
			return name, nil
		}
	}
	err = act(ctx, m, group, users)
	var f *actions.Refusal
	if errors.As(err, &f) && f.Reason == actions.NoUser {
		return f.Name, nil
	}
	return "", inOurWords(err)
}

// deleteGroupPage is hub/admin/delete-group?group=. It asks.
func (s *Web) deleteGroupPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	g, err := s.cfg.Records.GroupByName(r.Context(), r.URL.Query().Get("group"))
	if errors.Is(err, store.ErrNotFound) || err == nil && !m.MayGroup(g.Name, scopes.DeleteGroups) {
		return errNotFound()
	}
	if err != nil {
		return err
	}
	s.render(w, r, http.StatusOK, page{Name: "sure", Title: "Delete group " + printable.Text(g.Name) + "?", Member: m,
		Body: sureBody{
			Action: s.hub + "admin/delete-group", Field: "group", Value: g.Name, What: "group " + g.Name,
			Back: s.hub + "admin/groups",
			Words: []string{"Its " + count(len(g.Users), "member loses", "members lose") +
				" the rights of the group, and what was shared with it.",
				"A group of the settings or of the sign-in comes back at the next start or sign-in."}}})
	return nil
}

// deleteGroup is POST hub/admin/delete-group: the field group.
func (s *Web) deleteGroup(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	if err := s.cfg.Actions.DeleteGroup(r.Context(), m, r.PostFormValue("group")); err != nil {
		return inOurWords(err)
	}
	httpx.Redirect(w, http.StatusSeeOther, s.hub+"admin/groups")
	return nil
}
