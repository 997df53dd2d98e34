package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// sharedServer is as much of a server as shares show (apihandlers/shares.py).
func (a *API) sharedServer(k ident.Key) model {
	m := model{"user": model{"name": k.User}, "name": k.Server, "url": a.url(k), "full_url": nil,
		"ready": a.cfg.Servers.Get(k).State == "ready"}
	if a.cfg.PublicURL != "" {
		m["full_url"] = a.fullURL(k)
	}
	return m
}

func (a *API) shareModel(s store.Share) model {
	m := model{"server": a.sharedServer(s.Key), "scopes": list(s.Scopes), "user": nil, "group": nil, "kind": "user",
		"created_at": stamp(s.Created)}
	if s.Group != "" {
		m["group"], m["kind"] = model{"name": s.Group}, "group"
	} else {
		m["user"] = model{"name": s.User}
	}
	return m
}

// writeShares answers a list of shares, which always comes in pages.
func (a *API) writeShares(w http.ResponseWriter, r *http.Request, q store.ShareQuery) error {
	p, err := pageOf(r)
	if err != nil {
		return err
	}
	all, err := a.cfg.Records.Shares(r.Context(), q)
	if err != nil {
		return err
	}
	models := []model{}
	for _, s := range cut(p, all) {
		models = append(models, a.shareModel(s))
	}
	p.wrap = true
	return a.pages(w, r, p, models, len(all))
}

// sharedKey returns the server of the path, which must be known to the hub.
func (a *API) sharedKey(r *http.Request) (ident.Key, error) {
	k, err := pathKey(r)
	if err != nil {
		return k, noSharedServer(r)
	}
	_, err = a.cfg.Records.UserByName(r.Context(), k.User)
	if errors.Is(err, store.ErrNotFound) {
		return k, noSharedServer(r)
	}
	if err != nil {
		return k, err
	}
	known, err := a.known(r.Context(), k)
	if err == nil && !known {
		return k, noSharedServer(r)
	}
	return k, err
}

func noSharedServer(r *http.Request) *httpx.Error {
	return httpx.Fail(http.StatusNotFound, "No such server: %s/%s", r.PathValue("user"), r.PathValue("server"))
}

// needsServer answers a change that names no server; the default one is "/shares/USER/".
func (a *API) needsServer(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Allow", "GET, HEAD")
	return httpx.Fail(http.StatusMethodNotAllowed, "%s does not take %s: name a server", r.URL.Path, r.Method)
}

func (a *API) ownerShares(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	u, err := a.findUser(r)
	if err != nil {
		return err
	}
	return a.writeShares(w, r, store.ShareQuery{Owner: u.Name})
}

func (a *API) serverShares(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	k, err := a.sharedKey(r)
	if err != nil {
		return err
	}
	return a.writeShares(w, r, store.ShareQuery{Owner: k.User, Server: &k.Server})
}

// shareBody names whom a share is for, and what.
type shareBody struct {
	User   *string  `json:"user"`
	Group  *string  `json:"group"`
	Scopes []string `json:"scopes"`
}

func (b shareBody) check() error {
	switch {
	case b.User != nil && b.Group != nil:
		return httpx.Fail(http.StatusBadRequest, "Expected exactly one of `user` or `group`, not both.")
	case b.User == nil && b.Group == nil:
		return httpx.Fail(http.StatusBadRequest, "Specify exactly one of `user` or `group`")
	}
	return nil
}

// grantee returns whom a share is for. A name that no user can have is nobody.
func (b shareBody) grantee() actions.Grantee {
	if b.Group != nil {
		return actions.Grantee{Group: *b.Group}
	}
	u, _ := ident.ParseUser(*b.User)
	return actions.Grantee{User: u}
}

func (a *API) grantShare(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	k, body, err := a.shareRequest(w, r)
	if err != nil {
		return err
	}
	s, err := a.cfg.Actions.GrantShare(r.Context(), c, k, body.grantee(), body.Scopes)
	if err != nil {
		return err
	}
	return a.json(w, http.StatusOK, a.shareModel(s))
}

