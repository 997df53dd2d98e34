package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// Role is a section [roles.NAME].
type Role struct {
	Description string
	Scopes      []string
	Users       []ident.User
	Groups      []string
	Services    []string
}

// Group is a section [groups.NAME].
type Group struct {
	Users      []ident.User
	Properties map[string]any
}

// Service is a section [services.NAME].
type Service struct {
	URL           string
	Admin         bool
	Scopes        []string
	TokenFile     string
	Token         Secret // from TokenFile or the credential
	tokenIsEnv    bool   // the file holds APIToken before it
	OAuth         bool
	ClientID      string
	RedirectURI   string
	AllowedScopes []string
	NoConfirm     bool
	Unit          string
	Display       bool
	Info          map[string]any
}

// CustomScope is a section [custom_scopes."custom:NAME"].
type CustomScope struct {
	Description string
	Subscopes   []string
}

// TokenSettings is the section [tokens].
type TokenSettings struct {
	DefaultLife time.Duration // 0: never ends
	MaxLife     time.Duration // 0: no bound
	Bounded     bool          // a token makes none that may do more
}

// add makes an entry of sections with names, unless there is one.
func add[T any](entries func(*Config) *map[string]*T, fresh T) func(*Config, settings.Entry) bool {
	return func(c *Config, at settings.Entry) bool {
		m := entries(c)
		if *m == nil {
			*m = map[string]*T{}
		}
		if (*m)[at.Name] != nil {
			return false
		}
		entry := fresh
		(*m)[at.Name] = &entry
		return true
	}
}

// names returns the entries of sections with names, by the section's key.
func (c *Config) names(section string) []string {
	switch section {
	case "roles.*":
		return slices.Sorted(maps.Keys(c.Roles))
	case "groups.*":
		return slices.Sorted(maps.Keys(c.Groups))
	case "services.*":
		return slices.Sorted(maps.Keys(c.Services))
	case "custom_scopes.*":
		return slices.Sorted(maps.Keys(c.CustomScopes))
	}
	return nil
}

func checkRoleName(name string) error {
	if name == scopes.AdminRole {
		return errors.New("cannot be changed; make people administrators with access.admin_users, and give fewer " +
			"rights with a role of another name")
	}
	_, err := scopes.ParseRoleName(name)
	return err
}

// serviceName limits a name to characters that are harmless in a path, a scope, a file's name and a log.
var serviceName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func checkServiceName(name string) error {
	if !serviceName.MatchString(name) {
		return fmt.Errorf("cannot use service name %.70q: use 1 to 63 of a-z, 0-9, \"-\" and \"_\"", name)
	}
	return nil
}

// checkGroupName accepts any name that a provider's claim may hold, except names that people cannot distinguish.
func checkGroupName(name string) error {
	if len(name) > 255 || strings.TrimSpace(name) != name {
		return errors.New("cannot be a group's name; use up to 255 bytes, no blank first or last")
	}
	_, err := filled(name)
	return err
}

func checkCustomScope(name string) error {
	_, err := scopes.NewTable([]scopes.Custom{{Name: name, Description: "any"}})
	return err
}

// defNamed is def for a key of sections with names.
func defNamed[T any](key string, k settings.Kind[T], field func(c *Config, name string) *T, example,
	doc string) Setting {
	return settings.Define(key, k, func(c *Config, at settings.Entry) *T { return field(c, at.Name) },
		settings.Words{Example: example, Doc: doc})
}

func tokenSettings() []Setting {
	return []Setting{
		def("tokens.default_expires_in", durationOrZero,
			func(c *Config) *time.Duration { return &c.Tokens.DefaultLife }, `"0s"`, "",
			"The life of an API token that is requested without one; 0 means forever."),
		def("tokens.max_expires_in", durationOrZero, func(c *Config) *time.Duration { return &c.Tokens.MaxLife },
			`"0s"`, "",
			"The longest life that a token may have; 0 means any."),
		def("tokens.bounded", boolean, func(c *Config) *bool { return &c.Tokens.Bounded }, `false`, "",
			"Whether a token, or a service, may make tokens with scopes alone that it has itself. As in JupyterHub, "+
				"`false` lets one with the scope `tokens` make a token with all that the new token's owner may do."),
	}
}

