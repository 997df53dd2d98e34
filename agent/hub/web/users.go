package web

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// sureBody asks whether something shall be deleted.
type sureBody struct {
	Verb   string // of the button; "" is "Delete"
	Action string // URL path that takes a POST
	Field  string // what is deleted: the field's name and value
	Value  string
	What   string
	Words  []string
	Stop   []serverView // must be stopped first
	Back   string       // URL path
}

// auditUser tells of what was done to a user.
func (s *Web) auditUser(r *http.Request, m access.Subject, a Action, u ident.User, detail string, err error) {
	s.cfg.Audit(r, Deed{Action: a, By: m.User, On: ident.Key{User: u}, Detail: detail, Err: err})
}

// addUsers is POST hub/admin/users: the fields names and admin. People need not be added
// before they sign in; who is added can be put into groups before.
func (s *Web) addUsers(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if !m.Everywhere(scopes.AdminUsers) {
		return errNotFound()
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	form := addUsersForm{Names: r.PostFormValue("names"), Admin: r.PostFormValue("admin") != ""}
	if form.Problem = s.makeUsers(m, r, form); form.Problem != "" {
		return s.renderAdmin(m, w, r, http.StatusBadRequest, form)
	}
	redirect(w, http.StatusSeeOther, s.hub+"admin?sort=-id")
	return nil
}

// makeUsers makes all the users, or none when a name cannot be. It gives what is wrong.
func (s *Web) makeUsers(m access.Subject, r *http.Request, form addUsersForm) (problem string) {
	if form.Admin && !m.Admin() {
		return "only administrators make administrators"
	}
	var users []ident.User
	for _, name := range listed(form.Names) {
		u, err := ident.ParseUser(name)
		if err != nil {
			return err.Error()
		}
		users = append(users, u)
	}
	if len(users) == 0 {
		return "there is no name in the field"
	}
	var there []string
	for _, u := range users {
		err := s.cfg.Store.CreateUser(r.Context(), store.User{Name: u, Admin: form.Admin, Created: s.cfg.Now()})
		s.auditUser(r, m, AddUser, u, "admin "+strconv.FormatBool(form.Admin), err)
		if err != nil {
			there = append(there, u.String())
		}
	}
	if len(there) > 0 {
		return strings.Join(there, ", ") + " could not be added: known already"
	}
	return ""
}

// userOf returns the user whom a request names, who must be known.
func (s *Web) userOf(r *http.Request, name string) (store.User, error) {
	u, err := ident.ParseUser(name)
	if err != nil {
		return store.User{}, errNotFound()
	}
	rec, err := s.cfg.Store.UserByName(r.Context(), u)
	if errors.Is(err, store.ErrNotFound) {
		return rec, errNotFound()
	}
	return rec, err
}

// markAdmin is POST hub/admin/mark: the fields user and admin ("1" or "").
func (s *Web) markAdmin(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	u, err := s.userOf(r, r.PostFormValue("user"))
	if err != nil {
		return err
	}
	if !s.mayMark(m, u.Name) {
		return errNotFound()
	}
	act, mark := UnmakeAdmin, r.PostFormValue("admin") != ""
	if mark {
		act = MakeAdmin
	}
	err = s.cfg.Store.SetAdmin(r.Context(), u.Name, mark)
	s.auditUser(r, m, act, u.Name, "", err)
	if err != nil {
		return err
	}
	redirect(w, http.StatusSeeOther, s.back(r))
	return nil
}

// deletable returns the user whom a request names, if the person may delete them.
func (s *Web) deletable(m access.Subject, r *http.Request, name string) (store.User, error) {
	u, err := s.userOf(r, name)
	if err == nil && !mayDelete(m, u) {
		err = errNotFound()
	}
	return u, err
}

// deleteUserPage is hub/admin/delete-user?user=: it asks.
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
			"The Unix account and its files stay. Who may still use this hub is there again after a sign-in."}}
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

// deleteUser is POST hub/admin/delete-user: the field user. Sessions end with the user's
// row, since every request looks for it.
func (s *Web) deleteUser(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	u, err := s.deletable(m, r, r.PostFormValue("user"))
	if err != nil {
		return err
	}
	for _, srv := range s.cfg.Servers.Of(u.Name) {
		if srv.State.Active() {
			return &httpx.Error{Status: http.StatusConflict,
				Public: fmt.Sprintf("a server of %s runs, so %s cannot be deleted", u.Name, u.Name),
				Hint:   "stop it first"}
		}
	}
	err = s.cfg.Store.DeleteUser(r.Context(), u.Name)
	if errors.Is(err, store.ErrNotFound) {
		err = nil // deleted in another window at the same moment
	}
	s.auditUser(r, m, DeleteUser, u.Name, "", err)
	if err != nil {
		return err
	}
	redirect(w, http.StatusSeeOther, s.hub+"admin")
	return nil
}
