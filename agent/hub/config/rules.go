package config

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// rule is a condition between settings. broken returns "" or the fault of the setting named by key.
type rule struct {
	key    string
	broken func(c *Config) string
}

// when returns text if a condition is true.
func when(condition bool, text string) string {
	if condition {
		return text
	}
	return ""
}

func (c *Config) isSet(key string) bool { _, ok := c.origins[key]; return ok }

// rules lists what is required and what contradicts.
func rules() []rule { return slices.Concat(loginRules(), httpRules(), accessRules(), cullRules()) }

func loginRules() []rule {
	return []rule{
		{"login.issuer", func(c *Config) string {
			return when(c.Login.Issuer == "", "not set; give the provider's issuer URL, without which nobody can "+
				"sign in")
		}},
		{"login.client_id", func(c *Config) string {
			return when(c.Login.ClientID == "", "not set, and no "+envClientID+" in "+oldEnvFile+
				"; take it from the provider's registration of this hub")
		}},
		{"login.callback_url", func(c *Config) string {
			return when(c.Login.CallbackURL == "", "not set, and no "+envCallbackURL+" in "+oldEnvFile+
				"; give the address registered with the provider")
		}},
		{"login.callback_url", callbackTrouble},
		{"login.username_pattern", func(c *Config) string {
			return when(c.Login.UsernameClaim == "email" && c.Login.UsernamePattern == "",
				`required when username_claim is "email", or people of other domains could take a member's name; `+
					`such as '^(.+)@example\.org$'`)
		}},
		{"login.groups_claim", func(c *Config) string {
			return when(c.Login.GroupsClaim == "" && len(c.Access.Groups)+len(c.Access.AdminGroups) > 0,
				"empty, but [access] asks for groups of the provider")
		}},
		{"login.post_logout_url", func(c *Config) string {
			return when(c.Login.PostLogoutURL != "" && !c.Login.ProviderLogout,
				"has no effect without provider_logout = true")
		}},
		{"tls.certificate", func(c *Config) string {
			return when(!c.HTTP.BehindProxy && c.TLS.Certificate == "",
				"not set; give a PEM file, or set http.behind_proxy = true when another proxy ends TLS in front of "+
					"the hub")
		}},
		{"tls.certificate", func(c *Config) string {
			return when(c.HTTP.BehindProxy && c.TLS.Certificate != "",
				"contradicts http.behind_proxy = true, with which the hub speaks plain HTTP; drop one of them")
		}},
		{"tls.key", func(c *Config) string {
			return when(c.TLS.Key != "" && c.TLS.Certificate == "", "set without tls.certificate")
		}},
	}
}

func httpRules() []rule {
	return []rule{
		{"http.trusted_proxies", func(c *Config) string {
			return when(c.isSet("http.trusted_proxies") && !c.HTTP.BehindProxy,
				"has no effect without http.behind_proxy = true")
		}},
		{"http.hsts", func(c *Config) string {
			return when(c.isSet("http.hsts") && c.HTTP.BehindProxy,
				"has no effect with http.behind_proxy = true; the proxy that ends TLS sends the header")
		}},
		{"http.public_url", publicURLTrouble},
		{"servers.origin", func(c *Config) string {
			if _, err := origins.New(c.HTTP.PublicURL, c.Servers.Origin); err != nil && c.Servers.Origin != "" {
				return err.Error()
			}
			return ""
		}},
		{"http.public_url", func(c *Config) string {
			_, err := parseHost(c.PublicHost())
			return when(c.HTTP.PublicURL != "" && err != nil,
				"its host is not in the form in which browsers ask for it: "+
					"write letters beyond ASCII as xn--…")
		}},
	}
}

func accessRules() []rule {
	return []rule{
		{"access.allow_all", func(c *Config) string {
			return when(c.Access.AllowAll && len(c.Access.Users)+len(c.Access.Groups)+len(c.Access.UnixGroups) > 0,
				"contradicts the users and groups that are named as well; drop one of them")
		}},
		{"access.blocked_users", func(c *Config) string {
			for _, u := range c.Access.BlockedUsers {
				if slices.Contains(c.Access.Users, u) || slices.Contains(c.Access.AdminUsers, u) {
					return "names " + u.String() + ", who is also allowed to enter"
				}
			}
			return ""
		}},
		{"access.max_stale", func(c *Config) string {
			return when(c.Access.MaxStale < c.Access.Recheck,
				"shorter than access.recheck, so that every session would end before it is checked again")
		}},
	}
}

