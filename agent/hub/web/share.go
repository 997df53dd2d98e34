package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// shareBody is the page on which one shares a server.
type shareBody struct {
	Whose    string
	Action   string // URL path of this page
	Shares   []shareView
	Codes    []codeView
	ByName   bool // people or groups may be named
	Form     shareForm
	Link     string // a new one, shown once
	LinkEnds time.Time
}

// shareForm shares with somebody, as it was filled in when something is wrong.
type shareForm struct {
	Kind, Name string
	Problem    string
}

// shareView is a share as the page shows it.
type shareView struct {
	Kind, Name string // "user" or "group", and whose
	Created    time.Time
	Scopes     []scopes.Description
}

// codeView is a link as the page shows it; the link itself is kept nowhere.
type codeView struct {
	ID               int64
	Created, Expires time.Time
	Used             int
	Scopes           []scopes.Description
}

// ownShare returns the server of the path if it is one's own and may be shared.
func (s *Web) ownShare(m access.Subject, r *http.Request) (ident.Key, error) {
	key, err := s.existing(m, r, scopes.Shares)
	if err == nil && key.User != m.User {
		err = errNotFound()
	}
	return key, err
}

// sharePage is hub/share/USER[/NAME]: with whom a server is shared.
func (s *Web) sharePage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := s.ownShare(m, r)
	if err != nil {
		return err
	}
	return s.renderShare(m, w, r, http.StatusOK, key, shareBody{})
}

func (s *Web) renderShare(m access.Subject, w http.ResponseWriter, r *http.Request, status int, key ident.Key,
	body shareBody) error {
	shares, err := s.cfg.Store.Shares(r.Context(), store.ShareQuery{Owner: key.User, Server: &key.Server})
	if err != nil {
		return err
	}
	codes, err := s.cfg.Store.ShareCodes(r.Context(), key.User, &key.Server)
	if err != nil {
		return err
	}
	for _, v := range shares {
		view := shareView{"user", v.User.String(), v.Created, s.given(v.Scopes)}
		if v.Group != "" {
			view.Kind, view.Name = "group", v.Group
		}
		body.Shares = append(body.Shares, view)
	}
	for _, c := range codes {
		body.Codes = append(body.Codes, codeView{c.ID, c.Created, c.Expires, c.ExchangeCount, s.given(c.Scopes)})
	}
	body.Whose, body.Action, body.ByName = whose(m, key), s.act("share", key), namesOthers(m)
	s.render(w, r, status, page{Name: "share", Title: "Share " + body.Whose, Member: m, Wide: true, Body: body})
	return nil
}

// namesOthers reports whether the person may name anybody else, or a group.
func namesOthers(m access.Subject) bool {
	users := m.Reach(scopes.ReadUsersName)
	others := users.All || len(users.Groups) > 0 || len(users.Users) > 1
	return others || m.Has(scopes.ReadGroupsName)
}

// share is POST hub/share/USER[/NAME]. The field do says what: "grant" and "revoke" with
// kind and name, "link" with hours, "revoke-link" with id. Where something is granted,
// control adds starting and stopping.
func (s *Web) share(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := s.ownShare(m, r)
	if err != nil {
		return err
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	body := shareBody{}
	switch r.PostFormValue("do") {
	case "grant":
		body.Form.Kind, body.Form.Name = r.PostFormValue("kind"), strings.TrimSpace(r.PostFormValue("name"))
		err = s.grant(m, r, key, body.Form)
	case "revoke":
		err = s.takeBack(r, key)
	case "link":
		body.Link, body.LinkEnds, err = s.newLink(m, r, key)
	case "revoke-link":
		err = s.revokeLink(r, key)
	default:
		err = httpx.Fail(http.StatusBadRequest, "the form does not say what to do")
	}
	var refused *httpx.Error
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusBadRequest:
		body.Form.Problem = refused.Public
		return s.renderShare(m, w, r, refused.Status, key, body)
	case err != nil:
		return err
	case body.Link != "":
		return s.renderShare(m, w, r, http.StatusOK, key, body)
	}
	redirect(w, http.StatusSeeOther, s.act("share", key))
	return nil
}

