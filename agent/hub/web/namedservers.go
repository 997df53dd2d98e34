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
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// addForm makes a server with a name, as it was filled in when something is wrong.
type addForm struct {
	Name, DisplayName string
	Problem           string
	Left              int // how many more there may be; below 0: any number
}

// addServer is POST hub/servers: the fields name and display_name. It is one's own server,
// and it is not started yet. What is wrong is said on the home page, beside the form.
func (s *Web) addServer(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	form := addForm{Name: strings.TrimSpace(r.PostFormValue("name")),
		DisplayName: strings.TrimSpace(r.PostFormValue("display_name"))}
	err := s.add(r.Context(), m, form)
	var refused *httpx.Error
	if errors.As(err, &refused) && refused.Status < http.StatusInternalServerError {
		form.Problem = refused.Public
		return s.renderHome(m, w, r, refused.Status, form)
	}
	if err != nil {
		return err
	}
	redirect(w, http.StatusSeeOther, s.hub+"home#server-"+form.Name)
	return nil
}

func (s *Web) add(ctx context.Context, m access.Subject, form addForm) error {
	key, err := ident.ParseKey(m.User.String(), form.Name)
	switch {
	case err != nil:
		return httpx.Fail(http.StatusBadRequest, "%s", err)
	case form.Name == "":
		return httpx.Fail(http.StatusBadRequest, "a new server needs a name")
	case !m.MayServer(key, scopes.StartServers):
		return errNotFound()
	}
	if err := checkText("the name for people", form.DisplayName); err != nil {
		return err
	}
	if err := s.mayHave(ctx, key); err != nil {
		return err
	}
	_, known, err := s.record(ctx, key)
	if err != nil {
		return err
	}
	if known {
		return httpx.Fail(http.StatusConflict, "you have a server %q already", form.Name)
	}
	return s.remember(ctx, key, form.DisplayName, "")
}

// left is how many more named servers a user may have; below 0: any number.
func (s *Web) left(ctx context.Context, u ident.User) (int, error) {
	if s.cfg.NamedServers <= 0 {
		return s.cfg.NamedServers, nil
	}
	all, err := s.cfg.Store.ServersOf(ctx, u)
	named := slices.DeleteFunc(all, func(v store.Server) bool { return v.Key.Server.IsDefault() })
	return max(0, s.cfg.NamedServers-len(named)), err
}

// mayHave refuses to start a server of somebody who is not known to the hub, and a named
// one that the settings do not allow (JupyterHub's handlers/base.py:
// _check_named_server_request).
func (s *Web) mayHave(ctx context.Context, key ident.Key) error {
	if _, err := s.cfg.Store.UserByName(ctx, key.User); errors.Is(err, store.ErrNotFound) {
		return errNotFound()
	} else if err != nil || key.Server.IsDefault() {
		return err
	}
	if s.cfg.NamedServers == 0 {
		return &httpx.Error{Status: http.StatusNotFound, Public: "this hub has one server a person, none with a " +
			"name of its own",
			Hint: "use the server on the home page"}
	}
	_, known, err := s.record(ctx, key)
	if err != nil || known {
		return err
	}
	left, err := s.left(ctx, key.User)
	if err == nil && left == 0 {
		err = &httpx.Error{Status: http.StatusBadRequest,
			Public: fmt.Sprintf("%s has %s already, and that is as many as there may be", key.User,
				count(s.cfg.NamedServers, "server with a name", "servers with names")),
			Hint: "delete one that is stopped"}
	}
	return err
}

// named returns a user's servers with names, those that run and those that are remembered,
// in the order of their names.
func (s *Web) named(ctx context.Context, u ident.User) ([]servers.Server, map[ident.Key]string, error) {
	known, err := s.cfg.Store.ServersOf(ctx, u)
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
		if _, there := titles[srv.Key]; !there && srv.State.Active() { // one that failed and was deleted is gone
			all = append(all, srv)
		}
	}
	all = slices.DeleteFunc(all, func(v servers.Server) bool { return v.Key.Server.IsDefault() })
	slices.SortFunc(all, func(x, y servers.Server) int { return strings.Compare(x.Key.String(), y.Key.String()) })
	return all, titles, nil
}

// record returns what is remembered of a server; known is false where nothing is.
func (s *Web) record(ctx context.Context, key ident.Key) (rec store.Server, known bool, err error) {
	rec, err = s.cfg.Store.ServerByKey(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return store.Server{Key: key}, false, nil
	}
	return rec, err == nil, err
}

// remember keeps a server's name for people and the profile of its last start, where
// they are given.
func (s *Web) remember(ctx context.Context, key ident.Key, displayName, profile string) error {
	rec, _, err := s.record(ctx, key)
	if err != nil {
		return err
	}
	if rec.DisplayName = cmp.Or(displayName, rec.DisplayName); rec.DisplayName == "" {
		rec.DisplayName = key.Server.String()
	}
	if profile != "" {
		rec.Profile = profile
		if rec.UserOptions == nil {
			rec.UserOptions = map[string]any{}
		}
		rec.UserOptions["profile"] = profile
	}
	return s.cfg.Store.UpsertServer(ctx, rec)
}
