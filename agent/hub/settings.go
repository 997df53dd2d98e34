package hub

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// The functions of this file hand settings on in the words of the parts.

// trustedProxies returns whose X-Forwarded-* headers count: nobody's when the hub is reached directly.
func trustedProxies(c *config.Config) []netip.Prefix {
	if !c.HTTP.BehindProxy {
		return nil
	}
	return c.HTTP.TrustedProxies
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
		all = append(all, declaredService(c, name))
	}
	return all
}

func declaredService(c *config.Config, name string) services.Service {
	s := c.Services[name]
	v := services.Service{Name: name, Admin: s.Admin, URL: s.URL, Display: s.Display, Info: s.Info, Scopes: s.Scopes,
		AllowedScopes: s.AllowedScopes, NoConfirm: s.NoConfirm, Unit: s.Unit}
	if !s.Token.IsZero() {
		v.TokenHash = ident.HashToken(s.Token.Reveal())
	}
	if v.ClientID = c.ClientID(name); v.ClientID != "" {
		v.RedirectURI = c.RedirectURI(name)
	}
	return v
}

// unixGroups returns the Unix groups that the settings ask for, each once.
func unixGroups(a config.Access) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a.UnixGroups, a.AdminUnixGroups,
		a.ImportUnixGroups))))
}

func loginSettings(c *config.Config) login.Config {
	l, a := c.Login, c.Access
	return login.Config{
		Issuer: l.Issuer, ClientID: l.ClientID, ClientSecret: l.ClientSecret.Reveal(), ClientAuth: l.ClientAuth,
		CallbackURL: l.CallbackURL, Scopes: l.Scopes, UsernameClaim: l.UsernameClaim,
		UsernamePattern: l.UsernamePattern, UsernameMap: l.UsernameMap, Lowercase: l.Lowercase,
		RequireVerifiedEmail: l.RequireVerifiedEmail, GroupsClaim: l.GroupsClaim,
		Endpoints: login.Endpoints(l.Endpoints), ProviderLogout: l.ProviderLogout, PostLogoutURL: l.PostLogoutURL,
		Access: login.Access{AllowAll: a.AllowAll, AllowedUsers: a.Users, AllowedGroups: a.Groups,
			AllowedUnixGroups: a.UnixGroups, AdminUsers: a.AdminUsers, AdminGroups: a.AdminGroups,
			AdminUnixGroups: a.AdminUnixGroups, BlockedUsers: a.BlockedUsers},
		Recheck: a.Recheck, MaxStale: a.MaxStale, Lifetime: c.Session.Lifetime, Idle: c.Session.Idle,
		BasePath: c.HTTP.BaseURL,
	}
}

func cullPolicies(c config.Cull) cull.Policies {
	ps := cull.Policies{Default: cull.Policy{Idle: c.Idle, MaxAge: c.MaxAge, MaxAgeBusy: c.MaxAgeBusy, Notice: c.Notice,
		GPUIdle: c.GPUIdle, GPURestart: c.GPUAction == config.GPURestart}, Groups: map[string]cull.Override{}}
	for name, g := range c.Groups {
		ps.Groups[name] = cull.Override(g)
	}
	return ps
}
