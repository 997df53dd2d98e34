package hub

import (
	"context"
	"maps"
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/hub/tokens"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// grants makes what tells who may do what: roles, groups, services and tokens.
func (h *instance) grants(ctx context.Context) error {
	table, err := h.cfg.Table()
	if err != nil {
		return err
	}
	if err := h.store.DeclareGroups(ctx, declaredGroups(h.cfg)); err != nil {
		return err
	}
	if h.authority, err = access.New(access.Config{Table: table, Roles: declaredRoles(h.cfg), Records: h.store,
		Log: h.log}); err != nil {
		return err
	}
	h.toServices = &serviceProxy{prefix: h.cfg.HTTP.BaseURL + "services/"}
	h.services, err = services.New(ctx, services.Config{BaseURL: h.cfg.HTTP.BaseURL, Declared: DeclaredServices(h.cfg),
		Records: h.store, Removed: h.toServices.forget})
	if err != nil {
		return err
	}
	h.toServices.registry = h.services
	h.tokens = tokens.New(tokens.Config{Records: h.store, Authority: h.authority, Life: h.cfg.Tokens.DefaultLife,
		Max: h.cfg.Tokens.MaxLife})
	return nil
}

func declaredRoles(c *config.Config) (all []access.Role) {
	for _, name := range slices.Sorted(maps.Keys(c.Roles)) {
		r := c.Roles[name]
		all = append(all, access.Role{Role: scopes.Role{Name: name, Description: r.Description, Scopes: r.Scopes},
			Users: r.Users, Groups: r.Groups, Services: r.Services})
	}
	return all
}

func declaredGroups(c *config.Config) (all []store.Group) {
	for _, name := range slices.Sorted(maps.Keys(c.Groups)) {
		all = append(all, store.Group{Name: name, Users: c.Groups[name].Users, Properties: c.Groups[name].Properties})
	}
	return all
}

// DeclaredServices returns the services of the settings, sorted by name.
func DeclaredServices(c *config.Config) (all []services.Service) {
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		s := c.Services[name]
		one := services.Service{Name: name, Admin: s.Admin, URL: s.URL, Display: s.Display, Info: s.Info,
			Scopes:        s.Scopes,
			AllowedScopes: s.AllowedScopes, NoConfirm: s.NoConfirm, Unit: s.Unit}
		if !s.Token.IsZero() {
			one.TokenHash = ident.HashToken(s.Token.Reveal())
		}
		if one.ClientID = c.ClientID(name); one.ClientID != "" {
			one.RedirectURI = c.RedirectURI(name)
		}
		all = append(all, one)
	}
	return all
}

// confirmed keeps the groups that somebody is in: the provider's, and the host's as far as
// the settings ask for them.
func (h *instance) confirmed(unix accounts.Directory) func(ctx context.Context, u ident.User, groups []string) error {
	a := h.cfg.Access
	asked := slices.Compact(slices.Sorted(slices.Values(slices.Concat(a.UnixGroups, a.AdminUnixGroups,
		a.ImportUnixGroups))))
	return func(ctx context.Context, u ident.User, groups []string) error {
		all := slices.Clone(groups)
		for _, g := range asked {
			in, err := unix.MemberOf(ctx, u, g)
			if err != nil {
				return err
			}
			if in {
				all = append(all, g)
			}
		}
		return h.store.SetMemberships(ctx, u, store.FromLogin, all)
	}
}
