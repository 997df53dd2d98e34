package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// noSettings is the finding of a check that needs settings that cannot be used.
func noSettings() []finding {
	return unknown("gifford-hub config validate", "needs settings that can be used")
}

// settingsFiles returns a finding for each problem of the files.
func settingsFiles(_ context.Context, r *run) []finding {
	var problems settings.Problems
	switch {
	case r.settingsErr == nil:
		return ok("hub.toml and hub.d can be used")
	case errors.Is(r.settingsErr, fs.ErrPermission):
		return unknown(asRoot, "%v", r.settingsErr)
	case !errors.As(r.settingsErr, &problems):
		return fail("gifford-hub config validate", "%v", r.settingsErr)
	}
	var found []finding
	for _, p := range problems {
		found = append(found, fail("sudoedit "+p.File, "%s", p.Error())...)
	}
	return found
}

func policyFile(_ context.Context, r *run) []finding {
	switch {
	case r.policyErr == nil:
		return ok("launcher.toml can be used")
	case errors.Is(r.policyErr, fs.ErrPermission):
		return unknown(asRoot, "%v", r.policyErr)
	}
	var problems settings.Problems
	if !errors.As(r.policyErr, &problems) {
		return fail("sudoedit "+policy.File, "%v", r.policyErr)
	}
	var found []finding
	for _, p := range problems {
		found = append(found, fail("sudoedit "+p.File, "%s", p.Error())...)
	}
	return found
}

// access wants a rule, and every Unix group of a rule to be known.
func access(ctx context.Context, r *run) []finding {
	if r.settings == nil {
		return noSettings()
	}
	a := r.settings.Access
	if a.Empty() {
		return fail("set unix_groups, groups or users in [access] of /etc/gifford-hub/hub.toml",
			"no rule admits anybody: everyone is refused")
	}
	names := slices.Concat(a.UnixGroups, a.AdminUnixGroups)
	if r.policy != nil {
		names = append(names, r.policy.Host.UnixGroups...)
	}
	slices.Sort(names)
	var found []finding
	for _, g := range slices.Compact(names) {
		if _, err := r.Host.Run(ctx, "getent", "group", g); err != nil {
			found = append(found, fail("getent group "+g+"; then fix the name service, or the name in [access]",
				"the Unix group %q is unknown on this host: its rule admits nobody", g)...)
		}
	}
	if found != nil {
		return found
	}
	if a.AllowAll {
		return warn("name a group in [access] of /etc/gifford-hub/hub.toml",
			"allow_all admits everyone with a login at the provider and a Unix account")
	}
	return ok("at least one rule admits people, and its groups are known")
}

// roles warns of default roles without scopes.
func roles(_ context.Context, r *run) []finding {
	if r.settings == nil {
		return noSettings()
	}
	var found []finding
	for _, problem := range r.settings.EmptyRoles() {
		found = append(found, warn("remove scopes = [] in /etc/gifford-hub/hub.toml or hub.d, unless it is meant",
			"%s", problem)...)
	}
	if found != nil {
		return found
	}
	return ok("the default roles have scopes")
}

// discovery is what is compared of the provider's discovery document (OpenID Connect
// Discovery 1.0, section 3).
type discovery struct {
	Issuer        string   `json:"issuer"`
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	JWKS          string   `json:"jwks_uri"`
	PKCE          []string `json:"code_challenge_methods_supported"`
}

func provider(ctx context.Context, r *run) []finding {
	if r.settings == nil {
		return noSettings()
	}
	l := r.settings.Login
	if e := l.Endpoints; e.Authorization != "" && e.Token != "" && e.JWKS != "" {
		if _, err := r.Host.Fetch(ctx, e.JWKS); err != nil {
			return fail("curl -v "+e.JWKS, "cannot read the provider's keys: %v", err)
		}
		return ok("the provider's keys can be read; its other end points are set by hand")
	}
	url := strings.TrimSuffix(l.Issuer, "/") + "/.well-known/openid-configuration"
	body, err := r.Host.Fetch(ctx, url)
	if err != nil {
		return fail("curl -v "+url, "cannot reach the provider: %v", err)
	}
	var d discovery
	if err := json.Unmarshal(body, &d); err != nil {
		return fail("curl -v "+url, "the provider answers at %s with something that is not a discovery document", url)
	}
	return matches(l, url, d)
}

// matches compares the document with the settings.
func matches(l config.Login, url string, d discovery) []finding {
	switch {
	case d.Issuer != l.Issuer:
		return fail(fmt.Sprintf("set issuer = %q in [login] of /etc/gifford-hub/hub.toml", d.Issuer),
			"the provider calls itself %q, the settings %q; they must be the same letter by letter", d.Issuer, l.Issuer)
	case d.Authorization == "" || d.Token == "" || d.JWKS == "":
		return fail("set [login.endpoints] in /etc/gifford-hub/hub.toml",
			"the discovery document at %s lacks end points", url)
	case len(d.PKCE) > 0 && !slices.Contains(d.PKCE, "S256"):
		return fail("let the provider allow PKCE with S256 for this client",
			"the provider does not offer PKCE with S256, only %s", strings.Join(d.PKCE, ", "))
	case len(d.PKCE) == 0:
		return warn("ask the provider's people whether PKCE with S256 works",
			"%s answers, but does not say whether it supports PKCE", l.Issuer)
	}
	return ok("%s answers, with PKCE S256", l.Issuer)
}
