package gate

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/cookies"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// What the hub wires in must fit.
var _ people = (*access.Authenticator)(nil)

func key(t testing.TB, name string) ident.Key {
	t.Helper()
	user, server, _ := strings.Cut(name, ":")
	k, err := ident.ParseKey(user, server)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sessions are those that are signed in, by id. The value of a browser's cookie is the id.
type sessions struct {
	mu    sync.Mutex // guards all below
	of    map[string]ident.User
	fails error
	hangs chan struct{} // nil: it answers
}

func (s *sessions) set(id string, u ident.User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u.IsZero() {
		delete(s.of, id)
		return
	}
	s.of[id] = u
}

func (s *sessions) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = err
}

func (s *sessions) SessionByID(_ context.Context, id string) (login.Session, error) {
	s.mu.Lock()
	hangs := s.hangs
	s.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.of[id]
	switch {
	case s.fails != nil:
		return login.Session{}, s.fails
	case id == "denied":
		return login.Session{}, &login.Denied{Reason: login.Blocked}
	case !ok:
		return login.Session{}, login.ErrNoSession
	}
	return login.Session{ID: id, User: u, Admin: u.String() == "dora"}, nil
}

func (s *sessions) Session(r *http.Request) (login.Session, error) {
	c, err := r.Cookie(hubNames.Login())
	if err != nil {
		return login.Session{}, login.ErrNoSession
	}
	return s.SessionByID(r.Context(), c.Value)
}

func (s *sessions) MayEnter(context.Context, ident.User) error { return nil }

// ownTokens are servers whose own token is "own-" and their name.
type ownTokens map[string]ident.Key

func (o ownTokens) TokenOwner(token string) (ident.Key, bool) { k, ok := o[token]; return k, ok }

var hubNames = cookies.New("/", true)

// rig is a Gate over a real database: alice, bob, dora (an administrator) and mallory. alice has shared her server with
// bob, and is in the group lab, whose servers helpers may open; erin is in the group helpers.
type rig struct {
	*Gate
	db       *store.Store
	sessions *sessions
	changes  *access.Changes
	public   []string
	clock    time.Time
	mu       sync.Mutex // guards clock, known
	known    error
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clock
}

// pass lets time pass.
func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = r.clock.Add(d)
}