func roleSettings() []Setting {
	return []Setting{
		defNamed("roles.*.description", text, func(c *Config, n string) *string { return &c.Roles[n].Description },
			`"may see who is active"`, "For people."),
		defNamed("roles.*.scopes", scopeList, func(c *Config, n string) *[]string { return &c.Roles[n].Scopes },
			`["list:users", "read:servers!group=lab"]`,
			"What the role may do, in JupyterHub's scopes. The roles `user`, `server` and `token` always exist "+
				"and may get other scopes, or none with `[]`; `admin` may not."),
		defNamed("roles.*.users", users, func(c *Config, n string) *[]ident.User { return &c.Roles[n].Users },
			`["alice"]`, "Users who have the role."),
		defNamed("roles.*.groups", texts, func(c *Config, n string) *[]string { return &c.Roles[n].Groups }, `["lab"]`,
			"Groups whose members have the role."),
		defNamed("roles.*.services", serviceNames, func(c *Config, n string) *[]string { return &c.Roles[n].Services },
			`["culler"]`, "Services that have the role."),
	}
}

func groupSettings() []Setting {
	return []Setting{
		defNamed("groups.*.users", users, func(c *Config, n string) *[]ident.User { return &c.Groups[n].Users },
			`["alice", "bob"]`,
			"Members by the settings. Others come from the provider's claim, from Unix groups and through the API."),
		defNamed("groups.*.properties", freeTable, func(c *Config,
			n string) *map[string]any {
			return &c.Groups[n].Properties
		}, `{ room = "32-G575" }`, "Data about the group that the API returns."),
	}
}

func serviceSettings() []Setting {
	return []Setting{
		defNamed("services.*.url", serviceURL, func(c *Config, n string) *string { return &c.Services[n].URL },
			`"http://127.0.0.1:9001"`,
			"Where it listens, `http://HOST:PORT` or `unix:/PATH`; the hub proxies `/services/NAME/` to it. A port "+
				"can be opened by any account of the host while the service is down, a socket in a directory of its "+
				"own cannot. Left out: the service has no pages."),
		defNamed("services.*.admin", boolean, func(c *Config, n string) *bool { return &c.Services[n].Admin }, `true`,
			"The service may do everything."),
		defNamed("services.*.scopes", scopeList, func(c *Config, n string) *[]string { return &c.Services[n].Scopes },
			`["list:users", "read:servers", "delete:servers"]`, "What its token may do, besides its roles."),
		defNamed("services.*.token_file", path, func(c *Config, n string) *string { return &c.Services[n].TokenFile },
			`"/etc/gifford-hub/culler.token"`,
			"A file with its API token, readable by `gifford-hub`. The token may follow `JUPYTERHUB_API_TOKEN=`, so "+
				"that the service's unit can have the same file as its environment. Without it: the credential "+
				"`service-NAME` (the file `/etc/gifford-hub/secrets/service-NAME`), then none."),
		defNamed("services.*.oauth", boolean, func(c *Config, n string) *bool { return &c.Services[n].OAuth }, `true`,
			"People can be signed in for it, as JupyterHub's HubOAuth does; the token is its client secret."),
		defNamed("services.*.oauth_client_id", clientID, func(c *Config,
			n string) *string {
			return &c.Services[n].ClientID
		}, `"service-NAME"`, "Its OAuth client id; left out: `service-NAME`."),
		defNamed("services.*.oauth_redirect_uri", redirectURI,
			func(c *Config, n string) *string { return &c.Services[n].RedirectURI }, `"/services/NAME/oauth_callback"`,
			"The address to which people return, compared letter by letter; left out: "+
				"`/services/NAME/oauth_callback`."),
		defNamed("services.*.oauth_client_allowed_scopes", scopeList,
			func(c *Config, n string) *[]string { return &c.Services[n].AllowedScopes }, `["read:servers!user"]`,
			"Scopes that it may ask people for, besides their identity."),
		defNamed("services.*.oauth_no_confirm", boolean, func(c *Config,
			n string) *bool {
			return &c.Services[n].NoConfirm
		}, `true`, "People are not asked for consent before the service learns their identity."),
		defNamed("services.*.unit", unitName, func(c *Config, n string) *string { return &c.Services[n].Unit },
			`"lab-board.service"`, "The systemd unit that runs it. systemd starts and monitors it; the hub names it "+
				"when the service does not answer."),
		defNamed("services.*.display", boolean, func(c *Config, n string) *bool { return &c.Services[n].Display },
			`false`, "The home page links to the service."),
		defNamed("services.*.info", freeTable, func(c *Config, n string) *map[string]any { return &c.Services[n].Info },
			`{ title = "Board" }`, "Data about the service that the API returns."),
	}
}

