package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// minToken is the shortest token of a service. JupyterHub accepts 8 characters, but whoever guesses a token gets all
// the service's rights.
const minToken = 8

// makeToken is how to make a token.
const makeToken = "make one with: openssl rand -hex 32"

// grantTroubles returns what is wrong with roles, services and scopes, by key.
func (c *Config) grantTroubles() map[string]string {
	g := grants{cfg: c, bad: map[string]string{}, clients: map[string]string{}, tokens: map[string]string{}}
	g.customScopes()
	if len(g.bad) > 0 {
		return g.bad
	}
	var err error
	if g.table, err = c.Table(); err != nil {
		g.bad["custom_scopes"] = err.Error()
		return g.bad
	}
	for name, r := range c.Roles {
		g.role("roles."+settings.QuoteKey(name)+".", name, r)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		g.service("services."+settings.QuoteKey(name)+".", name, c.Services[name])
	}
	return g.bad
}

// grants collects the problems.
type grants struct {
	cfg     *Config
	table   *scopes.Table
	bad     map[string]string // by key
	clients map[string]string // OAuth client id -> service
	tokens  map[string]string // token -> service
}

// customScopes finds what agent/hub/scopes would refuse without naming a line.
func (g *grants) customScopes() {
	for name, s := range g.cfg.CustomScopes {
		key := "custom_scopes." + settings.QuoteKey(name) + "."
		if s.Description == "" {
			g.bad[key+"description"] = "not set; say what the scope allows, for people who are asked for it"
		}
		for _, sub := range s.Subscopes {
			if g.cfg.CustomScopes[sub] == nil {
				g.bad[key+"subscopes"] = fmt.Sprintf("%q is not a custom scope; add a section [custom_scopes.%s], or "+
					"make a role to grant other scopes together", sub, settings.QuoteKey(sub))
			}
		}
	}
}

func (g *grants) role(key, name string, r *Role) {
	if err := g.table.CheckRole(scopes.Role{Name: name, Scopes: r.Scopes}); err != nil {
		g.bad[key+"scopes"] = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	for _, s := range r.Services {
		if g.cfg.Services[s] == nil {
			g.bad[key+"services"] = "names the service " + quote(s) + ", which has no section"
		}
	}
}

func (g *grants) service(key, name string, s *Service) {
	for field, list := range map[string][]string{"scopes": s.Scopes, "oauth_client_allowed_scopes": s.AllowedScopes} {
		for _, text := range list {
			if _, err := g.table.Parse(text); err != nil {
				g.bad[key+field] = err.Error()
			}
		}
	}
	g.token(key, name, s)
	if g.cfg.ClientID(name) != "" {
		g.client(key, name, s)
		return
	}
	for _, field := range []string{"oauth_no_confirm", "oauth_client_allowed_scopes"} {
		if g.cfg.isSet(key + field) {
			g.bad[key+field] = "has no effect without oauth = true"
		}
	}
}

// token finds tokens that are missing, too weak, or shared by two services.
func (g *grants) token(key, name string, s *Service) {
	token := s.Token.Reveal()
	file, _ := g.cfg.TokenFile(name)
	strange := func(c rune) bool { return c <= ' ' || c >= 0x7f }
	other := g.tokens[token]
	switch {
	case token == "" && (s.Admin || len(s.Scopes) > 0):
		g.bad[key+"token_file"] = "the service has rights but no token; put one into " +
			DefaultSecrets + "/" + serviceToken + name + " (" + makeToken +
			") and restart the hub, which reads new secrets then"
	case token == "":
		return
	case len(token) < minToken:
		g.bad[key+"token_file"] = fmt.Sprintf("the token in %s is shorter than %d characters; %s", file, minToken,
			makeToken)
	case strings.ContainsFunc(token, strange):
		g.bad[key+"token_file"] = fmt.Sprintf("%s must hold one token on one line, of ASCII letters, digits and "+
			"signs; %s", file, makeToken)
	case other != "":
		g.bad[key+"token_file"] = "the token in " + file + " is that of the service " + quote(other) +
			" as well; give each its own"
	}
	g.tokens[token] = name
}

// client checks a service's OAuth client.
func (g *grants) client(key, name string, s *Service) {
	id, own := g.cfg.ClientID(name), g.cfg.HTTP.BaseURL+"services/"+name+"/"
	to := g.cfg.RedirectURI(name)
	switch other, taken := g.clients[id]; {
	case taken:
		g.bad[key+"oauth_client_id"] = "is the OAuth client id of service " + quote(other) + " as well"
	case s.Token.IsZero():
		g.bad[key+"oauth"] = "needs a token, which is the client's secret; give token_file, or the secret " +
			serviceToken + name + " and restart the hub, which reads new secrets then"
	case strings.HasPrefix(to, "/") && !strings.HasPrefix(to, own):
		g.bad[key+"oauth_redirect_uri"] = "must be below " + own +
			", or an absolute URL: other pages must not receive the service's codes"
	}
	g.clients[id] = name
}