func newRig(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	r := &rig{sessions: &sessions{of: map[string]ident.User{}}, changes: access.NewChanges(), clock: time.Now()}
	var err error
	if r.db, err = store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "x"), Log: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.db.Close() })
	for _, name := range []string{"alice", "bob", "dora", "mallory", "erin"} {
		u := key(t, name).User
		r.sessions.set("s-"+name, u)
		if err := r.db.CreateUser(t.Context(), store.User{Name: u, Admin: name == "dora"}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = r.db.GrantShare(t.Context(), store.Share{Key: key(t, "alice"), User: key(t, "bob").User,
		Scopes: []string{scopes.AccessServer(key(t, "alice"))}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.db.CreateGroups(t.Context(), []store.Group{{Name: "lab", Users: []ident.User{key(t, "alice").User}},
		{Name: "helpers", Users: []ident.User{key(t, "erin").User}}}); err != nil {
		t.Fatal(err)
	}
	authority, err := access.New(access.Config{Table: scopes.Default(), Records: r.db, Log: log, Roles: []access.Role{
		{Role: scopes.Role{Name: "helper", Scopes: []string{"access:servers!group=lab"}},
			Groups: []string{"helpers"}}}})
	if err != nil {
		t.Fatal(err)
	}
	known, err := services.New(t.Context(), services.Config{BaseURL: "/", Records: r.db, Declared: []services.Service{
		{Name: "helper", TokenHash: ident.HashToken("of-a-service"), Scopes: []string{"access:servers!user=alice"}},
		{Name: "other", TokenHash: ident.HashToken("of-another"), Scopes: []string{"read:users"}}}})
	if err != nil {
		t.Fatal(err)
	}
	who := access.NewAuthenticator(access.Sources{Authority: authority, Sessions: r.sessions, Standings: r.sessions,
		Servers: ownTokens{"own-alice": key(t, "alice"), "own-alice:x": key(t, "alice:x")}, Services: known,
		Records: r.db,
		Client:  func(string) (scopes.Owner, bool) { return scopes.Owner{}, false }, Log: log})
	c := Config{BaseURL: "/", Cookies: hubNames, Key: make([]byte, 32), CookieLife: 24 * time.Hour, People: who,
		Known: func(ctx context.Context, u ident.User) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.known
		},
		Public:  func(context.Context, ident.Key) []string { return r.public },
		Changes: r.changes, Log: log, Now: r.now}
	for _, f := range change {
		f(&c)
	}
	if r.Gate, err = New(c); err != nil {
		t.Fatal(err)
	}
	return r
}

// token makes a token of the database.
func (r *rig) token(t testing.TB, secret, owner string, tok store.Token) store.Token {
	t.Helper()
	tok.Hash, tok.Kind, tok.User = ident.HashToken(secret), store.APIToken, key(t, owner).User
	id, err := r.db.CreateToken(t.Context(), tok)
	if err != nil {
		t.Fatal(err)
	}
	tok.ID = id
	return tok
}

// cookie returns "name=value" of a session's cookie for a server.
func (r *rig) cookie(t testing.TB, session, server string) string {
	t.Helper()
	pair, _, _ := strings.Cut(r.setCookie(key(t, server), credential{session: session}), ";")
	return pair
}

// signedIn returns the cookies of a browser with a session and its cookie for a server.
func (r *rig) signedIn(t testing.TB, session, server string) string {
	t.Helper()
	return hub(session) + "; " + r.cookie(t, session, server)
}

// fetch is a request of a script of the server's own page.
func fetch(target string, headers ...string) *http.Request {
	return request(http.MethodGet, target, append([]string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty",
		"Sec-Fetch-Site", "same-origin"}, headers...)...)
}

// visit is a request of a person who goes to a page.
func visit(target string, headers ...string) *http.Request {
	return request(http.MethodGet, target, append([]string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document",
		"Sec-Fetch-Site", "none", "Accept", "text/html"}, headers...)...)
}

