// Package config reads the hub's settings: hub.toml, the files of hub.d in the order of their names, and the Docker env
// file of the old set-up. It returns one struct, or every problem of those files with file and line. It must never
// guess: an unknown key, a wrong type and settings that contradict each other are errors. It opens no connection and
// resolves no account.
package config

import (
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Where the settings are on a host (ARCHITECTURE.md).
const (
	DefaultFile    = "/etc/gifford-hub/hub.toml"
	DefaultDropIns = "/etc/gifford-hub/hub.d"
	DefaultSecrets = "/etc/gifford-hub/secrets"
)

// Config is the merged settings. The table that Settings returns holds the meaning and default of each field. The
// documentation is generated from it.
type Config struct {
	HTTP    HTTP
	TLS     TLS
	Login   Login
	Access  Access
	Session Session
	Servers Servers
	Metrics Metrics
	Tokens  TokenSettings
	Web     Web
	Cull    Cull
	Disk    Disk
	Log     Log
	State   State

	Roles        map[string]*Role
	Groups       map[string]*Group
	Services     map[string]*Service
	CustomScopes map[string]*CustomScope

	origins map[string]Origin // setting's key -> the source of its value; defaults have none
}

// HTTP is the section [http].
type HTTP struct {
	BaseURL        string   // path, with a slash at both ends
	PublicURL      string   // "" until Load has derived it; with base_url's path
	Hosts          []string // names and addresses beside that of PublicURL, without ports
	MaxAnonymous   int      // connections, and requests at once, of one address without a session; 0: any number
	BehindProxy    bool
	TrustedProxies []netip.Prefix
	RedirectPort   int
	HSTS           bool
	DrainTimeout   time.Duration
}

// TLS is the section [tls].
type TLS struct {
	Certificate string // path of a PEM file
	Key         string // path of a PEM file; "" when the key is in Certificate
}

// Login is the section [login].
type Login struct {
	Issuer               string
	ClientID             string
	ClientSecret         Secret // from client_secret_file, a credential or the old env file
	ClientSecretFile     string
	ClientAuth           string
	CallbackURL          string
	Scopes               []string
	UsernameClaim        string
	UsernamePattern      string
	UsernameMap          map[string]ident.User
	Lowercase            bool
	RequireVerifiedEmail *bool // nil: true for the claim email, false for others
	GroupsClaim          string
	ProviderName         string
	AutoLogin            bool
	ProviderLogout       bool
	PostLogoutURL        string
	Endpoints            Endpoints
}

// Endpoints is the section [login.endpoints].
type Endpoints struct {
	Authorization string
	Token         string
	UserInfo      string
	JWKS          string
	EndSession    string
}

// Access is the section [access].
type Access struct {
	Users           []ident.User
	Groups          []string
	UnixGroups      []string
	BlockedUsers    []ident.User
	AdminUsers      []ident.User
	AdminGroups     []string
	AdminUnixGroups []string
	AllowAll        bool
	// ImportUnixGroups become groups of the hub.
	ImportUnixGroups []string
	Recheck          time.Duration
	MaxStale         time.Duration
	Leaving          time.Duration // from the loss of the right to enter to the end of the servers
}

// Empty reports whether no rule admits anybody.
func (a Access) Empty() bool {
	return !a.AllowAll && len(a.Users)+len(a.Groups)+len(a.UnixGroups)+
		len(a.AdminUsers)+len(a.AdminGroups)+len(a.AdminUnixGroups) == 0
}

// Session is the section [session].
type Session struct {
	Lifetime time.Duration
	Idle     time.Duration // 0: never
}

// Servers is the section [servers].
type Servers struct {
	StartTimeout time.Duration
	HTTPTimeout  time.Duration
	StopTimeout  time.Duration
	Named        int    // how many named servers a user may have; below 0 any number
	Origin       string // of each member's servers, with {user}; "" where they have the hub's
}

// Web is the section [web].
type Web struct {
	Contact          string
	Announcement     string
	RedirectToServer bool
}

// Metrics is the section [metrics].
type Metrics struct {
	Authenticate bool
}

// Cull is the section [cull].
type Cull struct {
	Enabled    bool
	Idle       time.Duration // 0: never
	MaxAge     time.Duration // 0: never
	MaxAgeBusy bool
	Every      time.Duration
	Notice     time.Duration
	BusyCPU    int // percent of one core; 0: CPU time is not measured
	Connected  bool
	GPUIdle    time.Duration        // 0: never
	GPUAction  string               // "restart", without GPU, or "stop"
	BusyGPU    int                  // percent; 0: the use of GPUs is not measured
	Groups     map[string]CullGroup // by the Unix group's name
}

// CullGroup is a section [cull.group.NAME]; nil means the value of [cull].
type CullGroup struct {
	Idle    *time.Duration
	MaxAge  *time.Duration
	GPUIdle *time.Duration
	Exempt  bool
}

// Log is the section [log].
type Log struct {
	Level slog.Level
}

// State is the section [state].
type State struct {
	Directory string // "" outside a unit that has a StateDirectory
}

// Origin is where a setting's value comes from.
type Origin struct {
	File string // path, or the credential's or variable's name
	Line int    // 0 when there is none
}

// Origin returns the source of a setting's value ("login.issuer"); ok is false for a default.
func (c *Config) Origin(key string) (o Origin, ok bool) {
	o, ok = c.origins[key]
	return o, ok
}

// CallbackPath is the path of the callback URL. It is the path registered with the provider and need not be below
// base_url.
func (c *Config) CallbackPath() string {
	u, err := url.Parse(c.Login.CallbackURL)
	if err != nil || u.Path == "" {
		return "/"
	}
	return u.Path
}

// Origins are the web origins of the hub, of its members' servers and of services. Load has checked them.
func (c *Config) Origins() origins.Origins {
	o, _ := origins.New(c.HTTP.PublicURL, c.Servers.Origin)
	return o
}

// PublicHost is the host name or address that people type, without a port.
func (c *Config) PublicHost() string {
	u, err := url.Parse(c.HTTP.PublicURL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// publicURL derives http.public_url from the callback's URL, which has the hub's host too.
func (c *Config) publicURL() string {
	u, err := url.Parse(c.Login.CallbackURL)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + strings.ToLower(u.Host) + c.HTTP.BaseURL
}
