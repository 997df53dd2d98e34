package web

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// shareBody is the page to share a server.
type shareBody struct {
	Whose    string
	Action   string // URL path of this page
	Shares   []shareView
	Codes    []codeView
	ByName   bool // users or groups may be named
	Form     shareForm
	Link     string // a new one; shown this once
	LinkEnds time.Time
}

// shareForm shares with somebody. It holds what was filled in where something is wrong with that.
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

// codeView is a link as the page shows it; the link itself is stored nowhere.
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

// sharePage is hub/share/USER[/NAME]. It lists with whom a server is shared.
func (s *Web) sharePage(m access.Subject, w http.ResponseWriter, r *http.Request) error {
	key, err := s.ownShare(m, r)
	if err != nil {
		return err
	}
	return s.renderShare(m, w, r, http.StatusOK, key, shareBody{})
}

func (s *Web) renderShare(m access.Subject, w http.ResponseWriter, r *http.Request, status int, key ident.Key,
	body shareBody) error {
	shares, err := s.cfg.Records.Shares(r.Context(), store.ShareQuery{Owner: key.User, Server: &key.Server})
	if err != nil {
		return err
	}
	codes, err := s.cfg.Records.ShareCodes(r.Context(), key.User, &key.Server)
	if err != nil {
		return err
	}
	for _, v := range shares {
		view := shareView{"user", v.User.String(), v.Created, s.sharedScopes(v.Scopes)}
		if v.Group != "" {
			view.Kind, view.Name = "group", v.Group
		}
		body.Shares = append(body.Shares, view)
	}
	for _, c := range codes {
		body.Codes = append(body.Codes, codeView{c.ID, c.Created, c.Expires, c.ExchangeCount, s.sharedScopes(c.Scopes)})
	}
	body.Whose, body.Action, body.ByName = whose(m, key), s.act("share", key), namesOthers(m)
	s.render(w, r, status, page{Name: "share", Title: "Share " + body.Whose, Member: m, Wide: true, Body: body})
	return nil
}

// namesOthers reports whether m may name any other user, or a group.
func namesOthers(m access.Subject) bool {
	users := m.Reach(scopes.ReadUsersName)
	others := users.All || len(users.Groups) > 0 || len(users.Users) > 1
	return others || m.Has(scopes.ReadGroupsName)
}

// share is POST hub/share/USER[/NAME]. The field do says what: "grant" and "revoke" with kind and name, "link" with
// hours, "revoke-link" with id. For "grant" and "link", control adds starting and stopping.
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
		err = s.revokeShare(m, r, key)
	case "link":
		body.Link, body.LinkEnds, err = s.newLink(m, r, key)
	case "revoke-link":
		err = s.revokeLink(m, r, key)
	default:
		err = httpx.Fail(http.StatusBadRequest, "the form does not say what to do")
	}
	refused, ok := problem(err)
	switch {
	case ok && refused.Status == http.StatusBadRequest:
		body.Form.Problem = refused.Public
		return s.renderShare(m, w, r, refused.Status, key, body)
	case err != nil:
		return err
	case body.Link != "":
		return s.renderShare(m, w, r, http.StatusOK, key, body)
	}
	httpx.Redirect(w, http.StatusSeeOther, s.act("share", key))
	return nil
}

// wantedScopes returns the scopes that a form asks to share.
func wantedScopes(r *http.Request) []string {
	if r.PostFormValue("control") != "" {
		return []string{scopes.AccessServers, scopes.Servers}
	}
	return []string{scopes.AccessServers}
}

// grant shares a server with a user or a group.
func (s *Web) grant(m access.Subject, r *http.Request, key ident.Key, form shareForm) error {
	with, err := granteeOf(form.Kind, form.Name)
	switch {
	case err != nil:
		return err
	case with.User == m.User:
		return httpx.Fail(http.StatusBadRequest, "it is yours already")
	}
	_, err = s.cfg.Actions.GrantShare(r.Context(), m, key, with, wantedScopes(r))
	return shareWords(err)
}

// granteeOf returns whom the fields kind and name of a form name.
func granteeOf(kind, name string) (actions.Grantee, error) {
	if kind == "group" {
		return actions.Grantee{Group: name}, nil
	}
	u, err := ident.ParseUser(name)
	if err != nil {
		return actions.Grantee{}, httpx.Fail(http.StatusBadRequest, "%s", err)
	}
	return actions.Grantee{User: u}, nil
}

// shareWords is inOurWords for what can be wrong with a new share.
func shareWords(err error) error {
	var f *actions.Refusal
	if !errors.As(err, &f) {
		return err
	}
	bad := func(format string, args ...any) error { return httpx.Fail(http.StatusBadRequest, format, args...) }
	switch {
	case f.Reason == actions.LacksScope && f.Scope == scopes.ReadGroupsName:
		return bad("you may not share with that group by name: make a link and send it")
	case f.Reason == actions.LacksScope && f.Scope == scopes.ReadUsersName:
		return bad("you may not share with that user by name: make a link and send it")
	case f.Reason == actions.ExceedsRights:
		name, _, _ := strings.Cut(f.Name, "!")
		return bad("you may not share what you may not do yourself (%s)", name)
	case f.Reason == actions.BadLife:
		return bad("a link is good for 1 to %d hours", longestLink)
	case f.Reason == actions.NoGroup && f.Kind == actions.Invalid:
		return bad("there is no group %q", f.Name)
	case f.Reason == actions.NoUser && f.Kind == actions.Invalid:
		return bad("%s is not known to this hub: people are after their first sign-in", f.Name)
	}
	return inOurWords(err)
}

// revokeShare ends a share. One that does not exist has ended already.
func (s *Web) revokeShare(m access.Subject, r *http.Request, key ident.Key) error {
	with, err := granteeOf(r.PostFormValue("kind"), r.PostFormValue("name"))
	if err != nil {
		return err
	}
	_, err = s.cfg.Actions.RevokeShare(r.Context(), m, key, with, nil)
	if reason(err) == actions.NoShare {
		return nil
	}
	return inOurWords(err)
}

// sharedScopes describes the scopes of a share. Their filter is left out, which is the server that is shared.
func (s *Web) sharedScopes(list []string) []scopes.Description {
	all := s.cfg.Authority.Table().Describe(list, scopes.Owner{})
	for i := range all {
		all[i].Filter = ""
	}
	return all
}