func customScopeSettings() []Setting {
	return []Setting{
		defNamed("custom_scopes.*.description", text, func(c *Config,
			n string) *string {
			return &c.CustomScopes[n].Description
		}, `"write to the board"`, "For people."),
		defNamed("custom_scopes.*.subscopes", scopeList, func(c *Config,
			n string) *[]string {
			return &c.CustomScopes[n].Subscopes
		}, `["custom:board:read"]`, "Custom scopes that this scope contains."),
	}
}

// serviceToken is the name of a service's file among the secrets.
const serviceToken = "service-"

// APIToken may stand before a service's token in its file, so that systemd can read the
// same file as the service's environment.
const APIToken = "JUPYTERHUB_API_TOKEN="

// tokenKey is the key of the source of a service's token in origins.
func tokenKey(name string) string { return "services." + settings.QuoteKey(name) + ".token" }

// TokenFile returns the file from which a service's token was read; "" without a token. asEnv reports whether the file
// can be a unit's EnvironmentFile=.
func (c *Config) TokenFile(name string) (file string, asEnv bool) {
	return c.origins[tokenKey(name)].File, c.Services[name].tokenIsEnv
}

// serviceTokens reads the services' tokens.
func (c *Config) serviceTokens(src Source) error {
	for name, s := range c.Services {
		if err := c.serviceToken(src, name, s); err != nil {
			return err
		}
	}
	return nil
}

// serviceToken reads the file that the settings name, or else the credential.
func (c *Config) serviceToken(src Source, name string, s *Service) (err error) {
	var data []byte
	file, found := s.TokenFile, true
	if file != "" {
		data, err = readFile(file)
	} else {
		data, file, found, err = src.secretFile(serviceToken + name)
	}
	if err != nil || !found {
		return err
	}
	var token string
	token, s.tokenIsEnv = strings.CutPrefix(strings.TrimSpace(string(data)), APIToken)
	s.Token = NewSecret(token)
	c.origins[tokenKey(name)] = Origin{File: file}
	return nil
}

// Table returns all scopes, with the custom ones of the settings.
func (c *Config) Table() (*scopes.Table, error) {
	var custom []scopes.Custom
	for _, name := range slices.Sorted(maps.Keys(c.CustomScopes)) {
		custom = append(custom, scopes.Custom{Name: name, Description: c.CustomScopes[name].Description,
			Subscopes: c.CustomScopes[name].Subscopes})
	}
	return scopes.NewTable(custom)
}

// ClientID returns the OAuth client id of a service, "" when it is not a client.
func (c *Config) ClientID(name string) string {
	s := c.Services[name]
	switch {
	case !s.OAuth && s.RedirectURI == "" && s.ClientID == "":
		return ""
	case s.ClientID != "":
		return s.ClientID
	}
	return "service-" + name
}

// RedirectURI returns the address to which a service's people return.
func (c *Config) RedirectURI(name string) string {
	if uri := c.Services[name].RedirectURI; uri != "" {
		return uri
	}
	return c.HTTP.BaseURL + "services/" + name + "/oauth_callback"
}