// granted returns the scopes that a form asks to share, none of which the person lacks.
func granted(m access.Subject, r *http.Request, key ident.Key) ([]string, error) {
	names := []string{scopes.AccessServers}
	if r.PostFormValue("control") != "" {
		names = append(names, scopes.Servers)
	}
	var list []string
	for _, name := range names {
		if !m.MayServer(key, name) {
			return nil, httpx.Fail(http.StatusBadRequest, "you may not share what you may not do yourself (%s)", name)
		}
		list = append(list, name+"!server="+scopes.ServerFilter(key))
	}
	return list, nil
}

func (s *Web) grant(m access.Subject, r *http.Request, key ident.Key, form shareForm) error {
	list, err := granted(m, r, key)
	if err != nil {
		return err
	}
	with, err := s.grantee(r.Context(), m, form)
	if err != nil {
		return err
	}
	with.Key, with.Scopes = key, list
	if _, err = s.cfg.Store.GrantShare(r.Context(), with); err == nil {
		s.logShare("server shared", "share-granted", key, with)
	}
	return err
}

func (s *Web) logShare(message, event string, key ident.Key, with store.Share) {
	s.cfg.Log.Info(message, "event", event, "user", key.User.String(), "server", key.Server.String(), "by",
		key.User.String(),
		"with", with.User.String()+with.Group, "scopes", strings.Join(with.Scopes, " "))
}

// grantee finds whom a share is for. Whether somebody is there is told only to who may
// read names (JupyterHub's apihandlers/shares.py).
func (s *Web) grantee(ctx context.Context, m access.Subject, form shareForm) (with store.Share, err error) {
	if form.Kind == "group" {
		if !m.MayGroup(form.Name, scopes.ReadGroupsName) {
			return with, httpx.Fail(http.StatusBadRequest, "you may not share with that group by name: make a link "+
				"and send it")
		}
		g, err := s.cfg.Store.GroupByName(ctx, form.Name)
		if errors.Is(err, store.ErrNotFound) {
			return with, httpx.Fail(http.StatusBadRequest, "there is no group %q", form.Name)
		}
		return store.Share{Group: g.Name}, err
	}
	u, err := ident.ParseUser(form.Name)
	switch {
	case err != nil:
		return with, httpx.Fail(http.StatusBadRequest, "%s", err)
	case u == m.User:
		return with, httpx.Fail(http.StatusBadRequest, "it is yours already")
	case !m.MayUser(u, scopes.ReadUsersName):
		return with, httpx.Fail(http.StatusBadRequest, "you may not share with that person by name: make a link and "+
			"send it")
	}
	_, err = s.cfg.Store.UserByName(ctx, u)
	if errors.Is(err, store.ErrNotFound) {
		return with, httpx.Fail(http.StatusBadRequest, "%s is not known to this hub: people are after their first "+
			"sign-in", u)
	}
	return store.Share{User: u}, err
}

// takeBack ends a share. One that is not there is ended already.
func (s *Web) takeBack(r *http.Request, key ident.Key) (err error) {
	with := store.Share{Key: key}
	if r.PostFormValue("kind") == "group" {
		with.Group = r.PostFormValue("name")
	} else if with.User, err = ident.ParseUser(r.PostFormValue("name")); err != nil {
		return httpx.Fail(http.StatusBadRequest, "%s", err)
	}
	_, err = s.cfg.Store.RevokeShare(r.Context(), with, nil)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil {
		s.logShare("share revoked", "share-revoked", key, with)
	}
	return err
}

// given describes what a share of one server lets people do, without saying at each scope
// that it is for that server.
func (s *Web) given(list []string) []scopes.Description {
	all := s.cfg.Authority.Table().Describe(list, scopes.Owner{})
	for i := range all {
		all[i].Filter = ""
	}
	return all
}
