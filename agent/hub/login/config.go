package login

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// accounts looks up users and groups in the host's name service. An error means that the name
// service did not answer, never that a name is unknown.
type accounts interface {
	// UID returns the uid of the Unix account of that name, and whether there is one.
	UID(ctx context.Context, user ident.User) (uid uint32, exists bool, err error)
	// GroupExists reports whether there is a Unix group of that name.
	GroupExists(ctx context.Context, group string) (bool, error)
	// MemberOf reports whether the group is the user's primary or one of the
	// supplementary groups. An unknown group has no members.
	MemberOf(ctx context.Context, user ident.User, group string) (bool, error)
}

// Config says how people sign in and who may enter.
type Config struct {
	// Issuer is the provider's issuer URL, exactly as its id_tokens name it. Required.
	Issuer string
	// Endpoints from the settings replace those of discovery. With Authorization, Token
	// and JWKS set there is no discovery.
	Endpoints Endpoints
	// ClientID is the hub's name at the provider. Required.
	ClientID string
	// ClientSecret is the hub's password there; empty for a public client.
	ClientSecret string
	// ClientAuth is "client_secret_basic", "client_secret_post", or "" for what
	// discovery says.
	ClientAuth string
	// CallbackURL is the absolute URL registered with the provider; its path is
	// where the Callback handler belongs. With https, cookies are Secure. Required.
	CallbackURL string
	// Scopes to ask for; "openid" is always added. Default openid, profile, email.
	Scopes []string

	// UsernameClaim names the claim that holds the name. Default preferred_username.
	UsernameClaim string
	// UsernamePattern must match the whole claim; group 1 is the name. Required for
	// the claim email, otherwise `^([^@]+)$` when empty.
	UsernamePattern string
	// UsernameMap maps names that differ from the host's; it is applied last.
	UsernameMap map[string]ident.User
	// Lowercase turns the name into lower case before UsernameMap.
	Lowercase bool
	// RequireVerifiedEmail refuses people whose email_verified is not true. Nil
	// means true for the claim email and false for others.
	RequireVerifiedEmail *bool
	// GroupsClaim is the claim with a person's groups: a string or list of strings. It may be a dotted
	// path into objects, such as realm_access.roles.
	GroupsClaim string
	// Access says who may enter and who is an administrator.
	Access Access

	// Recheck is how often the hub checks whether somebody may still enter: while a session or a token is used, and
	// while a server runs. Default 5 minutes.
	Recheck time.Duration
	// MaxStale is how long a session lasts while that check fails. Default 24 hours.
	MaxStale time.Duration
	// Lifetime of a session. Default 14 days, as JupyterHub's cookie_max_age_days.
	Lifetime time.Duration
	// Idle ends a session that was not used for that time; 0 means never.
	Idle time.Duration

	// BasePath is the hub's base URL path with a slash at both ends. Default "/".
	BasePath string
	// ProviderLogout sends people on to the provider's end_session_endpoint at logout.
	ProviderLogout bool
	// PostLogoutURL is where the provider sends them back to; it must be registered
	// there. Empty: they stay at the provider.
	PostLogoutURL string

	// HTTP speaks to the provider; nil means a client with a time-out of 10 seconds that reads at most 1 MiB of an
	// answer.
	HTTP *http.Client
	// Store keeps sessions. Required.
	Store *store.Store
	// Accounts looks up the host's users and groups. Required.
	Accounts accounts
	// Log records the events login, login-refused, logout, session-ended, access-lost, access-back, recheck-failed and
	// provider-down, provider-up. Required.
	Log *slog.Logger
	// OnLogin is called for each sign-in that ends, with its error if it failed and the time that the
	// hub spent on it; optional.
	OnLogin func(err error, took time.Duration)
	// Confirmed is called with the provider's groups at each sign-in and after each successful check;
	// optional. Its error fails the sign-in or the check.
	Confirmed func(ctx context.Context, u ident.User, groups []string) error
	// Changed is called after a session has ended, and after a check that found other rights; optional.
	Changed func()
	// Standing is called when somebody has lost the right to enter (may is false), or got it back; optional. It must
	// not wait for the Service.
	Standing func(u ident.User, may bool)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Endpoints are a provider's URLs from the settings; an empty one comes from discovery.
type Endpoints struct {
	Authorization, Token, UserInfo, JWKS, EndSession string
}

func (e Endpoints) complete() bool { return e.Authorization != "" && e.Token != "" && e.JWKS != "" }

const (
	defaultClaim   = "preferred_username"
	emailClaim     = "email"
	defaultPattern = `^([^@]+)$`
)

// withDefaults returns c with every optional field set.
func (c Config) withDefaults() Config {
	orDuration := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	orDuration(&c.Recheck, 5*time.Minute)
	orDuration(&c.MaxStale, 24*time.Hour)
	orDuration(&c.Lifetime, 14*24*time.Hour)
	if c.Scopes == nil {
		c.Scopes = []string{"openid", "profile", "email"}
	}
	if !slices.Contains(c.Scopes, "openid") {
		c.Scopes = append([]string{"openid"}, c.Scopes...)
	}
	if c.UsernameClaim == "" {
		c.UsernameClaim = defaultClaim
	}
	if c.UsernamePattern == "" && c.UsernameClaim != emailClaim {
		c.UsernamePattern = defaultPattern
	}
	if c.RequireVerifiedEmail == nil {
		verified := c.UsernameClaim == emailClaim
		c.RequireVerifiedEmail = &verified
	}
	if c.BasePath == "" {
		c.BasePath = "/"
	}
	if c.HTTP == nil {
		c.HTTP = newClient(http.DefaultTransport)
	}
	if c.Changed == nil {
		c.Changed = func() {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// validate checks the fields that New needs. Each error names the field.
func (c Config) validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for name, v := range map[string]string{"issuer": c.Issuer, "callback URL": c.CallbackURL,
		"authorization endpoint": c.Endpoints.Authorization, "token endpoint": c.Endpoints.Token,
		"userinfo endpoint": c.Endpoints.UserInfo, "jwks endpoint": c.Endpoints.JWKS,
		"end session endpoint": c.Endpoints.EndSession, "post logout URL": c.PostLogoutURL} {
		required := name == "issuer" || name == "callback URL"
		if (v != "" || required) && !isWebURL(v) {
			fail("login: cannot use %s %q: give an absolute http or https URL", name, v)
		}
	}
	if c.ClientID == "" {
		fail("login: no client id: take it from the provider's registration of this hub")
	}
	if !slices.Contains([]string{"", "client_secret_basic", "client_secret_post"}, c.ClientAuth) {
		fail("login: cannot use client authentication %q: use client_secret_basic or client_secret_post", c.ClientAuth)
	}
	if !strings.HasPrefix(c.BasePath, "/") || !strings.HasSuffix(c.BasePath, "/") {
		fail("login: cannot use base path %q: it must begin and end with a slash", c.BasePath)
	}
	if c.Recheck < 0 || c.MaxStale < 0 || c.Lifetime < 0 || c.Idle < 0 {
		fail("login: a negative time cannot be used: check recheck, max stale, lifetime and idle")
	}
	if c.Store == nil || c.Accounts == nil || c.Log == nil {
		fail("login: Store, Accounts and Log must be set")
	}
	return errors.Join(errs...)
}

func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.Fragment == ""
}

// compilePattern compiles a pattern that must match a whole claim, so that a forgotten anchor admits
// nobody of another domain.
func compilePattern(claim, pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, fmt.Errorf(`login: the claim %q needs a username pattern such as "^(.+)@example\\.org$", or `+
			"people of other domains could take a member's name", claim)
	}
	re, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("login: cannot use username pattern %q: %w", pattern, err)
	}
	if re.NumSubexp() < 1 {
		return nil, fmt.Errorf("login: cannot use username pattern %q: put the name into parentheses, as in "+
			"^(.+)@example\\.org$", pattern)
	}
	return re, nil
}
