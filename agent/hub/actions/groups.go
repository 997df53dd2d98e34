package actions

import (
	"context"
	"errors"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// CreateGroups makes groups, each with the same members, or none of them. It takes the scope "admin:groups" on each.
//
// Refusals: LacksScope; NoUser (Invalid) for a member whom the hub does not know; GroupExists and BadName with the
// group that cannot be made.
func (a *Actions) CreateGroups(ctx context.Context, s access.Subject, names []string, members []ident.User) error {
	groups := make([]store.Group, len(names))
	for i, name := range names {
		if err := needGroup(s, name, scopes.AdminGroups); err != nil {
			return err
		}
		groups[i] = store.Group{Name: name, Users: members}
	}
	if err := a.members(ctx, members); err != nil {
		return err
	}
	err := a.cfg.Records.CreateGroups(ctx, groups)
	var exists *store.ExistsError
	var cannot *store.InvalidNameError
	switch {
	case errors.As(err, &exists):
		return refuse(Conflict, GroupExists, exists.Name, "group %q exists already", exists.Name).because(err)
	case errors.As(err, &cannot):
		return invalid("name", BadName, cannot.Name, "%v", cannot).because(err)
	}
	for _, name := range names {
		_ = a.recordOn(ctx, GroupCreated, s, err, Detail{keyGroup, name}, Detail{keyUsers, userNames(members)})
	}
	return err
}

// members refuses users whom the hub does not know.
func (a *Actions) members(ctx context.Context, users []ident.User) error {
	for _, u := range users {
		_, err := a.cfg.Records.UserByName(ctx, u)
		if errors.Is(err, store.ErrNotFound) {
			return invalid("users", NoUser, u.String(), "no such user: %s", u)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// DeleteGroup forgets a group with what was shared with it. A group of the settings or of the sign-in comes back with
// these. It takes the scope "delete:groups" on the group.
//
// Refusals: LacksScope; NoGroup.
func (a *Actions) DeleteGroup(ctx context.Context, s access.Subject, name string) error {
	if err := needGroup(s, name, scopes.DeleteGroups); err != nil {
		return err
	}
	g, err := a.group(ctx, name)
	if err != nil {
		return err
	}
	return a.recordOn(ctx, GroupDeleted, s, a.cfg.Records.DeleteGroup(ctx, name), Detail{keyGroup, name},
		Detail{keyUsers, userNames(g.Users)})
}

// AddMembers puts users into a group. It takes the scope "groups" on the group.
//
// Refusals: LacksScope; NoGroup; NoUser (Invalid) for one whom the hub does not know.
func (a *Actions) AddMembers(ctx context.Context, s access.Subject, group string, users []ident.User) error {
	return a.changeMembers(ctx, s, group, users, "add", a.cfg.Records.AddToGroup)
}

// RemoveMembers takes users out of a group. Who is in it by the settings or by the sign-in comes back with these. Its
// rules are those of AddMembers.
func (a *Actions) RemoveMembers(ctx context.Context, s access.Subject, group string, users []ident.User) error {
	return a.changeMembers(ctx, s, group, users, "remove", a.cfg.Records.RemoveFromGroup)
}

func (a *Actions) changeMembers(ctx context.Context, s access.Subject, group string, users []ident.User, change string,
	do func(context.Context, string, []ident.User) error) error {
	if err := needGroup(s, group, scopes.Groups); err != nil {
		return err
	}
	if _, err := a.group(ctx, group); err != nil {
		return err
	}
	if err := a.members(ctx, users); err != nil {
		return err
	}
	return a.recordOn(ctx, GroupMembers, s, do(ctx, group, users), Detail{keyGroup, group}, Detail{keyChange, change},
		Detail{keyUsers, userNames(users)})
}

// SetGroupProperties replaces the properties of a group. It takes the scope "groups" on the group.
//
// Refusals: LacksScope; NoGroup.
func (a *Actions) SetGroupProperties(ctx context.Context, s access.Subject, group string,
	properties map[string]any) error {
	if err := needGroup(s, group, scopes.Groups); err != nil {
		return err
	}
	err := a.cfg.Records.SetGroupProperties(ctx, group, properties)
	if errors.Is(err, store.ErrNotFound) {
		return refuse(NotFound, NoGroup, group, "no such group: %s", group)
	}
	return a.recordOn(ctx, GroupProperties, s, err, Detail{keyGroup, group})
}
