package login

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/cookies"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// fakeAccounts is a name service that can fail.
type fakeAccounts struct {
	mu     sync.Mutex
	groups map[string][]string // user -> groups; absent: no account
	err    error
	broken map[string]error // group -> why it cannot be looked up
	uids   map[string]uint32
}

func (f *fakeAccounts) UID(_ context.Context, u ident.User) (uint32, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.groups[u.String()]
	if uid, given := f.uids[u.String()]; given {
		return uid, ok, f.err
	}
	return 5000, ok, f.err
}

func (f *fakeAccounts) MemberOf(_ context.Context, u ident.User, g string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.broken[g]; err != nil {
		return false, err
	}
	return slices.Contains(f.groups[u.String()], g), f.err
}

func (f *fakeAccounts) GroupExists(_ context.Context, g string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return g == "cgs" || g == "wheel", f.err
}

func (f *fakeAccounts) set(g func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g()
}

// syncBuffer is a log that requests may write at once.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// site is a hub with nothing but its login.
type site struct {
	t        *testing.T
	svc      *Service
	store    *store.Store
	provider *fakeProvider
	accounts *fakeAccounts
	file     string // of the database
	clock    *clock
	log      *syncBuffer
	*httptest.Server
}

func users(t *testing.T, names ...string) []ident.User {
	t.Helper()
	var all []ident.User
	for _, n := range names {
		u, err := ident.ParseUser(n)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
	return all
}

// newSite starts a hub at /jhub/ that lets in the Unix group cgs, unless change
// says otherwise.
func newSite(t *testing.T, change func(*Config)) *site {
	t.Helper()
	s := &site{t: t, clock: &clock{t: time.Now().Truncate(time.Microsecond)}, log: &syncBuffer{},
		accounts: &fakeAccounts{groups: map[string][]string{"alice": {"cgs"}, "bob": {"cgs"}, "carol": {"others"}}}}
	s.provider = newFakeProvider(t, s.clock.now)
	log := slog.New(slog.NewJSONHandler(s.log, nil))
	s.file = filepath.Join(t.TempDir(), "hub.sqlite")
	var err error
	s.store, err = store.Open(t.Context(), store.Config{Path: s.file, Log: log, Now: s.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	s.Server = httptest.NewServer(mux)
	t.Cleanup(func() { s.Close(); _ = s.store.Close() })
	c := Config{Issuer: s.provider.URL, ClientID: clientID, ClientSecret: clientSecret,
		CallbackURL: s.URL + "/jhub/hub/oauth_callback",
		BasePath:    "/jhub/", Access: Access{AllowedUnixGroups: []string{"cgs"}}, Store: s.store, Accounts: s.accounts,
		Log: log, Now: s.clock.now}
	if change != nil {
		change(&c)
	}
	if s.svc, err = New(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for path, h := range map[string]httpx.Handler{"/jhub/hub/start": s.svc.Start, s.svc.CallbackPath(): s.svc.Callback,
		"/jhub/hub/logout": s.svc.Logout, "/jhub/hub/{rest...}": s.who} {
		mux.Handle(path, s.svc.Wrap(s.render(h)))
	}
	return s
}

// who answers with the member, as a page would.
func (s *site) who(w http.ResponseWriter, r *http.Request) error {
	m, err := s.svc.Session(r)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s admin=%v", m.User, m.Admin)
	return err
}

func (s *site) render(h httpx.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		var d *Denied
		if errors.As(err, &d) {
			w.Header().Set("X-Reason", string(d.Reason))
		}
		e := httpx.Public(err)
		http.Error(w, e.Public+" | "+e.Hint, e.Status)
	})
}

// browser keeps cookies and follows redirects only when told.
type browser struct {
	*http.Client
	s *site
}

func (s *site) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &browser{s: s, Client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request,
		[]*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

type answer struct {
	*http.Response
	body string
}

func (b *browser) get(target string) answer {
	b.s.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = b.s.URL + target
	}
	resp, err := b.Get(target)
	if err != nil {
		b.s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.s.t.Fatal(err)
	}
	return answer{resp, string(body)}
}

// start goes to the provider and returns the URL that leads back.
func (b *browser) start(next string) string {
	b.s.t.Helper()
	resp := b.get("/jhub/hub/start?next=" + url.QueryEscape(next))
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.StatusCode != http.StatusSeeOther {
		b.s.t.Fatalf("start: %s %s", resp.Status, resp.body)
	}
	return b.s.svc.c.CallbackURL + "?" + b.s.provider.authorize(to.Query()).Encode()
}

// signIn goes all the way.
func (b *browser) signIn() answer { b.s.t.Helper(); return b.get(b.start("")) }

func (a answer) want(t *testing.T, status int, words ...string) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("status %d, want %d: %s", a.StatusCode, status, a.body)
	}
	for _, w := range words {
		if !strings.Contains(a.body, w) {
			t.Errorf("answer %q lacks %q", a.body, w)
		}
	}
}

