package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// permissionProblems gives what contradicts in roles, custom scopes and services.
func (c *Config) permissionProblems(src Source) Problems {
	p := &permissions{cfg: c, file: src.File}
	if src.Scopes != nil {
		p.check = src.Scopes(c)
	}
	p.customScopes()
	p.roles()
	p.services()
	return p.problems
}

// permissions gathers problems of the named sections.
type permissions struct {
	cfg      *Config
	file     string
	check    func(scope string) error // may be nil
	problems Problems
}

// problem blames a key of a section, or the section where the key is not set.
func (p *permissions) problem(section, key, format string, args ...any) {
	o, ok := p.cfg.Origin(section + "." + key)
	if !ok {
		o, ok = p.cfg.Origin(section)
	}
	if !ok {
		o = Origin{File: p.file}
	}
	p.problems = append(p.problems, Problem{o.File, o.Line, section + "." + key, fmt.Sprintf(format, args...)})
}

func (p *permissions) customScopes() {
	for _, name := range slices.Sorted(maps.Keys(p.cfg.CustomScopes)) {
		section, s := "custom_scopes."+quoteKey(name), p.cfg.CustomScopes[name]
		if s.Description == "" {
			p.problem(section, "description", "not set; say what the scope allows, which people are asked to agree to")
		}
		p.scopes(section, "subscopes", s.Subscopes)
	}
}

// scopes checks a list of scopes: custom ones must be declared, others be known.
func (p *permissions) scopes(section, key string, list []string) {
	for _, scope := range list {
		name, _, _ := strings.Cut(scope, "!")
		if strings.HasPrefix(name, "custom:") {
			if p.cfg.CustomScopes[name] == nil {
				p.problem(section, key, "%q is not declared; add a section [custom_scopes.%s]", name, quoteKey(name))
			}
			continue
		}
		if p.check == nil {
			continue
		}
		if err := p.check(scope); err != nil {
			p.problem(section, key, "%v", err)
		}
	}
}

func (p *permissions) roles() {
	for _, name := range slices.Sorted(maps.Keys(p.cfg.Roles)) {
		section, r := "roles."+quoteKey(name), p.cfg.Roles[name]
		p.scopes(section, "scopes", r.Scopes)
		for _, s := range r.Services {
			if p.cfg.Services[s] == nil {
				p.problem(section, "services", "there is no section [services.%s]", s)
			}
		}
		if name != "user" && name != "server" && name != "token" {
			continue
		}
		for _, key := range []string{"users", "groups", "services"} {
			if p.cfg.isSet(section + "." + key) {
				p.problem(section, key, "who has the role %q is not for settings to say; drop this, or make a role of another name", name)
			}
		}
	}
}

func (p *permissions) services() {
	clients, tokens := map[string]string{}, map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(p.cfg.Services)) {
		section, s := "services."+name, p.cfg.Services[name]
		p.scopes(section, "scopes", s.Scopes)
		p.scopes(section, "oauth_client_allowed_scopes", s.OAuthAllowedScopes)
		p.token(name, section, s)
		p.oauth(name, section, s)
		if other := clients[s.OAuthClientID]; other != "" && s.OAuth {
			p.problem(section, "oauth_client_id", "is that of the service %q too", other)
		} else if s.OAuth {
			clients[s.OAuthClientID] = name
		}
		if other := tokens[s.Token.Reveal()]; other != "" && !s.Token.IsZero() {
			p.problem(section, "token_file", "holds the token of the service %q too; give each its own", other)
		}
		tokens[s.Token.Reveal()] = name
	}
}

// minToken is the shortest token: 128 bits in hexadecimal, as JupyterHub's own.
const minToken = 32

// token checks a service's token, and that there is one where it is needed.
func (p *permissions) token(name, section string, s *Service) {
	token := s.Token.Reveal()
	wrong := func(c rune) bool { return c <= ' ' || c >= 0x7f }
	how := "make one with: openssl rand -hex 32"
	switch {
	case token == "" && (s.OAuth || s.Admin || len(s.Scopes) > 0):
		p.problem(section, "token_file", "there is no token; put one into %s/%s (%s)", DefaultSecrets, serviceSecret+name, how)
	case token != "" && (len(token) < minToken || strings.ContainsFunc(token, wrong)):
		p.problem(section, "token_file", "the token in %s must be %d or more ASCII letters, digits and signs on one line; %s",
			p.cfg.origins[tokenKey(name)].File, minToken, how)
	}
}

// oauth checks that a service that signs people in has a place of its own to come back to.
func (p *permissions) oauth(name, section string, s *Service) {
	if !s.OAuth {
		for _, key := range []string{"oauth_client_id", "oauth_redirect_uri", "oauth_no_confirm", "oauth_client_allowed_scopes"} {
			if p.cfg.isSet(section + "." + key) {
				p.problem(section, key, "has no effect without oauth = true")
			}
		}
		return
	}
	own := p.cfg.ServicePrefix(name)
	switch local := strings.HasPrefix(s.OAuthRedirectURI, "/"); {
	case local && !strings.HasPrefix(s.OAuthRedirectURI, own):
		p.problem(section, "oauth_redirect_uri", "must be below %s, or an absolute URL: others' pages must not get the service's codes", own)
	case local && s.URL == "":
		p.problem(section, "oauth", "needs url, or an absolute oauth_redirect_uri, or nobody could come back to the service")
	}
}
