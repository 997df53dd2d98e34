package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Family is sections of one kind, each with a name that the administrator gives, for the
// documentation.
type Family struct {
	Section  string // "services.NAME"
	Example  string // a section as TOML has it: "services.idle-culler"
	Doc      string // sentences in Markdown without links
	Settings []Setting
}

// Families gives all families in the order in which they are documented.
func Families() []Family {
	var all []Family
	for _, f := range families() {
		all = append(all, Family{Section: f.key + "." + f.placeholder, Example: f.key + "." + quoteKey(f.example), Doc: f.doc, Settings: f.rows(f.example)})
	}
	return all
}

// family is how the sections of one kind are read and shown.
type family struct {
	key         string // "services"
	placeholder string // for a name, in words for people
	example     string // a name
	doc         string
	check       func(name string) error // says why name cannot be one
	names       func(*Config) []string  // sorted
	add         func(c *Config, name string)
	rows        func(name string) []Setting // of the section of that name
}

func (f family) section(name string) string { return f.key + "." + quoteKey(name) }

// newFamily binds a family to its map.
func newFamily[E any](f family, entries func(*Config) *map[string]*E, rows func(string, func(*Config) *E) []Setting) family {
	f.names = func(c *Config) []string { return slices.Sorted(maps.Keys(*entries(c))) }
	f.add = func(c *Config, name string) {
		m := entries(c)
		if *m == nil {
			*m = map[string]*E{}
		}
		if (*m)[name] == nil {
			(*m)[name] = new(E)
		}
	}
	f.rows = func(name string) []Setting {
		return rows(f.section(name)+".", func(c *Config) *E {
			if e := (*entries(c))[name]; e != nil {
				return e
			}
			return new(E) // the documentation asks for a section that is not there
		})
	}
	return f
}

// Patterns of names. A role's is JupyterHub's (roles.py), a custom scope's too
// (scopes.py), except that one letter is enough after the colon.
var (
	roleName    = regexp.MustCompile(`^[a-z][a-z0-9\-_~\.]{1,253}[a-z0-9]$`)
	serviceName = regexp.MustCompile(`^[a-z0-9][a-z0-9\-_]{0,62}$`)
	customScope = regexp.MustCompile(`^custom:[a-z0-9]([a-z0-9_\-*:]*[a-z0-9_*])?$`)
)

func checkRoleName(name string) error {
	if name == "admin" {
		return errors.New(`the role "admin" cannot be changed; make people administrators with access.admin_users, and give other rights with a role of your own`)
	}
	if !roleName.MatchString(name) {
		return errors.New(`cannot be a role's name; use 3 to 255 of a-z, 0-9 and "-_~.", a letter first and a letter or digit last`)
	}
	return nil
}

func checkServiceName(name string) error {
	if !serviceName.MatchString(name) {
		return errors.New(`cannot be a service's name; use 1 to 63 of a-z, 0-9, "-" and "_", a letter or digit first`)
	}
	return nil
}

func checkCustomScope(name string) error {
	if !customScope.MatchString(name) {
		return errors.New(`cannot be a custom scope; use "custom:" and a-z, 0-9 and "_-*:", a letter or digit first and no "-" or ":" last`)
	}
	return nil
}

func checkGroupName(name string) error {
	if len(name) > 255 || strings.TrimSpace(name) != name {
		return errors.New("cannot be a group's name; use up to 255 bytes without blanks at the ends")
	}
	_, err := filled(name)
	return err
}