func (s *site) wantEvent(event string, with ...string) {
	s.t.Helper()
	for line := range strings.Lines(s.log.String()) {
		if !strings.Contains(line, `"event":"`+event+`"`) {
			continue
		}
		if !slices.ContainsFunc(with, func(w string) bool { return !strings.Contains(line, w) }) {
			return
		}
	}
	s.t.Errorf("no event %q with %q in the log:\n%s", event, with, s.log)
}

// loginCookie is the name of the session at the tests' hub, which is reached without TLS.
var loginCookie = cookies.New("/jhub/", false).Login()

// TestCookiesBehindTLS checks that no script and no other host can set what the hub reads of a browser.
func TestCookiesBehindTLS(t *testing.T) {
	s := newSite(t, func(c *Config) { c.CallbackURL = "https://hub.example/jhub/hub/oauth_callback" })
	m := s.svc.sessions.Cookie
	session := &http.Cookie{Name: m.Name, Path: m.Path, Domain: m.Domain, Secure: m.Secure, HttpOnly: m.HttpOnly,
		SameSite: m.SameSite}
	for name, c := range map[string]*http.Cookie{"session": session, "attempt": s.svc.attemptCookie("x", "y", 1)} {
		if !strings.HasPrefix(c.Name, "__Host-Http-jupyterhub-hub-login") || c.Path != "/" || c.Domain != "" ||
			!c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
			t.Errorf("%s: %s", name, c)
		}
	}
	if session.Name == s.svc.attemptCookie("x", "y", 1).Name {
		t.Error("both cookies have one name")
	}
}

func TestSignInAndOut(t *testing.T) {
	s := newSite(t, func(c *Config) {
		c.ProviderLogout, c.PostLogoutURL = true, "https://hub.example/"
		c.Access.AdminUsers = users(t, "alice")
	})
	b := s.browser()
	b.get("/jhub/hub/home").want(t, 401, "not signed in")
	resp := b.get(b.start("/jhub/user/alice/lab?a=1#x"))
	resp.want(t, 303)
	if got := resp.Header.Get("Location"); got != "/jhub/user/alice/lab?a=1#x" {
		t.Errorf("went on to %q", got)
	}
	set := map[string]*http.Cookie{}
	for _, c := range resp.Cookies() {
		set[c.Name] = c
	}
	for name, path := range map[string]string{loginCookie: "/jhub/hub/", cookies.SessionID: "/jhub/"} {
		c := set[name]
		if c == nil || c.Path != path || !c.HttpOnly || c.Secure || c.SameSite != http.SameSiteLaxMode ||
			len(c.Value) < 22 {
			t.Errorf("cookie %s: %v", name, c)
		}
	}
	b.get("/jhub/hub/home").want(t, 200, "alice admin=true")
	s.wantEvent("login", `"user":"alice"`)

	sid := set[cookies.SessionID].Value
	if _, err := s.store.CreateToken(t.Context(), store.Token{Hash: "h", Kind: store.OAuthToken,
		User: users(t, "alice")[0], SessionID: sid}); err != nil {
		t.Fatal(err)
	}
	out := b.get("/jhub/hub/logout")
	out.want(t, 303)
	to, err := url.Parse(out.Header.Get("Location"))
	if err != nil || to.Path != "/end" || to.Query().Get("post_logout_redirect_uri") != "https://hub.example/" ||
		to.Query().Get("id_token_hint") == "" || to.Query().Get("x") != "1" {
		t.Errorf("logout went to %v", to)
	}
	if _, err := s.store.TokenByHash(t.Context(), "h"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the notebook's token after logout: %v", err)
	}
	b.get("/jhub/hub/home").want(t, 401)
	s.wantEvent("logout", `"user":"alice"`)
	old, _ := http.NewRequest(http.MethodGet, s.URL+"/jhub/hub/home", nil)
	old.AddCookie(set[loginCookie])
	if resp, err := http.DefaultClient.Do(old); err != nil || resp.StatusCode != 401 {
		t.Errorf("the old cookie after logout: %v, %v", resp, err)
	}
	for _, word := range []string{clientSecret, sid, set[loginCookie].Value, "id_token\":", "eyJ"} {
		if strings.Contains(s.log.String(), word) {
			t.Errorf("the log holds %q", word)
		}
	}
}

