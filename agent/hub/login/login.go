// Package login signs people in through an OpenID Connect provider and manages their sessions: the
// code flow with PKCE, state and nonce, the rules of who may enter, and the check whether they still
// may while a session lasts. It says who somebody is; what they may do is package access. It must
// never log a token or a secret, never redirect a browser to another host after a sign-in, and never
// admit anybody because a rule is missing or a group is unknown.
package login

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/alexedwards/scs/v2"
	"golang.org/x/sync/singleflight"

	"github.com/gifford-lab/gifford-hub/agent/hub/cookies"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

const (
	// loginKey is the key under which a cookie session stores the id of its sign-in.
	loginKey = "login"
	// attemptKey names the key for attempts in the database.
	attemptKey = "login-attempt"
)

// Service signs people in and knows who is signed in. It is safe for concurrent use.
type Service struct {
	c        Config
	names    naming
	provider *provider
	sessions *scs.SessionManager
	seal     sealer
	callback string // path
	cookies  cookies.Names
	checks   singleflight.Group // one check of a sign-in at a time

	judgements singleflight.Group // one of a person at a time
	soon       chan ident.User    // whom Run judges before their time

	mu     sync.Mutex // guards people
	people map[ident.User]lastCheck
}

// New checks the settings and makes the service. It does not contact the provider, so that the hub
// starts while the provider is down.
func New(ctx context.Context, c Config) (*Service, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	pattern, err := compilePattern(c.UsernameClaim, c.UsernamePattern)
	if err != nil {
		return nil, err
	}
	callback, err := url.Parse(c.CallbackURL)
	if err != nil {
		return nil, fmt.Errorf("login: cannot use callback URL %q: %w", c.CallbackURL, err)
	}
	key, err := c.Store.SecretKey(ctx, attemptKey)
	if err != nil {
		return nil, err
	}
	seal, err := newSealer(key)
	if err != nil {
		return nil, err
	}
	s := &Service{
		c: c,
		names: naming{claim: c.UsernameClaim, pattern: pattern, lowercase: c.Lowercase, names: c.UsernameMap,
			verified: *c.RequireVerifiedEmail},
		provider: &provider{c: c, log: c.Log},
		seal:     seal,
		callback: callback.EscapedPath(),
		cookies:  cookies.New(c.BasePath, callback.Scheme == "https"),
		soon:     make(chan ident.User, atOnce),
		people:   map[ident.User]lastCheck{},
	}
	if s.callback == "" {
		s.callback = "/"
	}
	s.sessions = s.newSessions()
	return s, nil
}

func (s *Service) newSessions() *scs.SessionManager {
	m := scs.New()
	m.Lifetime = s.c.Lifetime
	m.Store = s.c.Store.Sessions()
	m.HashTokenInStore = true
	m.Cookie.Name = s.cookies.Login()
	m.Cookie.Path = s.cookies.HostPath(s.c.BasePath + "hub/")
	m.Cookie.HttpOnly = true
	m.Cookie.SameSite = http.SameSiteLaxMode
	m.Cookie.Secure = s.cookies.Secure()
	m.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
		httpx.LogFailure(s.c.Log, r, err)
		httpx.Words(w, "the hub cannot read its sessions (request "+httpx.RequestID(r)+")",
			http.StatusInternalServerError)
	}
	return m
}

// Cookies returns the names of the hub's cookies.
func (s *Service) Cookies() cookies.Names { return s.cookies }

// CallbackPath is the path on which the Callback handler must be reached. It is
// whatever the callback URL says and may lie outside BASE/hub/.
func (s *Service) CallbackPath() string { return s.callback }

// Wrap loads the session for the hub's own routes and the callback. Traffic of /user/ must not pass
// through it: it needs no session and must not wait for the database.
func (s *Service) Wrap(next http.Handler) http.Handler { return s.sessions.LoadAndSave(next) }

// Ready reports whether the provider can be reached; the error is an httpx.Error for
// the sign-in page. A failure is remembered for some seconds.
func (s *Service) Ready(ctx context.Context) error {
	_, err := s.provider.get(ctx)
	return err
}

// Problems lists settings that probably do not do what was intended, each with the next step, for
// `gifford-hub check` and the start of the hub.
func (s *Service) Problems(ctx context.Context) []string {
	var found []string
	a := s.c.Access
	if a.empty() {
		found = append(found, "nobody may sign in: no rule says who may enter: set allowed users or groups, or "+
			"allow all on purpose")
	}
	if a.usesClaims() && s.c.GroupsClaim == "" {
		found = append(found, "allowed or admin groups let nobody in: no groups claim is set: name the claim with a "+
			"person's groups")
	}
	groups := a.unixGroups()
	slices.Sort(groups)
	for _, g := range slices.Compact(groups) {
		exists, err := s.c.Accounts.GroupExists(ctx, g)
		switch {
		case err != nil:
			found = append(found, fmt.Sprintf("Unix group %q cannot be looked up: %v: see getent group %s", g, err, g))
		case !exists:
			found = append(found, fmt.Sprintf("Unix group %q lets nobody in: there is no such group: see getent "+
				"group %s", g, g))
		}
	}
	if plainHTTP(s.c.Issuer) {
		found = append(found, fmt.Sprintf("issuer %q is reached without TLS: whoever is in between can sign in as "+
			"anybody: use https", s.c.Issuer))
	}
	if !strings.HasPrefix(s.callback, s.c.BasePath) {
		found = append(found, fmt.Sprintf("callback path %q lies outside the base path %q: make sure that it "+
			"reaches the hub", s.callback, s.c.BasePath))
	}
	return found
}

// plainHTTP reports whether a URL goes over a network in the clear.
func plainHTTP(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())
}