// shareRequest reads a request that grants or revokes.
func (a *API) shareRequest(w http.ResponseWriter, r *http.Request) (k ident.Key, body shareBody, err error) {
	if err := decodeStrict(w, r, &body); err != nil {
		return k, body, err
	}
	if err := body.check(); err != nil {
		return k, body, err
	}
	k, err = a.sharedKey(r)
	return k, body, err
}

// revokeShare takes scopes, or all, from one grantee. Whom nobody knows has nothing.
func (a *API) revokeShare(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	k, body, err := a.shareRequest(w, r)
	if err != nil {
		return err
	}
	left, err := a.cfg.Actions.RevokeShare(r.Context(), c, k, body.grantee(), body.Scopes)
	if err != nil && !refused(err, actions.NoShare) {
		return err
	}
	if len(left.Scopes) == 0 {
		return a.json(w, http.StatusOK, model{})
	}
	return a.json(w, http.StatusOK, a.shareModel(left))
}

func (a *API) revokeShares(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	k, err := a.sharedKey(r)
	if err != nil {
		return err
	}
	if err := a.cfg.Actions.RevokeShares(r.Context(), c, k); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// userShares lists what was shared with a user, by name and through groups.
func (a *API) userShares(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	u, err := a.findUser(r)
	if err != nil {
		return err
	}
	groups, err := a.cfg.Authority.Groups(r.Context(), u.Name)
	if err != nil {
		return err
	}
	return a.writeShares(w, r, store.ShareQuery{With: u.Name, WithGroups: groups})
}

func (a *API) groupShares(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	g, err := a.findGroup(r)
	if err != nil {
		return err
	}
	return a.writeShares(w, r, store.ShareQuery{WithGroups: []string{g.Name}})
}

// oneShare finds the share that a path names: whom it was given to, and on which server.
func (a *API) oneShare(ctx context.Context, r *http.Request, q store.ShareQuery, who string) (store.Share, error) {
	missing := httpx.Fail(http.StatusNotFound, "No such share for %s on %s/%s", who, r.PathValue("owner"),
		r.PathValue("server"))
	k, err := ident.ParseKey(r.PathValue("owner"), r.PathValue("server"))
	if err != nil {
		return store.Share{}, missing
	}
	q.Owner, q.Server = k.User, &k.Server
	found, err := a.cfg.Records.Shares(ctx, q)
	if err == nil && len(found) == 0 {
		err = missing
	}
	if err != nil {
		return store.Share{}, err
	}
	return found[0], nil
}

func (a *API) shareWithUser(r *http.Request) (store.Share, error) {
	u, err := a.findUser(r)
	if err != nil {
		return store.Share{}, err
	}
	return a.oneShare(r.Context(), r, store.ShareQuery{With: u.Name}, "user "+u.Name.String())
}

func (a *API) shareWithGroup(r *http.Request) (store.Share, error) {
	g, err := a.findGroup(r)
	if err != nil {
		return store.Share{}, err
	}
	return a.oneShare(r.Context(), r, store.ShareQuery{WithGroups: []string{g.Name}}, "group "+g.Name)
}

func (a *API) userShare(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	s, err := a.shareWithUser(r)
	if err != nil {
		return err
	}
	return a.json(w, http.StatusOK, a.shareModel(s))
}

func (a *API) groupShare(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	s, err := a.shareWithGroup(r)
	if err != nil {
		return err
	}
	return a.json(w, http.StatusOK, a.shareModel(s))
}

func (a *API) leaveShare(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	s, err := a.shareWithUser(r)
	return a.leave(c, w, r, s, err)
}

func (a *API) leaveGroupShare(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	s, err := a.shareWithGroup(r)
	return a.leave(c, w, r, s, err)
}

func (a *API) leave(c access.Subject, w http.ResponseWriter, r *http.Request, s store.Share, err error) error {
	if err == nil {
		err = a.cfg.Actions.LeaveShare(r.Context(), c, s.Key, actions.Grantee{User: s.User, Group: s.Group})
	}
	if err != nil && !refused(err, actions.NoShare) { // revoked at the same moment
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
