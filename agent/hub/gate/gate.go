// Package gate decides which requests reach a server: those of a browser to which the hub has given a cookie for the
// person and the server, those with a token that opens the server, and those for what the server's profile makes
// public. It judges by what the hub knows now, and again while something is open. It must never let a request through
// for a credential that it could not check, never end what is open because it cannot know, and never hand a cookie to
// anything but a page that a person goes to.
package gate

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/cookies"
	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
	"github.com/gifford-lab/gifford-hub/agent/hub/proxy"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// people knows who shows a credential, and what they may do now. Its errors are login.ErrNoSession and *login.Denied
// for a session that has ended, access.ErrCredentials for a token that nobody has, and others where it cannot know.
type people interface {
	Browser(r *http.Request) (access.Subject, error)
	Session(ctx context.Context, id string) (access.Subject, error)
	Bearer(ctx context.Context, token string) (access.Subject, error)
}

// changes announces that rights have changed.
type changes interface {
	Count() uint64
	Since(count uint64) <-chan struct{}
}

// Config is what a Gate needs. All fields are required but where said.
type Config struct {
	// BaseURL is the path prefix of the hub, with a slash at both ends.
	BaseURL string
	// Origins says whether servers share the hub's origin.
	Origins origins.Origins
	// Cookies are the names of the hub's cookies.
	Cookies cookies.Names
	// Key seals cookies: 32 bytes, the same in every process of the hub.
	Key []byte
	// CookieLife is how long a cookie is good for at most: a session's life. 0 means 14 days.
	CookieLife time.Duration
	// People knows who asks.
	People people
	// Known fails when what the hub knows of a user cannot be read now. Rights by group are silent about that.
	Known func(ctx context.Context, u ident.User) error
	// Public returns the paths, relative to the server's, that everybody may open on a running server.
	Public func(ctx context.Context, key ident.Key) []string
	// Changes announces what changes rights.
	Changes changes
	Log     *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Gate decides. It is safe for concurrent use.
type Gate struct {
	cfg    Config
	seal   sealer
	names  names
	grants grants
}

// New checks cfg and makes a Gate.
func New(cfg Config) (*Gate, error) {
	if cfg.People == nil || cfg.Known == nil || cfg.Public == nil || cfg.Changes == nil || cfg.Log == nil ||
		!strings.HasPrefix(cfg.BaseURL, "/") || !strings.HasSuffix(cfg.BaseURL, "/") {
		return nil, errors.New("cannot make the gate of the servers: base URL, cookies, people, public paths, " +
			"changes and log are required")
	}
	if cfg.CookieLife <= 0 {
		cfg.CookieLife = 14 * 24 * time.Hour // as package login
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	seal, err := newSealer(cfg.Key, cfg.CookieLife)
	if err != nil {
		return nil, err
	}
	return &Gate{cfg: cfg, seal: seal, names: names{login: cfg.Cookies.Login()},
		grants: grants{known: map[credentials]*grant{}}}, nil
}

// Admit returns the leave of a request to reach a server, or answers the request and returns nil.
func (g *Gate) Admit(w http.ResponseWriter, r *http.Request, key ident.Key) *proxy.Leave {
	if g.takeTicket(w, r, key) {
		return nil
	}
	leave, v := g.byCookie(r, key)
	if leave != nil {
		if why := g.forged(r, key, leave.Owner); why != "" {
			g.refuseFor(w, r, key, why)
			return nil
		}
		return leave
	}
	for _, way := range []func(*http.Request, ident.Key) (*proxy.Leave, verdict){g.byToken, g.byPreflight, g.byPath} {
		also, found := way(r, key)
		switch {
		case also != nil && g.takesOver(r):
			g.refuseFor(w, r, key, onlyOwnersWorkers)
			return nil
		case also != nil:
			return also
		case found == unknown:
			v = unknown
		}
	}
	g.refuse(w, r, key, v)
	return nil
}

// byCookie judges the cookies of a request.
func (g *Gate) byCookie(r *http.Request, key ident.Key) (*proxy.Leave, verdict) {
	if len(r.Header["Cookie"]) == 0 {
		return nil, refused
	}
	n := g.name(key)
	own, logins := valuesOf(r.Header, n.cookie, g.names.login)
	if len(logins) > 1 {
		return nil, refused // at most one is the hub's; its pages say so
	}
	login := strings.Join(logins, "")
	worst := refused
	for _, value := range own {
		leave, v := g.cookie(r, key, n.path, value, login)
		if leave != nil {
			return leave, granted
		}
		if v == unknown {
			worst = unknown
		}
	}
	return nil, worst
}

// cookie judges one cookie of a server. Where the browser sends the hub's session as well, on one origin, the two must
// be of the same: another's page or link may have set the cookie, and its owner's page would stay open while somebody
// else signs in.
func (g *Gate) cookie(r *http.Request, key ident.Key, path, value, login string) (*proxy.Leave, verdict) {
	id := credentials{key: key, cookie: value, login: login}
	if known := g.grants.get(id); known != nil {
		return g.result(r.Context(), known)
	}
	c, ok := g.seal.open(forCookie, path, value, g.cfg.Now())
	if !ok {
		return nil, refused
	}
	if c.token != "" {
		return g.judge(r.Context(), credentials{key: key, token: c.token}, g.token(c.token))
	}
	if login == "" && g.hasLogin() {
		return nil, refused
	}
	if login != "" {
		switch s, err := g.cfg.People.Browser(r); {
		case err != nil && ended(err), err == nil && s.SessionID != c.session:
			return nil, refused
		case err != nil:
			return nil, unknown
		}
	}
	return g.judge(r.Context(), id, g.session(c.session))
}

// byToken judges the token in the Authorization header or in the query.
func (g *Gate) byToken(r *http.Request, key ident.Key) (*proxy.Leave, verdict) {
	worst := refused
	if token, ok := access.HeaderToken(r); ok {
		leave, v := g.shown(r.Context(), key, token)
		if leave != nil {
			return leave, v
		}
		worst = v
	}
	if !strings.Contains(r.URL.RawQuery, "token=") {
		return nil, worst
	}
	token := r.URL.Query().Get("token")
	if token == "" {
		return nil, worst
	}
	leave, v := g.shown(r.Context(), key, token)
	if leave == nil {
		return nil, max(v, worst)
	}
	if !navigates(r) {
		return leave, v
	}
	if g.mustAsk(r, key) {
		return nil, refused
	}
	return g.withCookie(leave, key, token), granted
}

// shown judges a token.
func (g *Gate) shown(ctx context.Context, key ident.Key, token string) (*proxy.Leave, verdict) {
	return g.judge(ctx, credentials{key: key, token: token}, g.token(token))
}

// mustAsk reports whether the hub comes first, although a link has a token that opens the server: the browser is signed
// in as somebody who may open the server. Its owner gets a cookie of their own there, not one of the token, which may
// be another's. Others are asked, since whoever sent the link wants them to open it.
func (g *Gate) mustAsk(r *http.Request, key ident.Key) bool {
	s, err := g.cfg.People.Browser(r)
	return err == nil && mayOpen(s, key)
}

// maxTokenInCookie bounds the tokens for which a browser gets a cookie, in bytes. The hub's own have 32 or so.
const maxTokenInCookie = 512

// withCookie returns a leave that also gives the browser a cookie, since what the page loads has no token in its
// address.
func (g *Gate) withCookie(l *proxy.Leave, key ident.Key, token string) *proxy.Leave {
	if len(token) > maxTokenInCookie {
		return l
	}
	with := *l
	with.Cookie = g.setCookie(key, credential{token: token})
	return &with
}

// byPreflight lets the question of a browser through that a page of another origin has caused. It has no credentials
// (Fetch, 4.8), and the proxy passes nothing else of it.
func (g *Gate) byPreflight(r *http.Request, _ ident.Key) (*proxy.Leave, verdict) {
	if r.Method != http.MethodOptions || r.ContentLength != 0 || r.Header.Get("Origin") == "" ||
		r.Header.Get("Access-Control-Request-Method") == "" {
		return nil, refused
	}
	return &proxy.Leave{Preflight: true, Holds: func(context.Context) bool { return true }}, granted
}

// byPath lets through what the server's profile makes public.
func (g *Gate) byPath(r *http.Request, key ident.Key) (*proxy.Leave, verdict) {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), g.name(key).path)
	if !ok || !isPublic(g.cfg.Public(r.Context(), key), rest) {
		return nil, refused
	}
	return &proxy.Leave{Holds: func(ctx context.Context) bool {
		return isPublic(g.cfg.Public(ctx, key), rest)
	}}, granted
}