func TestRefusals(t *testing.T) {
	tests := map[string]struct {
		config func(*Config)
		setup  func(*site)
		reason Reason
		words  string
	}{
		"not in the Unix group": {nil, claim("preferred_username", "carol"), NotInGroup, "cgs"},
		"no Unix account":       {nil, claim("preferred_username", "dave"), NoAccount, "no account"},
		"name does not fit": {nil, claim("preferred_username", "alice@elsewhere.org"), NameMismatch,
			"alice@elsewhere.org"},
		"not a Unix name":  {nil, claim("preferred_username", "alice/../bob"), NameMismatch, ""},
		"no name":          {nil, claim("preferred_username", ""), NoName, "preferred_username"},
		"name is a number": {nil, claim("preferred_username", 7), NoName, ""},
		"blocked admin": {func(c *Config) {
			c.Access.AdminUsers, c.Access.BlockedUsers = users(t, "alice"), users(t, "alice")
		}, nil, Blocked, "blocked"},
		"not listed": {func(c *Config) { c.Access = Access{AllowedUsers: users(t, "bob")} }, nil, NotListed, ""},
		"no rule":    {func(c *Config) { c.Access = Access{} }, nil, NoRule, "no rule"},
		"unknown group": {func(c *Config) { c.Access = Access{AllowedUnixGroups: []string{"nosuch"}} }, nil, NotInGroup,
			"nosuch"},
		"not in the claim": {func(c *Config) {
			c.GroupsClaim, c.Access = "groups", Access{AllowedGroups: []string{"staff"}}
		}, nil, NotInGroup, "staff"},
		"unverified email": {emailConfig, func(s *site) {
			s.provider.claims["email"], s.provider.claims["email_verified"] = "alice@mit.edu", false
		}, UnverifiedEmail, "verified"},
		"email not said to be verified": {emailConfig, claim("email", "alice@mit.edu"), UnverifiedEmail, ""},
		"email of another domain": {emailConfig, func(s *site) {
			s.provider.claims["email"], s.provider.claims["email_verified"] = "alice@mit.edu.example.org", true
		}, NameMismatch, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, tt.config)
			if tt.setup != nil {
				tt.setup(s)
			}
			b := s.browser()
			resp := b.signIn()
			resp.want(t, 403, tt.words)
			if got := Reason(resp.Header.Get("X-Reason")); got != tt.reason {
				t.Errorf("reason %q, want %q", got, tt.reason)
			}
			b.get("/jhub/hub/home").want(t, 401)
			s.wantEvent("login-refused", `"reason":"`+string(tt.reason)+`"`)
		})
	}
}

func claim(name string, v any) func(*site) { return func(s *site) { s.provider.claims[name] = v } }

func emailConfig(c *Config) { c.UsernameClaim, c.UsernamePattern = "email", `^(.+)@mit\.edu` }

func TestEntries(t *testing.T) {
	relaxed := false
	tests := map[string]struct {
		config func(*Config)
		setup  func(*site)
		body   string
	}{
		"mapped": {func(c *Config) {
			c.UsernameMap = map[string]ident.User{"haoyangz": users(t,
				"bob")[0]}
		}, claim("preferred_username", "haoyangz"), "bob admin=false"},
		"lower case": {func(c *Config) { c.Lowercase = true }, claim("preferred_username", "ALICE"),
			"alice admin=false"},
		"everybody": {func(c *Config) { c.Access = Access{AllowAll: true} },
			claim("preferred_username", "carol"), "carol admin=false"},
		"admin by Unix": {func(c *Config) { c.Access = Access{AdminUnixGroups: []string{"cgs"}} }, nil,
			"alice admin=true"},
		"unverified, relaxed": {func(c *Config) { emailConfig(c); c.RequireVerifiedEmail = &relaxed },
			claim("email", "alice@mit.edu"), "alice admin=false"},
		"nested claim": {func(c *Config) {
			c.GroupsClaim, c.Access = "realm.roles", Access{AdminGroups: []string{"boss"}}
		}, claim("realm", map[string]any{"roles": "boss"}), "alice admin=true"},
		"claims from userinfo": {func(c *Config) {
			c.GroupsClaim, c.Access = "groups",
				Access{AllowedGroups: []string{"cgs"}}
		}, func(s *site) {
			s.provider.userinfo = s.provider.claims
			s.provider.claims = map[string]any{"sub": "sub-alice"}
		}, "alice admin=false"},
		"end points by hand": {func(c *Config) {
			c.Endpoints = Endpoints{Authorization: c.Issuer + "/authorize", Token: c.Issuer + "/token",
				JWKS: c.Issuer + "/jwks"}
		}, nil, "alice admin=false"},
		"callback elsewhere": {func(c *Config) {
			c.CallbackURL = strings.Replace(c.CallbackURL, "/jhub/hub/oauth_callback", "/back", 1)
		}, nil, "alice admin=false"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, tt.config)
			if tt.setup != nil {
				tt.setup(s)
			}
			b := s.browser()
			b.signIn().want(t, 303)
			b.get("/jhub/hub/home").want(t, 200, tt.body)
		})
	}
}
