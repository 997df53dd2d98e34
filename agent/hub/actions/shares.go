package actions

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Grantee is whom a share is for: one of both is set.
type Grantee struct {
	User  ident.User
	Group string
}

func (g Grantee) String() string { return g.User.String() + g.Group }

// GrantShare shares a server, or adds scopes to the share that there is, and returns the whole. Scopes may come without
// a filter or with that of the server; none means to open it. It takes the scope "shares" on the server, each scope
// that it shares, and "read:users:name" or "read:groups:name" on the grantee.
//
// Refusals: LacksScope (Name is the grantee where it is the one that may not be named); NoServer; BadScope,
// WrongFilter; ExceedsRights; NoUser and NoGroup (Invalid) of the grantee.
func (a *Actions) GrantShare(ctx context.Context, s access.Subject, k ident.Key, with Grantee, list []string) (
	store.Share, error) {
	list, err := a.shareable(ctx, s, k, list)
	if err != nil {
		return store.Share{}, err
	}
	if err := a.mayName(ctx, s, with); err != nil {
		return store.Share{}, err
	}
	share, err := a.cfg.Records.GrantShare(ctx, store.Share{Key: k, User: with.User, Group: with.Group, Scopes: list})
	return share, a.record(ctx, ShareGranted, s, k, err, Detail{keyWith, with.String()},
		Detail{keyScopes, strings.Join(list, " ")})
}

// shareable returns scopes in the form in which a server is shared, if the subject may share them.
func (a *Actions) shareable(ctx context.Context, s access.Subject, k ident.Key, list []string) ([]string, error) {
	if err := a.mayShare(ctx, s, k); err != nil {
		return nil, err
	}
	list, err := a.shareScopes(k, list)
	if err != nil {
		return nil, err
	}
	for _, scope := range list {
		name, _, _ := strings.Cut(scope, "!")
		if !s.MayServer(k, name) {
			return nil, refuse(Forbidden, ExceedsRights, scope, "nobody shares what they may not do: %s", scope)
		}
	}
	return list, nil
}

// mayShare refuses a server whose shares are not the subject's to change, and one that does not exist.
func (a *Actions) mayShare(ctx context.Context, s access.Subject, k ident.Key) error {
	if err := needServer(s, k, scopes.Shares); err != nil {
		return err
	}
	if _, err := a.user(ctx, k.User); err != nil {
		return err
	}
	return a.server(ctx, k)
}

// shareScopes returns scopes with the server as their filter, each once; without any, the one to open it.
func (a *Actions) shareScopes(k ident.Key, wanted []string) ([]string, error) {
	if len(wanted) == 0 {
		return []string{scopes.AccessServer(k)}, nil
	}
	filter := "server=" + scopes.ServerFilter(k)
	var all []string
	for _, text := range wanted {
		name, own, filtered := strings.Cut(text, "!")
		if filtered && own != filter {
			return nil, invalid("scopes", WrongFilter, text, "!%s filter not allowed on sharing %s, only !%s", own,
				name,
				filter)
		}
		if _, err := a.cfg.Authority.Table().Parse(name + "!" + filter); err != nil {
			return nil, invalid("scopes", BadScope, text, "%v", err).because(err)
		}
		all = append(all, name+"!"+filter)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// mayName refuses a grantee whom the subject may not name, or whom the hub does not know. Whether somebody exists
// shows only to subjects who may read the name (jupyterhub/apihandlers/shares.py).
func (a *Actions) mayName(ctx context.Context, s access.Subject, with Grantee) error {
	if with.Group != "" {
		if !s.MayGroup(with.Group, scopes.ReadGroupsName) {
			return unnamed(with.Group, scopes.ReadGroupsName)
		}
		_, err := a.cfg.Records.GroupByName(ctx, with.Group)
		if errors.Is(err, store.ErrNotFound) {
			return invalid("group", NoGroup, with.Group, "no such group: %s", with.Group)
		}
		return err
	}
	if with.User.IsZero() || !s.MayUser(with.User, scopes.ReadUsersName) {
		return unnamed(with.User.String(), scopes.ReadUsersName)
	}
	_, err := a.cfg.Records.UserByName(ctx, with.User)
	if errors.Is(err, store.ErrNotFound) {
		return invalid("user", NoUser, with.User.String(), "no such user: %s", with.User)
	}
	return err
}

func unnamed(name, scope string) *Refusal {
	r := refuse(Forbidden, LacksScope, name, "to share with somebody by name takes the scope %s", scope)
	r.Scope = scope
	return r
}

// RevokeShare takes scopes, as GrantShare has them, from one grantee; without any it takes all. It returns what is
// left, without scopes where nothing is. It takes the scope "shares" on the server.
//
// Refusals: LacksScope; NoServer; BadScope, WrongFilter; NoShare where the grantee has none.
func (a *Actions) RevokeShare(ctx context.Context, s access.Subject, k ident.Key, with Grantee, list []string) (
	store.Share, error) {
	if err := a.mayShare(ctx, s, k); err != nil {
		return store.Share{}, err
	}
	if len(list) > 0 {
		var err error
		if list, err = a.shareScopes(k, list); err != nil {
			return store.Share{}, err
		}
	} else {
		list = nil
	}
	return a.revoke(ctx, s, ShareRevoked, store.Share{Key: k, User: with.User, Group: with.Group}, list)
}

// revoke takes scopes from a share, all of them where the list is nil.
func (a *Actions) revoke(ctx context.Context, s access.Subject, e Event, share store.Share, list []string) (store.Share,
	error) {
	with := Grantee{share.User, share.Group}
	left, err := a.cfg.Records.RevokeShare(ctx, share, list)
	if errors.Is(err, store.ErrNotFound) {
		return store.Share{}, refuse(NotFound, NoShare, with.String(), "%s has no share of server %s", with, share.Key)
	}
	return left, a.record(ctx, e, s, share.Key, err, Detail{keyWith, with.String()},
		Detail{keyScopes, strings.Join(list, " ")})
}

// RevokeShares takes all shares of a server back. It takes the scope "shares" on the server.
//
// Refusals: LacksScope; NoServer.
func (a *Actions) RevokeShares(ctx context.Context, s access.Subject, k ident.Key) error {
	if err := a.mayShare(ctx, s, k); err != nil {
		return err
	}
	return a.record(ctx, ShareRevoked, s, k, a.cfg.Records.RevokeShares(ctx, k))
}

// LeaveShare returns what was shared with a user or a group. It takes the scope "users:shares" on the user, or
// "groups:shares" on the group.
//
// Refusals: LacksScope; NoShare.
func (a *Actions) LeaveShare(ctx context.Context, s access.Subject, k ident.Key, with Grantee) error {
	if with.Group != "" {
		if err := needGroup(s, with.Group, scopes.GroupsShares); err != nil {
			return err
		}
	} else if err := needUser(s, with.User, scopes.UsersShares); err != nil {
		return err
	}
	_, err := a.revoke(ctx, s, ShareLeft, store.Share{Key: k, User: with.User, Group: with.Group}, nil)
	return err
}