func request(method, target string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Cookie" && r.Header.Get("Cookie") != "" {
			r.Header.Set("Cookie", r.Header.Get("Cookie")+"; "+headers[i+1])
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// ask returns what a request for a server gets: "owner", "visitor" or "preflight" for those that pass, else the status
// with where it leads.
func (r *rig) ask(t testing.TB, server string, req *http.Request) string {
	t.Helper()
	w := httptest.NewRecorder()
	leave := r.Admit(w, req, key(t, server))
	switch {
	case leave == nil:
		return strings.TrimSpace(http.StatusText(w.Code) + " " + w.Header().Get("Location"))
	case !leave.Holds(t.Context()):
		return "ends at once"
	case leave.Preflight && !leave.Shown:
		return "preflight"
	case leave.Owner && !leave.Shown:
		return "owner without a credential"
	case leave.Owner:
		return "owner"
	}
	return "visitor"
}

// hub is the hub's session of a browser.
func hub(session string) string { return hubNames.Login() + "=" + session }

const (
	forbidden = "Forbidden"
	toHub     = "Found /hub/user/alice/lab"
)

// TestCookies has which cookies let whom through to alice's server.
func TestCookies(t *testing.T) {
	r := newRig(t)
	at := func(session, server string) string { return r.cookie(t, session, server) }
	of := func(session, server string) []string { return []string{hub(session), at(session, server)} }
	renamed := func(session, server, as string) string {
		_, value, _ := strings.Cut(at(session, server), "=")
		return hubNames.Server("/user/"+as+"/") + "=" + value
	}
	other, _ := newSealer([]byte("another hub's key, of 32 bytes.."), time.Hour)
	forged := hubNames.Server("/user/alice/") + "=" + other.seal(forCookie, "/user/alice/",
		credential{session: "s-alice"}, time.Now())
	ticket := hubNames.Server("/user/alice/") + "=" + r.seal.seal(forTicket, "/user/alice/",
		credential{session: "s-alice"}, time.Now())
	for name, tt := range map[string]struct {
		server  string
		cookies []string
		want    string
	}{
		"none":                      {"alice", nil, forbidden},
		"her own":                   {"alice", of("s-alice", "alice"), "owner"},
		"without the session":       {"alice", []string{at("s-alice", "alice")}, forbidden},
		"the session alone":         {"alice", []string{hub("s-alice")}, forbidden},
		"bob, to whom it is shared": {"alice", of("s-bob", "alice"), "visitor"},
		"an administrator":          {"alice", []string{hub("s-dora"), at("s-dora", "alice")}, "visitor"},
		"erin, by a group":          {"alice", of("s-erin", "alice"), "visitor"},
		"mallory":                   {"alice", of("s-mallory", "alice"), forbidden},
		"tossed: another's session": {"alice", []string{hub("s-dora"), at("s-alice", "alice")}, forbidden},
		"tossed beside the good one": {"alice", []string{hub("s-dora"), at("s-alice", "alice"),
			at("s-dora", "alice")}, "visitor"},
		"tossed after the good one": {"alice", []string{at("s-dora", "alice"), at("s-alice", "alice"),
			hub("s-dora")}, "visitor"},
		"many tossed": {"alice", append(slices.Repeat([]string{forged}, 50), of("s-alice", "alice")...),
			"owner"},
		"two sessions of the hub": {"alice", []string{hub("s-dora"), hub("s-alice"), at("s-alice", "alice")},
			forbidden},
		"a session that is none":    {"alice", []string{hub("nonsense"), at("s-alice", "alice")}, forbidden},
		"an ended session":          {"alice", of("s-nobody", "alice"), forbidden},
		"a session that is refused": {"alice", of("denied", "alice"), forbidden},
		"of another server":         {"alice", of("s-mallory", "mallory"), forbidden},
		"of another server, renamed": {"alice", []string{hub("s-mallory"), renamed("s-mallory", "mallory", "alice")},
			forbidden},
		"of the named server": {"alice", of("s-alice", "alice:x"), forbidden},
		"of the named server, renamed": {"alice", []string{hub("s-alice"), renamed("s-alice", "alice:x", "alice")},
			forbidden},
		"default's at the named": {"alice:x", of("s-alice", "alice"), forbidden},
		"default's as the named's": {"alice:x", []string{hub("s-alice"), renamed("s-alice", "alice", "alice/x")},
			forbidden},
		"the named server's":      {"alice:x", of("s-alice", "alice:x"), "owner"},
		"bob at the named server": {"alice:x", of("s-bob", "alice:x"), forbidden},
		"sealed by another hub":   {"alice", []string{hub("s-alice"), forged}, forbidden},
		"a ticket":                {"alice", []string{hub("s-alice"), ticket}, forbidden},
		"cut":                     {"alice", []string{hub("s-alice"), at("s-alice", "alice")[:60]}, forbidden},
		"changed":                 {"alice", []string{hub("s-alice"), at("s-alice", "alice") + "A"}, forbidden},
		"empty": {"alice", []string{hub("s-alice"), hubNames.Server("/user/alice/") + "="},
			forbidden},
		"without the prefix": {"alice", []string{hub("s-alice"), strings.TrimPrefix(at("s-alice", "alice"), "__Http-")},
			forbidden},
	} {
		for range 2 { // the second time it is remembered
			req := fetch("/user/alice/api/status", "Cookie", strings.Join(tt.cookies, "; "))
			if got := r.ask(t, tt.server, req); got != tt.want {
				t.Errorf("%s: %s, want %s", name, got, tt.want)
			}
		}
	}
}

// TestOpens has whom the hub knows by a server's cookie alone, where browsers do not send it the session.
func TestOpens(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Cookies = cookies.New("/", false) })
	both := []ident.Key{key(t, "alice"), key(t, "alice:x")}
	for name, tt := range map[string]struct {
		cookie string
		want   bool
	}{
		"the default server's":  {r.cookie(t, "s-alice", "alice"), true},
		"the named server's":    {r.cookie(t, "s-alice", "alice:x"), true},
		"somebody else's":       {r.cookie(t, "s-mallory", "alice"), false},
		"of another server":     {r.cookie(t, "s-alice", "mallory"), false},
		"of an ended session":   {r.cookie(t, "s-nobody", "alice"), false},
		"something else's name": {"a=b", false},
	} {
		if got := r.Opens(fetch("/user/alice/ws", "Cookie", tt.cookie), both...); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestCookieExpires checks that no cookie outlasts what the settings allow a session.
func TestCookieExpires(t *testing.T) {
	r := newRig(t)
	good := r.signedIn(t, "s-alice", "alice")
	r.pass(24*time.Hour - 2*time.Second)
	if got := r.ask(t, "alice", fetch("/user/alice/x", "Cookie", good)); got != "owner" {
		t.Errorf("before that: %s", got)
	}
	r = newRig(t)
	good = r.signedIn(t, "s-alice", "alice")
	r.pass(24*time.Hour + 2*time.Second)
	if got := r.ask(t, "alice", fetch("/user/alice/x", "Cookie", good)); got != forbidden {
		t.Errorf("after it: %s", got)
	}
}

// TestTokens has which tokens let through, in the header and in the query.
func TestTokens(t *testing.T) {
	r := newRig(t)
	r.token(t, "all-of-alice", "alice", store.Token{Scopes: []string{"inherit"}})
	r.token(t, "alice-only-reads", "alice", store.Token{Scopes: []string{"read:users!user"}})
	r.token(t, "alice-x", "alice", store.Token{Scopes: []string{"access:servers!server=alice/x"}})
	r.token(t, "bob-opens", "bob", store.Token{Scopes: []string{"access:servers"}})
	r.token(t, "mallory-opens", "mallory", store.Token{Scopes: []string{"access:servers", "inherit"}})
	r.token(t, "old", "alice", store.Token{Scopes: []string{"inherit"}, Expires: time.Now().Add(-time.Hour)})
	r.token(t, "of-a-session", "alice", store.Token{Scopes: []string{"inherit"}, SessionID: "s-alice"})
	r.token(t, "of-an-ended-session", "alice", store.Token{Scopes: []string{"inherit"}, SessionID: "gone"})
	for token, want := range map[string][2]string{ // at alice's default server, and at x
		"all-of-alice": {"visitor", "visitor"}, "alice-only-reads": {forbidden, forbidden},
		"alice-x": {forbidden, "visitor"}, "bob-opens": {"visitor", forbidden}, "mallory-opens": {forbidden, forbidden},
		"old": {forbidden, forbidden}, "of-a-session": {"visitor", "visitor"},
		"of-an-ended-session": {forbidden, forbidden},
		"own-alice":           {"visitor", forbidden}, "own-alice:x": {forbidden, "visitor"},
		"of-a-service": {"visitor", "visitor"},
		"of-another":   {forbidden, forbidden}, "nobodys": {forbidden, forbidden},
	} {
		for i, server := range []string{"alice", "alice:x"} {
			for how, req := range map[string]*http.Request{
				"token":  request("POST", "/user/alice/api/kernels", "Authorization", "token "+token),
				"Bearer": request("GET", "/user/alice/api/kernels", "Authorization", "Bearer "+token),
				"query":  request("GET", "/user/alice/api/kernels?a=b&token="+url.QueryEscape(token)),
				"WebSocket": request("GET", "/user/alice/api/kernels/1/channels?token="+url.QueryEscape(token),
					"Connection", "Upgrade", "Upgrade", "websocket"),
				"two": request("GET", "/user/alice/x?token="+url.QueryEscape(token), "Authorization", "Basic eDp5"),
			} {
				if got := r.ask(t, server, req); got != want[i] {
					t.Errorf("%s in %s at %s: %s, want %s", token, how, server, got, want[i])
				}
			}
		}
	}
}

// TestTokenInLink has what a link with a token does in a browser: it shows the page, gives what the page loads a
// cookie, and asks first who is signed in as somebody else.
func TestTokenInLink(t *testing.T) {
	r := newRig(t)
	tok := r.token(t, "of-mallory", "mallory", store.Token{Scopes: []string{"inherit"}})
	const link = "/user/mallory/x?token=of-mallory"
	leave := r.Admit(httptest.NewRecorder(), visit(link), key(t, "mallory"))
	if leave == nil || leave.Owner || !strings.HasPrefix(leave.Cookie, "__Http-gifford-server-") {
		t.Fatalf("the link gives %+v", leave)
	}
	pair, attributes, _ := strings.Cut(leave.Cookie, "; ")
	if attributes != "Path=/user/mallory/; HttpOnly; SameSite=Lax; Secure" {
		t.Errorf("the cookie has %s", attributes)
	}
	if strings.Contains(pair, "of-mallory") {
		t.Error("the cookie shows the token")
	}
	if got := r.ask(t, "mallory", fetch("/user/mallory/y", "Cookie", pair)); got != "visitor" {
		t.Errorf("what the page loads: %s", got)
	}
	if got := r.ask(t, "mallory", fetch("/user/mallory/x.js", "Cookie", pair, "Service-Worker",
		"script")); got != forbidden {
		t.Errorf("its service worker: %s", got)
	}
	if got := r.ask(t, "mallory", visit(link, "Cookie", hub("s-dora"))); got != "Found /hub"+link {
		t.Errorf("an administrator is not asked: %s", got)
	}
	if got := r.ask(t, "mallory", visit(link, "Cookie", hub("s-mallory"))); got != "Found /hub"+link {
		t.Errorf("its owner gets no cookie of their own: %s", got)
	}
	if leave := r.Admit(httptest.NewRecorder(), fetch(link), key(t, "mallory")); leave == nil || leave.Cookie != "" {
		t.Errorf("a script gets %+v", leave)
	}
	if err := r.db.DeleteToken(t.Context(), tok.User, tok.ID); err != nil {
		t.Fatal(err)
	}
	r.changes.Notify()
	if got := r.ask(t, "mallory", fetch("/user/mallory/y", "Cookie", pair)); got != forbidden {
		t.Errorf("after the token was revoked: %s", got)
	}
	if leave.Holds(t.Context()) {
		t.Error("what is open stays so")
	}
}

// TestRevoked takes a right away in each way, and checks what is open and what comes next, at once and without waiting
// for a clock.
func TestRevoked(t *testing.T) {
	for name, tt := range map[string]struct {
		session string
		end     func(t *testing.T, r *rig) error
	}{
		"signed out": {"s-alice", func(_ *testing.T, r *rig) error {
			r.sessions.set("s-alice",
				ident.User{})
			return nil
		}},
		"the share": {"s-bob", func(t *testing.T, r *rig) error {
			return r.db.RevokeShares(t.Context(), key(t, "alice"))
		}},
		"the group": {"s-erin", func(t *testing.T, r *rig) error {
			return r.db.RemoveFromGroup(t.Context(), "helpers", []ident.User{key(t, "erin").User})
		}},
		"the owner's group": {"s-erin", func(t *testing.T, r *rig) error {
			return r.db.RemoveFromGroup(t.Context(), "lab", []ident.User{key(t, "alice").User})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			req := fetch("/user/alice/api", "Cookie", r.signedIn(t, tt.session, "alice"))
			leave := r.Admit(httptest.NewRecorder(), req, key(t, "alice"))
			if leave == nil || !leave.Holds(t.Context()) {
				t.Fatal("not let through before")
			}
			if err := tt.end(t, r); err != nil {
				t.Fatal(err)
			}
			if !leave.Holds(t.Context()) {
				t.Error("asked again without a reason")
			}
			r.changes.Notify()
			if leave.Holds(t.Context()) {
				t.Error("holds after the change")
			}
			if got := r.ask(t, "alice", req); got != forbidden {
				t.Errorf("the next request: %s", got)
			}
		})
	}
	r := newRig(t)
	req := fetch("/user/alice/api", "Cookie", r.signedIn(t, "s-alice", "alice"))
	leave := r.Admit(httptest.NewRecorder(), req, key(t, "alice"))
	r.sessions.set("s-alice", ident.User{})
	r.pass(fresh)
	if leave.Holds(t.Context()) {
		t.Error("nobody announced it, and it holds after a second")
	}
}

// TestUnknown checks that what cannot be known ends nothing and lets nobody in.
func TestUnknown(t *testing.T) {
	for name, session := range map[string]string{"session": "s-bob", "groups": "s-erin"} {
		r := newRig(t)
		req := fetch("/user/alice/api", "Cookie", r.signedIn(t, session, "alice"))
		leave := r.Admit(httptest.NewRecorder(), req, key(t, "alice"))
		if leave == nil {
			t.Fatal("not let through before")
		}
		broken := errors.New("the disk is gone")
		switch name {
		case "session":
			r.sessions.fail(broken)
		case "groups":
			if err := r.db.RemoveFromGroup(t.Context(), "lab", []ident.User{key(t, "alice").User}); err != nil {
				t.Fatal(err) // as if they could not be read
			}
			r.known = broken
		}
		r.changes.Notify()
		if !leave.Holds(t.Context()) || r.ask(t, "alice", req) != "visitor" {
			t.Errorf("%s: ended although nobody knows", name)
		}
		again := newRig(t)
		again.sessions.fail(broken)
		if got := again.ask(t, "alice", req); got != "Service Unavailable" {
			t.Errorf("%s: somebody new: %s", name, got)
		}
		r.sessions.fail(nil)
		r.known = nil
		r.pass(fresh)
		if got, want := leave.Holds(t.Context()), name == "session"; got != want {
			t.Errorf("%s: known again, and holds: %v", name, got)
		}
	}
}

// TestSilence checks that people work on while whoever knows their rights does not answer, and that an end which is
// announced meanwhile counts at once.
func TestSilence(t *testing.T) {
	r := newRig(t)
	req := fetch("/user/alice/api", "Cookie", r.signedIn(t, "s-alice", "alice"))
	leave := r.Admit(httptest.NewRecorder(), req, key(t, "alice"))
	if leave == nil {
		t.Fatal("not let through before")
	}
	answers := make(chan struct{})
	r.sessions.mu.Lock()
	r.sessions.hangs = answers
	r.sessions.mu.Unlock()
	r.pass(fresh)
	held := make(chan bool)
	go func() { held <- leave.Holds(t.Context()) }()
	select {
	case held := <-held:
		if !held {
			t.Error("what was open has ended")
		}
	case <-time.After(askTime):
		t.Fatal("the request waits with the question")
	}
	r.sessions.mu.Lock()
	r.sessions.hangs = nil // whoever asks now is answered, and the first still waits
	r.sessions.mu.Unlock()
	r.sessions.set("s-alice", ident.User{})
	r.changes.Notify()
	if leave.Holds(t.Context()) {
		t.Error("holds after the session has ended")
	}
	close(answers)
}

// TestNavigation has who is sent to the hub, and what all others get.
func TestNavigation(t *testing.T) {
	r := newRig(t)
	for name, tt := range map[string]struct {
		req  *http.Request
		want string
	}{
		"a page": {visit("/user/alice/lab"), toHub},
		"with a query": {visit("/user/alice/git-pull?repo=https%3A%2F%2Fx&b&a=%20"),
			"Found /hub/user/alice/git-pull?repo=https%3A%2F%2Fx&b&a=%20"},
		"escaped":        {visit("/user/alice/a%2Fb%20c"), "Found /hub/user/alice/a%2Fb%20c"},
		"HEAD":           {request("HEAD", "/user/alice/lab", "Accept", "text/html"), toHub},
		"an old browser": {request("GET", "/user/alice/lab", "Accept", "text/html,*/*"), toHub},
		"its script": {request("GET", "/user/alice/lab", "Accept", "text/html", "X-Requested-With",
			"XMLHttpRequest"), forbidden},
		"a program": {request("GET", "/user/alice/lab", "Accept", "*/*"), forbidden},
		"a form": {request("POST", "/user/alice/lab", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest",
			"document"), forbidden},
		"a frame":   {visit("/user/alice/lab", "Sec-Fetch-Dest", "iframe"), forbidden},
		"an object": {visit("/user/alice/lab", "Sec-Fetch-Dest", "object"), forbidden},
		"a fetch":   {fetch("/user/alice/lab", "Accept", "text/html"), forbidden},
		"a WebSocket": {request("GET", "/user/alice/ws", "Connection", "Upgrade", "Upgrade", "websocket",
			"Accept", "text/html"), forbidden},
		"a preflight": {request("OPTIONS", "/user/alice/api", "Origin", "https://x.example",
			"Access-Control-Request-Method", "PUT"), "preflight"},
		"OPTIONS": {request("OPTIONS", "/user/alice/api"), forbidden},
		"without an origin": {request("OPTIONS", "/user/alice/api", "Access-Control-Request-Method", "PUT"),
			forbidden},
		"without its method": {request("OPTIONS", "/user/alice/api", "Origin", "https://x.example"), forbidden},
		"GET as a preflight": {request("GET", "/user/alice/api", "Origin", "https://x.example",
			"Access-Control-Request-Method", "PUT"), forbidden},
	} {
		if got := r.ask(t, "alice", tt.req); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	apart, err := origins.New("https://hub.example.org", "https://{user}.hub.example.org")
	if err != nil {
		t.Fatal(err)
	}
	r = newRig(t, func(c *Config) { c.Origins = apart })
	if got := r.ask(t, "alice", visit("/user/alice/lab")); got != "Found https://hub.example.org/hub/user/alice/lab" {
		t.Errorf("with an origin each: %s", got)
	}
	if got := r.Address("s", key(t, "alice"), "/user/alice/lab", "", 1); !strings.HasPrefix(got,
		"https://alice.hub.example.org/user/alice/lab?redirects=1&gifford-ticket=") {
		t.Errorf("the way back: %s", got)
	}
}

// TestRefusalsInWords checks that programs get JSON with words, and nothing that opens the answer to other origins.
func TestRefusalsInWords(t *testing.T) {
	r := newRig(t)
	w := httptest.NewRecorder()
	r.Admit(w, fetch("/user/alice/api", "Origin", "https://evil.example"), key(t, "alice"))
	var said struct{ Message string }
	if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || !strings.Contains(said.Message, "/user/alice/") {
		t.Errorf("%s, %v", w.Body, err)
	}
	for name := range w.Header() {
		if strings.HasPrefix(name, "Access-Control-") || name == "Set-Cookie" {
			t.Errorf("has %s", name)
		}
	}
	w = httptest.NewRecorder()
	r.Admit(w, visit("/user/alice/api", "Sec-Fetch-Dest", "iframe"), key(t, "alice"))
	if got := w.Header().Get("Content-Security-Policy"); !strings.Contains(got, "sandbox") {
		t.Errorf("a frame gets a window of the servers' origin, under the policy %q", got)
	}
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") || strings.HasPrefix(w.Body.String(), "{") {
		t.Errorf("a frame gets %s", w.Body)
	}
}

// TestForged has requests with a good cookie that another's page has made.
func TestForged(t *testing.T) {
	r := newRig(t)
	dora := r.signedIn(t, "s-dora", "dora")
	const at = "https://example.com"
	for name, tt := range map[string]struct {
		req  *http.Request
		want string
	}{
		"her own page":         {fetch("/user/dora/api", "Referer", at+"/user/dora/lab"), "owner"},
		"her named server":     {fetch("/user/dora/api", "Referer", at+"/user/dora/x/lab"), "owner"},
		"escaped":              {fetch("/user/dora/api", "Referer", at+"/user/%64ora/lab"), "owner"},
		"the hub's page":       {fetch("/user/dora/api", "Referer", at+"/hub/home"), "owner"},
		"no Referer":           {fetch("/user/dora/api"), "owner"},
		"mallory's page":       {fetch("/user/dora/api", "Referer", at+"/user/mallory/x.html"), forbidden},
		"mallory's, escaped":   {fetch("/user/dora/api", "Referer", at+"/user/m%61llory/x.html"), forbidden},
		"mallory's, bare":      {fetch("/user/dora/api", "Referer", at+"/user/mallory"), forbidden},
		"whose name begins so": {fetch("/user/dora/api", "Referer", at+"/user/dora2/"), forbidden},
		"no name":              {fetch("/user/dora/api", "Referer", at+"/user/%zz/"), forbidden},
		"mallory's image": {fetch("/user/dora/x.png", "Referer", at+"/user/mallory/", "Sec-Fetch-Mode", "no-cors",
			"Sec-Fetch-Dest", "image"), forbidden},
		"a link on her page": {visit("/user/dora/lab", "Referer", at+"/user/mallory/", "Sec-Fetch-Site",
			"same-origin"), "owner"},
		"mallory's frame": {visit("/user/dora/lab", "Referer", at+"/user/mallory/", "Sec-Fetch-Site",
			"same-origin", "Sec-Fetch-Dest", "iframe"), forbidden},
		"another site's link": {visit("/user/dora/lab", "Sec-Fetch-Site", "cross-site"), "owner"},
		"another site's frame": {visit("/user/dora/lab", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "iframe"),
			forbidden},
		"another site's form": {request("POST", "/user/dora/api", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest",
			"document", "Sec-Fetch-Site", "cross-site"), forbidden},
		"another site's script": {fetch("/user/dora/api", "Sec-Fetch-Site", "cross-site"), forbidden},
		"her service worker":    {fetch("/user/dora/sw.js", "Service-Worker", "script"), "owner"},
	} {
		tt.req.Header.Set("Cookie", dora)
		if got := r.ask(t, "dora", tt.req); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	worker := fetch("/user/alice/sw.js", "Service-Worker", "script", "Cookie", r.signedIn(t, "s-dora", "alice"))
	if got := r.ask(t, "alice", worker); got != forbidden {
		t.Errorf("a visitor's service worker: %s", got)
	}
	r.public = []string{"sw.js"}
	if got := r.ask(t, "alice", fetch("/user/alice/sw.js", "Service-Worker", "script")); got != forbidden {
		t.Errorf("a public service worker: %s", got)
	}
	apart, err := origins.New("https://hub.example.org", "https://{user}.hub.example.org")
	if err != nil {
		t.Fatal(err)
	}
	r = newRig(t, func(c *Config) { c.Origins = apart })
	worker.Header.Set("Cookie", r.signedIn(t, "s-dora", "alice"))
	if got := r.ask(t, "alice", worker); got != "visitor" {
		t.Errorf("a service worker on its own origin: %s", got)
	}
}
