package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// addForm makes a named server. It holds what was filled in where something is wrong with that.
type addForm struct {
	Name, DisplayName string
	Problem           string
	Left              int // how many more there may be; below 0: any number
}

// addServer is POST hub/servers: the fields name and display_name. It adds a server of one's own without starting it.
// Problems are shown on the home page, beside the form.
func (s *Web) addServer(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	form := addForm{Name: strings.TrimSpace(r.PostFormValue("name")),
		DisplayName: strings.TrimSpace(r.PostFormValue("display_name"))}
	err := s.add(r.Context(), m, form)
	if refused, ok := problem(err); ok {
		form.Problem = refused.Public
		return s.renderHome(m, w, r, refused.Status, form)
	}
	if err != nil {
		return err
	}
	httpx.Redirect(w, http.StatusSeeOther, s.hub+"home#server-"+form.Name)
	return nil
}

func (s *Web) add(ctx context.Context, m access.Subject, form addForm) error {
	key, err := ident.ParseKey(m.User.String(), form.Name)
	switch {
	case err != nil:
		return httpx.Fail(http.StatusBadRequest, "%s", err)
	case form.Name == "":
		return httpx.Fail(http.StatusBadRequest, "a new server needs a name")
	}
	err = s.cfg.Actions.CreateServer(ctx, m, key, form.DisplayName, nil)
	if reason(err) == actions.ServerExists {
		return httpx.Fail(http.StatusConflict, "you have a server %q already", form.Name)
	}
	return inOurWords(err)
}

// deleteServer is POST hub/delete/USER/NAME, with the field next. It deletes a stopped server; files stay.
func (s *Web) deleteServer(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := pathKey(m, r)
	if err != nil {
		return err
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	_, err = s.cfg.Actions.RemoveServer(r.Context(), m, key, false, 0)
	s.persistent.forget()
	switch {
	case active(err):
		return errActive("deleted")
	case err != nil:
		return inOurWords(err)
	}
	httpx.Redirect(w, http.StatusSeeOther, cmp.Or(safeNext(r.PostFormValue("next")), s.hub+"home"))
	return nil
}

// record returns what the database has of a server; known is false where it has nothing.
func (s *Web) record(ctx context.Context, key ident.Key) (rec store.Server, known bool, err error) {
	rec, err = s.cfg.Records.ServerByKey(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return store.Server{Key: key}, false, nil
	}
	return rec, err == nil, err
}

// startable refuses the page to start a server that package actions would not start: of somebody whom the hub does not
// know, and a named one beyond the settings (JupyterHub's handlers/base.py: _check_named_server_request).
func (s *Web) startable(ctx context.Context, key ident.Key) error {
	if _, err := s.cfg.Records.UserByName(ctx, key.User); errors.Is(err, store.ErrNotFound) {
		return errNotFound()
	} else if err != nil || key.Server.IsDefault() {
		return err
	}
	if s.cfg.NamedServers == 0 {
		return errNamedServersOff()
	}
	_, known, err := s.record(ctx, key)
	if err != nil || known {
		return err
	}
	left, err := s.left(ctx, key.User)
	if err == nil && left == 0 {
		err = errTooManyServers(key.User.String(), s.cfg.NamedServers)
	}
	return err
}

func errNamedServersOff() error {
	return &httpx.Error{Status: http.StatusNotFound, Public: "on this hub each user has one server, and none with a " +
		"name",
		Hint: "use the server on the home page"}
}

func errTooManyServers(user string, limit int) error {
	return &httpx.Error{Status: http.StatusBadRequest, Hint: "delete one that is stopped",
		Public: fmt.Sprintf("%s has %s already, and more are not allowed", user,
			count(limit, "server with a name", "servers with names"))}
}

// left returns how many more named servers a user may have; below 0: any number.
func (s *Web) left(ctx context.Context, u ident.User) (int, error) {
	if s.cfg.NamedServers <= 0 {
		return s.cfg.NamedServers, nil
	}
	all, err := s.cfg.Records.ServersOf(ctx, u)
	named := slices.DeleteFunc(all, func(v store.Server) bool { return v.Key.Server.IsDefault() })
	return max(0, s.cfg.NamedServers-len(named)), err
}

// named returns a user's named servers by name, those that run and those that are only in the database, with their
// names for people.
func (s *Web) named(ctx context.Context, u ident.User) ([]servers.Server, map[ident.Key]string, error) {
	known, err := s.cfg.Records.ServersOf(ctx, u)
	if err != nil {
		return nil, nil, err
	}
	titles := map[ident.Key]string{}
	var all []servers.Server
	for _, v := range known {
		srv := s.cfg.Servers.Get(v.Key)
		srv.Profile = cmp.Or(srv.Profile, v.Profile)
		titles[v.Key] = v.DisplayName
		all = append(all, srv)
	}
	for _, srv := range s.cfg.Servers.Of(u) {
		if _, known := titles[srv.Key]; !known && srv.State.Active() { // a failed one that was deleted does not exist
			all = append(all, srv)
		}
	}
	all = slices.DeleteFunc(all, func(v servers.Server) bool { return v.Key.Server.IsDefault() })
	slices.SortFunc(all, func(x, y servers.Server) int { return strings.Compare(x.Key.String(), y.Key.String()) })
	return all, titles, nil
}
