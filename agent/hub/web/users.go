package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// sureBody asks whether to delete or reset something.
type sureBody struct {
	Verb   string // of the button; "" is "Delete"
	Action string // URL path that takes a POST
	Field  string // the field's name and value: what is deleted; "" where Action says it
	Value  string
	What   string
	Words  []string
	Stop   []serverView // must be stopped first
	Back   string       // URL path
}

// addUsers is POST hub/admin/users: the fields names and admin. People need not be added before they sign in; a user
// who is added can be put into groups before that.
func (s *Web) addUsers(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if !m.Everywhere(scopes.AdminUsers) {
		return errNotFound()
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	form := addUsersForm{Names: r.PostFormValue("names"), Admin: r.PostFormValue("admin") != ""}
	err := s.createUsers(m, r, form)
	if refused, ok := problem(err); ok && refused.Status == http.StatusBadRequest {
		form.Problem = refused.Public
		return s.renderAdmin(m, w, r, refused.Status, form)
	}
	if err != nil {
		return err
	}
	httpx.Redirect(w, http.StatusSeeOther, s.hub+"admin?sort=-id")
	return nil
}

// createUsers makes all the users, or none when a name cannot be one.
func (s *Web) createUsers(m access.Subject, r *http.Request, form addUsersForm) error {
	var users []ident.User
	for _, name := range listed(form.Names) {
		u, err := ident.ParseUser(name)
		if err != nil {
			return httpx.Fail(http.StatusBadRequest, "%s", err)
		}
		users = append(users, u)
	}
	if len(users) == 0 {
		return httpx.Fail(http.StatusBadRequest, "there is no name in the field")
	}
	_, known, err := s.cfg.Actions.CreateUsers(r.Context(), m, users, form.Admin)
	switch {
	case reason(err) == actions.AdminsOnly:
		return httpx.Fail(http.StatusBadRequest, "only administrators make administrators")
	case err != nil:
		return inOurWords(err)
	case len(known) > 0:
		return httpx.Fail(http.StatusBadRequest, "%s could not be added: known already", names(known))
	}
	return nil
}

// names lists users for people.
func names(users []ident.User) string {
	all := make([]string, len(users))
	for i, u := range users {
		all[i] = u.String()
	}
	return strings.Join(all, ", ")
}

// markAdmin is POST hub/admin/mark: the fields user and admin ("1" or "").
func (s *Web) markAdmin(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	u, err := ident.ParseUser(r.PostFormValue("user"))
	if err != nil || !mayMark(m, u) {
		return errNotFound()
	}
	if err := s.cfg.Actions.SetAdmin(r.Context(), m, u, r.PostFormValue("admin") != ""); err != nil {
		return inOurWords(err)
	}
	httpx.Redirect(w, http.StatusSeeOther, s.back(r))
	return nil
}

// mayMark reports whether m may make u an administrator or end that: administrators only, and never for themselves, so
// that somebody is left who can undo it.
func mayMark(m access.Subject, u ident.User) bool {
	return m.Admin() && u != m.User && m.MayUser(u, scopes.AdminUsers)
}

// mayDelete reports whether package actions would let m delete u.
func mayDelete(m access.Subject, u store.User) bool {
	return u.Name != m.User && actions.MayModify(m, u) == nil && m.MayUser(u.Name, scopes.DeleteUsers)
}

// deletable returns the user of a name, if m may delete them.
func (s *Web) deletable(m access.Subject, r *http.Request, name string) (store.User, error) {
	u, err := ident.ParseUser(name)
	if err != nil {
		return store.User{}, errNotFound()
	}
	rec, err := s.cfg.Records.UserByName(r.Context(), u)
	if errors.Is(err, store.ErrNotFound) || err == nil && !mayDelete(m, rec) {
		err = errNotFound()
	}
	return rec, err
}

// deleteUserPage is hub/admin/delete-user?user=. It asks.
func (s *Web) deleteUserPage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	u, err := s.deletable(m, r, r.URL.Query().Get("user"))
	if err != nil {
		return err
	}
	name := u.Name.String()
	body := sureBody{Action: s.hub + "admin/delete-user", Field: "user", Value: name, What: "user " + name,
		Back: s.hub + "admin",
		Words: []string{"The hub forgets " + name + ": sessions, tokens, memberships in groups, shares, and the " +
			"list of servers.",
			"The Unix account and its files stay. A user who may still use this hub is added again at the next " +
				"sign-in."}}
	for _, srv := range s.cfg.Servers.Of(u.Name) {
		if srv.State.Active() {
			v := s.view(m, srv, nil)
			v.Back = s.hub + "admin/delete-user?user=" + name
			body.Stop = append(body.Stop, v)
		}
	}
	s.render(w, r, http.StatusOK, page{Name: "sure", Title: "Delete user " + name + "?", Member: m, Body: body})
	return nil
}

// deleteUser is POST hub/admin/delete-user: the field user.
func (s *Web) deleteUser(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	u, err := ident.ParseUser(r.PostFormValue("user"))
	if err != nil {
		return errNotFound()
	}
	err = s.cfg.Actions.DeleteUser(r.Context(), m, u, false)
	switch {
	case active(err):
		e := httpx.Fail(http.StatusConflict, "a server of %s runs, so %s cannot be deleted", u, u)
		e.Hint = "stop it first"
		return e
	case err != nil:
		return inOurWords(err)
	}
	httpx.Redirect(w, http.StatusSeeOther, s.hub+"admin")
	return nil
}
