package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// sharedServer is as much of a server as shares show (apihandlers/shares.py).
func (a *API) sharedServer(k ident.Key) model {
	m := model{"user": model{"name": k.User}, "name": k.Server, "url": a.path(k), "full_url": nil,
		"ready": a.cfg.Servers.Get(k).State == "ready"}
	if a.cfg.PublicURL != "" {
		m["full_url"] = a.full(a.path(k))
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
	k, err := ident.ParseKey(r.PathValue("user"), r.PathValue("server"))
	if err == nil {
		_, err = a.findUser(r)
	}
	if err != nil || !a.known(r, k) {
		return k, httpx.Fail(http.StatusNotFound, "No such server: %s/%s", r.PathValue("user"), r.PathValue("server"))
	}
	return k, nil
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

// shareScopes returns the scopes to share, each filtered by the server; by default, to open
// it.
func (a *API) shareScopes(k ident.Key, wanted []string) ([]string, error) {
	if len(wanted) == 0 {
		return []string{scopes.AccessServer(k)}, nil
	}
	filter := "server=" + scopes.ServerFilter(k)
	var kept []string
	for _, text := range wanted {
		name, own, filtered := strings.Cut(text, "!")
		if filtered && own != filter {
			return nil, httpx.Fail(http.StatusBadRequest, "!%s filter not allowed on sharing %s, only !%s", own, name,
				filter)
		}
		if _, err := a.cfg.Authority.Table().Parse(name + "!" + filter); err != nil {
			return nil, httpx.Fail(http.StatusBadRequest, "%v", err)
		}
		kept = append(kept, name+"!"+filter)
	}
	slices.Sort(kept)
	return slices.Compact(kept), nil
}

// mayShare refuses to give what the caller has not.
func (a *API) mayShare(c access.Subject, k ident.Key, list []string) error {
	for _, text := range list {
		name, _, _ := strings.Cut(text, "!")
		if !c.MayServer(k, name) {
			return httpx.Fail(http.StatusForbidden, "Do not have permission to grant share with scope %s", text)
		}
	}
	return nil
}

// grantee returns whom a share is for, as far as the caller may name them.
func (a *API) grantee(c access.Subject, r *http.Request, k ident.Key, body shareBody) (store.Share, error) {
	s := store.Share{Key: k}
	if body.Group != nil {
		if !c.MayGroup(*body.Group, "read:groups:name") {
			return s, httpx.Fail(http.StatusForbidden, "Need scope 'read:groups:name' to share with groups by name")
		}
		g, err := a.cfg.Records.GroupByName(r.Context(), *body.Group)
		if errors.Is(err, store.ErrNotFound) {
			return s, httpx.Fail(http.StatusBadRequest, "No such group: %s", *body.Group)
		}
		s.Group = g.Name
		return s, err
	}
	u, err := ident.ParseUser(*body.User)
	if err != nil || !c.MayUser(u, "read:users:name") {
		return s, httpx.Fail(http.StatusForbidden, "Need scope 'read:users:name' to share with users by name")
	}
	_, err = a.cfg.Records.UserByName(r.Context(), u)
	if errors.Is(err, store.ErrNotFound) {
		return s, httpx.Fail(http.StatusBadRequest, "No such user: %s", *body.User)
	}
	s.User = u
	return s, err
}

func (a *API) grantShare(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	k, body, list, err := a.shareRequest(w, r)
	if err != nil {
		return err
	}
	if err := a.mayShare(c, k, list); err != nil {
		return err
	}
	s, err := a.grantee(c, r, k, body)
	if err != nil {
		return err
	}
	s.Scopes = list
	s, err = a.cfg.Records.GrantShare(r.Context(), s)
	if err != nil {
		return err
	}
	a.cfg.Log.Info("server shared", "event", "share-granted", "user", k.User.String(), "server", k.Server.String(),
		"by", c.Name(),
		"with", s.User.String()+s.Group, "scopes", strings.Join(s.Scopes, " "))
	return a.json(w, http.StatusOK, a.shareModel(s))
}

// shareRequest reads a request that grants or revokes.
func (a *API) shareRequest(w http.ResponseWriter, r *http.Request) (k ident.Key, body shareBody, list []string,
	err error) {
	if err = decodeStrict(w, r, &body); err != nil {
		return
	}
	if err = body.check(); err != nil {
		return
	}
	if k, err = a.sharedKey(r); err != nil {
		return
	}
	list, err = a.shareScopes(k, body.Scopes)
	return
}

// revokeShare takes scopes, or all, from one grantee. Whom nobody knows has nothing.
func (a *API) revokeShare(c access.Subject, w http.ResponseWriter, r *http.Request) error {
	k, body, list, err := a.shareRequest(w, r)
	if err != nil {
		return err
	}
	if len(body.Scopes) == 0 {
		list = nil
	}
	s := store.Share{Key: k}
	if body.Group != nil {
		s.Group = *body.Group
	} else if s.User, err = ident.ParseUser(*body.User); err != nil {
		return a.json(w, http.StatusOK, model{})
	}
	left, err := a.cfg.Records.RevokeShare(r.Context(), s, list)
	if errors.Is(err, store.ErrNotFound) {
		return a.json(w, http.StatusOK, model{})
	}
	if err != nil {
		return err
	}
	a.cfg.Log.Info("share revoked", "event", "share-revoked", "user", k.User.String(), "server", k.Server.String(),
		"by", c.Name(), "with", s.User.String()+s.Group)
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
	if err := a.cfg.Records.RevokeShares(r.Context(), k); err != nil {
		return err
	}
	a.cfg.Log.Info("all shares revoked", "event", "share-revoked", "user", k.User.String(), "server", k.Server.String(),
		"by", c.Name())
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

func (a *API) leaveShare(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	s, err := a.shareWithUser(r)
	return a.leave(w, r, s, err)
}

func (a *API) leaveGroupShare(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	s, err := a.shareWithGroup(r)
	return a.leave(w, r, s, err)
}

func (a *API) leave(w http.ResponseWriter, r *http.Request, s store.Share, err error) error {
	if err == nil {
		_, err = a.cfg.Records.RevokeShare(r.Context(), s, nil)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