func cullRules() []rule {
	return []rule{
		{"cull.notice", func(c *Config) string {
			idle, who := c.shortestIdle()
			return when(c.Cull.Enabled && idle > 0 && c.Cull.Notice >= idle,
				"not shorter than idle"+who+", so that the end would always be announced")
		}},
		{"cull.enabled", func(c *Config) string {
			return when(c.Cull.Enabled && c.neverCulls(), "has no effect while idle, max_age and gpu_idle are 0s")
		}},
		{"cull.gpu_idle", (*Config).gpuIdleTrouble},
		{"cull.gpu_busy", func(c *Config) string {
			return when(c.Cull.BusyGPU > 100, "above 100 percent, so that no GPU would ever be in use")
		}},
	}
}

// callbackTrouble checks that the callback is on this hub, uses HTTPS if the hub does, and is not on a path with
// another meaning.
func callbackTrouble(c *Config) string {
	if c.Login.CallbackURL == "" {
		return ""
	}
	u, err := url.Parse(c.Login.CallbackURL)
	if err != nil {
		return err.Error()
	}
	below := strings.TrimPrefix(c.CallbackPath(), strings.TrimSuffix(c.HTTP.BaseURL, "/"))
	switch {
	case u.Scheme == "http" && !c.HTTP.BehindProxy:
		return "must begin with https://, since the hub speaks TLS itself"
	case u.RawQuery != "":
		return "must not hold a query"
	case below == "" || below == "/" || strings.HasPrefix(below, "/user/") || strings.HasPrefix(below, "/hub/api/"):
		return "the path " + c.CallbackPath() + " has another meaning for the hub; register one such as " +
			c.HTTP.BaseURL + "hub/oauth_callback"
	}
	return ""
}

// publicURLTrouble compares the public URL with the callback. Cookies of one host do not reach another, so nobody could
// finish signing in.
func publicURLTrouble(c *Config) string {
	if c.HTTP.PublicURL == "" {
		return ""
	}
	public, errPublic := url.Parse(c.HTTP.PublicURL)
	callback, errCallback := url.Parse(c.Login.CallbackURL)
	if errPublic != nil || errCallback != nil {
		return "" // reported where it is read
	}
	switch {
	case strings.TrimSuffix(public.Path, "/")+"/" != c.HTTP.BaseURL || public.RawQuery != "":
		return "its path must be http.base_url, " + c.HTTP.BaseURL
	case c.Login.CallbackURL != "" && (!strings.EqualFold(public.Host, callback.Host) ||
		public.Scheme != callback.Scheme):
		return "is on " + public.Scheme + "://" + public.Host + ", but login.callback_url on " + callback.Scheme +
			"://" + callback.Host + "; nobody could finish signing in"
	}
	return ""
}

// contradictions returns every rule that does not hold. main is the file to blame for settings that no file sets.
func (c *Config) contradictions(main string) settings.Problems {
	var problems settings.Problems
	for _, r := range rules() {
		text := r.broken(c)
		if text == "" {
			continue
		}
		o, ok := c.Origin(r.key)
		if !ok {
			o = Origin{File: main}
		}
		problems = append(problems, settings.Problem{File: o.File, Line: o.Line, Key: r.key, Text: text})
	}
	troubles := c.grantTroubles()
	for _, key := range slices.Sorted(maps.Keys(troubles)) {
		o, ok := c.Origin(key)
		if section := key[:strings.LastIndexByte(key, '.')+1]; !ok && section != "" {
			o, ok = c.Origin(strings.TrimSuffix(section, "."))
		}
		if !ok {
			o = Origin{File: main}
		}
		problems = append(problems, settings.Problem{File: o.File, Line: o.Line, Key: key, Text: troubles[key]})
	}
	return problems
}