func families() []family {
	return []family{
		newFamily(family{key: "roles", placeholder: "NAME", example: "instructor", check: checkRoleName,
			doc: "A role: what some people, groups and services may do beyond their own. The roles `user`, `server` and `token` take other `scopes` than JupyterHub's here; `admin` cannot be changed."},
			func(c *Config) *map[string]*Role { return &c.Roles }, roleSettings),
		newFamily(family{key: "groups", placeholder: "NAME", example: "imaging", check: checkGroupName,
			doc: "A group of the hub, there from the start. Those of the provider's claim need no section."},
			func(c *Config) *map[string]*Group { return &c.Groups }, groupSettings),
		newFamily(family{key: "custom_scopes", placeholder: `"custom:NAME"`, example: "custom:grades:read", check: checkCustomScope,
			doc: "A scope that means something to a service, and that roles can hold. The hub itself asks for none."},
			func(c *Config) *map[string]*CustomScope { return &c.CustomScopes }, customScopeSettings),
		newFamily(family{key: "services", placeholder: "NAME", example: "idle-culler", check: checkServiceName,
			doc: "A program that the administrator runs, and that may show pages below `/services/NAME/`, use the API or sign people in through the hub (services.md)."},
			func(c *Config) *map[string]*Service { return &c.Services }, serviceSettings),
	}
}

func roleSettings(prefix string, of func(*Config) *Role) []Setting {
	return []Setting{
		def(prefix+"description", text, func(c *Config) *string { return &of(c).Description }, "", `"May look at the servers of the course"`, "For people."),
		def(prefix+"scopes", scopes, func(c *Config) *[]string { return &of(c).Scopes }, "", `["list:users!group=course", "access:servers!group=course"]`, "What it allows: JupyterHub's scopes."),
		def(prefix+"users", users, func(c *Config) *[]ident.User { return &of(c).Users }, "", `["alice"]`, "Who has it."),
		def(prefix+"groups", groupNames, func(c *Config) *[]string { return &of(c).Groups }, "", `["instructors"]`, "Groups whose members have it."),
		def(prefix+"services", serviceNames, func(c *Config) *[]string { return &of(c).Services }, "", `["idle-culler"]`, "Services that have it."),
	}
}

func groupSettings(prefix string, of func(*Config) *Group) []Setting {
	return []Setting{
		def(prefix+"users", users, func(c *Config) *[]ident.User { return &of(c).Users }, "", `["alice", "bob"]`, "The members."),
		def(prefix+"properties", freeTable, func(c *Config) *map[string]any { return &of(c).Properties }, "", `{ room = "32-G575", seats = 4 }`, "What the API tells of the group beside its members."),
	}
}

func customScopeSettings(prefix string, of func(*Config) *CustomScope) []Setting {
	return []Setting{
		def(prefix+"description", text, func(c *Config) *string { return &of(c).Description }, "", `"Read one's grades"`, "What it allows, as the page says that asks people for it. Required."),
		def(prefix+"subscopes", customScopes, func(c *Config) *[]string { return &of(c).Subscopes }, "", `["custom:grades:list"]`, "Custom scopes that it includes."),
	}
}

func serviceSettings(prefix string, of func(*Config) *Service) []Setting {
	return []Setting{
		def(prefix+"url", serviceURL, func(c *Config) *string { return &of(c).URL }, "", `"unix:/run/announcer/web.sock"`,
			"Where it listens for what the hub passes on from `/services/NAME/`. On a port, any account of the host can take its place while it is down and reach it past the hub; a socket in a folder of its own has neither trouble. Left out: it has no pages."),
		def(prefix+"admin", boolean, func(c *Config) *bool { return &of(c).Admin }, `false`, "", "Its token may do what an administrator may."),
		def(prefix+"token_file", path, func(c *Config) *string { return &of(c).TokenFile }, "", `"/etc/announcer/token"`,
			"A file with its API token, readable by `gifford-hub`; the token may follow `JUPYTERHUB_API_TOKEN=`, so that the service's unit can read the same file. Left out: the credential `service-NAME` (the file `/etc/gifford-hub/secrets/service-NAME`), or no token."),
		def(prefix+"scopes", scopes, func(c *Config) *[]string { return &of(c).Scopes }, "", `["list:users", "read:users:activity", "read:servers", "delete:servers"]`, "What its token may do, beside the roles that name it."),
		def(prefix+"oauth", boolean, func(c *Config) *bool { return &of(c).OAuth }, `false`, "", "It signs people in through the hub, as JupyterHub's HubOAuth does."),
		def(prefix+"oauth_client_id", clientID, func(c *Config) *string { return &of(c).OAuthClientID }, "", `"service-announcer"`, "Its name for that. Left out: `service-NAME`."),
		def(prefix+"oauth_redirect_uri", redirectURI, func(c *Config) *string { return &of(c).OAuthRedirectURI }, "", `"https://announcer.example.org/oauth_callback"`, "Where people come back to. Left out: `/services/NAME/oauth_callback`."),
		def(prefix+"oauth_no_confirm", boolean, func(c *Config) *bool { return &of(c).OAuthNoConfirm }, `false`, "", "People are not asked whether it may know who they are."),
		def(prefix+"oauth_client_allowed_scopes", scopes, func(c *Config) *[]string { return &of(c).OAuthAllowedScopes }, "", `["read:users!user", "custom:grades:read"]`, "What it may ask to do in people's name, beside knowing who they are."),
		def(prefix+"unit", unitName, func(c *Config) *string { return &of(c).Unit }, "", `"jupyterhub-idle-culler.service"`, "The systemd unit that runs it, for messages. The hub neither starts nor stops it."),
		def(prefix+"display", boolean, func(c *Config) *bool { return &of(c).Display }, `true`, "", "The pages' menu leads to it, if it has pages."),
		def(prefix+"info", freeTable, func(c *Config) *map[string]any { return &of(c).Info }, "", `{ contact = "hub-admins@example.org" }`, "What the API tells of it besides."),
	}
}

// family reads the sections of a family.
func (r *reader) family(f family, v any) {
	such := "[" + f.section(f.example) + "]"
	tree, ok := v.(map[string]any)
	if !ok {
		r.problem(f.key, "expected sections such as %s, found %s", such, typeName(v))
		return
	}
	for name, v := range tree {
		key := f.section(name)
		if entry, ok := v.(map[string]any); !ok {
			r.problem(key, "expected a section such as %s, found %s", such, typeName(v))
		} else if err := f.check(name); err != nil {
			r.problem(key, "%v", err)
		} else {
			r.entry(f, name, entry)
		}
	}
}

// entry reads one section. A later file's keys go into that of an earlier one.
func (r *reader) entry(f family, name string, tree map[string]any) {
	section := f.section(name)
	settings := map[string]Setting{}
	var known []string
	for _, s := range f.rows(name) {
		settings[s.Key] = s
		known = append(known, s.Key)
	}
	if _, again := r.cfg.origins[section]; !again {
		r.cfg.origins[section] = Origin{r.file, r.lines[section]}
		f.add(r.cfg, name)
		r.defaults(f.rows(name))
	}
	for part, v := range tree {
		key := section + "." + quoteKey(part)
		if s, ok := settings[key]; ok {
			r.value(s, v)
		} else {
			r.problem(key, "%s", unknownOf("key", key, known))
		}
	}
}

// defaults gives a new section the values that settings have without a word.
func (r *reader) defaults(settings []Setting) {
	for _, s := range settings {
		if err := s.setDefault(r.cfg); err != nil {
			r.problem(s.Key, "%v", err)
		}
	}
}

// showFamilies writes every section of the families.
func (c *Config) showFamilies(w io.Writer) {
	for _, f := range families() {
		for _, name := range f.names(c) {
			_, _ = fmt.Fprintf(w, "[%s]\n", f.section(name))
			for _, s := range f.rows(name) {
				c.showLine(w, s)
			}
			if f.key == "services" && !c.Services[name].Token.IsZero() {
				_, _ = fmt.Fprintf(w, "# token = %q\t# %s\n", c.Services[name].Token, c.origins[tokenKey(name)].File)
			}
		}
	}
}
