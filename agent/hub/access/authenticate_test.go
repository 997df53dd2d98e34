package access

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/fetchmeta"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/hub/xsrf"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

var errDown = errors.New("down")

// browser is signed in as its user, in the session "s1".
type browser struct {
	is  login.Session
	err error
}

func (b *browser) Session(*http.Request) (login.Session, error) { return b.is, b.err }

func (b *browser) SessionByID(_ context.Context, id string) (login.Session, error) {
	if id != b.is.ID {
		return login.Session{}, login.ErrNoSession
	}
	return b.is, b.err
}

// fleet is whose tokens the running servers have.
type fleet map[string]ident.Key

func (f fleet) TokenOwner(token string) (ident.Key, bool) {
	k, ok := f[token]
	return k, ok
}

// board is the services: each has the token "token-NAME". A nil one is known by token alone.
type board map[string]*services.Service

func (b board) ByToken(token string) (string, bool) {
	name, ok := strings.CutPrefix(token, "token-")
	_, known := b[name]
	return name, ok && known
}

func (b board) Get(name string) (services.Service, bool) {
	s := b[name]
	if s == nil {
		return services.Service{}, false
	}
	return *s, true
}

// failing is a database of which one method fails.
type failing struct {
	*store.Store
	user, token, touch, groups, shares error
}

func (f *failing) UserByName(ctx context.Context, u ident.User) (store.User, error) {
	if f.user != nil {
		return store.User{}, f.user
	}
	return f.Store.UserByName(ctx, u)
}

func (f *failing) TokenByHash(ctx context.Context, hash string) (store.Token, error) {
	if f.token != nil {
		return store.Token{}, f.token
	}
	return f.Store.TokenByHash(ctx, hash)
}

func (f *failing) TouchToken(ctx context.Context, id int64) error {
	return errors.Join(f.touch, f.Store.TouchToken(ctx, id))
}

func (f *failing) GroupsOf(ctx context.Context, u ident.User) ([]string, error) {
	if f.groups != nil {
		return nil, f.groups
	}
	return f.Store.GroupsOf(ctx, u)
}

func (f *failing) SharesFor(ctx context.Context, u ident.User, groups []string) ([]store.Share, error) {
	if f.shares != nil {
		return nil, f.shares
	}
	return f.Store.SharesFor(ctx, u, groups)
}

// rig is an Authenticator with a real database: alice has a server and, in the browser, a
// session; bob is an administrator and in the group "course"; "sync" is a service.
type rig struct {
	*Authenticator
	db      *failing
	browser *browser
	gone    standing
	log     *bytes.Buffer
}

// standing has the people who may not be here, by name, and why that cannot be found out of others.
type standing map[string]error

func (s standing) MayEnter(_ context.Context, u ident.User) error { return s[u.String()] }

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{log: &bytes.Buffer{}, gone: standing{}}
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "hub.sqlite"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	alice, bob := user(t, "alice"), user(t, "bob")
	for _, u := range []store.User{{Name: alice}, {Name: bob, Admin: true}} {
		if err := db.UpsertUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.CreateGroups(t.Context(), []store.Group{{Name: "course", Users: []ident.User{bob}}}); err != nil {
		t.Fatal(err)
	}
	r.db = &failing{Store: db}
	authority, err := New(Config{Table: scopes.Default(), Records: r.db, Log: log, Roles: []Role{
		{Role: role("teacher", "read:users!group=course"), Groups: []string{"staff"}},
		{Role: role("helper", "read:servers!group=course"), Groups: []string{"course"}}}})
	if err != nil {
		t.Fatal(err)
	}
	r.browser = &browser{is: login.Session{ID: "s1", User: alice, Groups: []string{"staff"}}}
	server := ident.Key{User: alice}
	r.Authenticator = NewAuthenticator(Sources{Authority: authority, Sessions: r.browser, Records: r.db, Log: log,
		Standings: r.gone, Tokens: pageTokens, Requests: fetchmeta.Rules{Base: "/", Secure: true},
		Servers: fleet{"server-of-alice": server, "server-of-carol": {User: user(t, "carol")}},
		Services: board{"sync": {Name: "sync", Admin: true, Scopes: []string{"custom:sync"}}, "plain": {Name: "plain"},
			"gone": nil},
		Client: func(id string) (scopes.Owner, bool) {
			if id == "" {
				t.Error("asked for the client without an id")
			}
			return scopes.Owner{Server: &server}, id == "client-of-alice"
		}})
	return r
}

// token puts a token with a secret into the database.
func (r *rig) token(t *testing.T, secret string, tok store.Token) store.Token {
	t.Helper()
	tok.Hash, tok.Kind = ident.HashToken(secret), store.APIToken
	var err error
	if tok.ID, err = r.db.CreateToken(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	return tok
}

// request is one to the API, with headers as pairs.
// pageTokens are those of the hub's own pages.
var pageTokens = xsrf.New([]byte("a key of the tests, 32 bytes long"), time.Now)

// request is one of a page of the hub.
func request(method string, headers ...string) *http.Request {
	req := httptest.NewRequest(method, "https://hub.example.org/hub/api/user", nil)
	req.Header.Set(xsrf.Header, pageTokens.Of("s1"))
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req
}

// seen is what tests compare of a Subject.
type seen struct {
	Name, Kind, Session string
	Admin               bool
	Groups              string
}

func see(s Subject) seen {
	return seen{s.Name(), s.Kind(), s.SessionID, s.Admin(), strings.Join(s.Groups, " ")}
}

// TestRequest checks who is found by each kind of credentials.
func TestRequest(t *testing.T) {
	r := newRig(t)
	r.token(t, "of-alice", store.Token{User: user(t, "alice"), Scopes: []string{"inherit"}, SessionID: "s1"})
	r.token(t, "of-bob", store.Token{User: user(t, "bob"), Scopes: []string{"inherit"}})
	alice := seen{"alice", "user", "s1", false, "staff"}
	tests := map[string]struct {
		header string
		want   seen
		has    string // scopes that it must have
		lacks  string
	}{
		"the browser's session": {"", alice, "servers!user=alice read:users!group=course", "shutdown read:hub"},
		"a token of the session": {"token of-alice", alice, "servers!user=alice read:users!group=course",
			"shutdown"},
		"an administrator's token": {"Bearer of-bob", seen{"bob", "user", "", true, "course"}, "shutdown", ""},
		"upper case, more blanks":  {"BEARER   of-bob", seen{"bob", "user", "", true, "course"}, "shutdown", ""},
		"a server": {"token server-of-alice", seen{"alice", "user", "", false, ""},
			"access:servers!server=alice/", "servers!user=alice shutdown"},
		"a server that outlived the database": {"token server-of-carol", seen{"carol", "user", "", false, ""},
			"access:servers!server=carol/", "servers!user=carol"},
		"an administrator service": {"token token-sync", seen{"sync", "service", "", true, ""},
			"shutdown read:services:name!service=sync", ""},
		"a service": {"token token-plain", seen{"plain", "service", "", false, ""},
			"read:services:name!service=plain", "shutdown"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := r.Request(request("GET", "Authorization", tt.header))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, see(s)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			wantScopes(t, s.Scopes(), tt.has, tt.lacks)
		})
	}
}

func wantScopes(t *testing.T, set scopes.Set, has, lacks string) {
	t.Helper()
	got := set.Sorted()
	for _, want := range strings.Fields(has) {
		name, _, _ := strings.Cut(want, "!")
		if !slices.Contains(got, want) && !set.Everywhere(name) {
			t.Errorf("%s is not in %v", want, got)
		}
	}
	for _, never := range strings.Fields(lacks) {
		if slices.Contains(got, never) {
			t.Errorf("%s is in %v", never, got)
		}
	}
}

// TestRequestRefuses checks that all that is wrong with credentials has one answer, which
// says nothing of the reason.
func TestRequestRefuses(t *testing.T) {
	r := newRig(t)
	alice := user(t, "alice")
	r.token(t, "ended", store.Token{User: alice, Scopes: []string{"inherit"}, SessionID: "s2"})
	r.token(t, "forged", store.Token{User: user(t, "bob"), Scopes: []string{"inherit"}, SessionID: "s1"})
	r.token(t, "stranger", store.Token{User: user(t, "carol"), Scopes: []string{"inherit"}})
	for name, header := range map[string]string{"unknown token": "token x", "another scheme": "Basic of-alice",
		"no token": "token ", "two tokens": "token a b", "something before": "my token x",
		"a token of an ended session":     "token ended",
		"a token of another's session":    "token forged",
		"a token of nobody":               "token stranger",
		"a service that was just removed": "token token-gone"} {
		t.Run(name, func(t *testing.T) {
			s, err := r.Request(request("GET", "Authorization", header))
			if !errors.Is(err, ErrCredentials) || httpx.Public(err).Status != http.StatusForbidden {
				t.Errorf("error %v", err)
			}
			nobody(t, s)
		})
	}
	for name, err := range map[string]error{"no session": login.ErrNoSession,
		"no longer allowed": &login.Denied{Reason: login.Blocked, User: alice}} {
		r.browser.err = err
		s, got := r.Request(request("GET"))
		if !errors.Is(got, ErrCredentials) {
			t.Errorf("%s: error %v", name, got)
		}
		nobody(t, s)
		if _, got = r.Browser(request("GET")); !errors.Is(got, err) {
			t.Errorf("%s: the pages get %v", name, got)
		}
	}
}

func nobody(t *testing.T, s Subject) {
	t.Helper()
	if got := see(s); got != (seen{Kind: "user"}) || len(s.Scopes().Sorted()) > 0 {
		t.Errorf("got %+v with %v, want nobody", got, s.Scopes().Sorted())
	}
}

// TestDatabaseDown checks that a database that fails makes nobody anybody, and is not taken
// for wrong credentials.
func TestDatabaseDown(t *testing.T) {
	tests := map[string]struct {
		fail   func(*rig)
		header string
	}{
		"groups, for a session":  {func(r *rig) { r.db.groups = errDown }, ""},
		"groups, for a token":    {func(r *rig) { r.db.groups = errDown }, "token of-bob"},
		"groups, for a server":   {func(r *rig) { r.db.groups = errDown }, "token server-of-alice"},
		"shares, for a session":  {func(r *rig) { r.db.shares = errDown }, ""},
		"the session":            {func(r *rig) { r.browser.err = errDown }, ""},
		"the user of a token":    {func(r *rig) { r.db.user = errDown }, "token of-bob"},
		"the user of a server":   {func(r *rig) { r.db.user = errDown }, "token server-of-alice"},
		"the token":              {func(r *rig) { r.db.token = errDown }, "token of-bob"},
		"the token's own groups": {func(r *rig) { r.db.groups = errDown }, "token of-alice"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.token(t, "of-alice", store.Token{User: user(t, "alice"), Scopes: []string{"inherit"}, SessionID: "s1"})
			r.token(t, "of-bob", store.Token{User: user(t, "bob"), Scopes: []string{"inherit"}})
			tt.fail(r)
			s, err := r.Request(request("GET", "Authorization", tt.header))
			if !errors.Is(err, errDown) || errors.Is(err, ErrCredentials) {
				t.Errorf("error %v", err)
			}
			if len(s.Scopes().Sorted()) > 0 {
				t.Errorf("may %v", s.Scopes().Sorted())
			}
		})
	}
	r := newRig(t)
	r.db.groups = errDown
	if s, err := r.Browser(request("GET")); !errors.Is(err, errDown) || len(s.Scopes().Sorted()) > 0 {
		t.Errorf("the pages get %v, %v", s.Scopes().Sorted(), err)
	}
}

// TestTokenWithoutRoomForItsUse checks that a full disk, on which the use of a token cannot be
// noted, locks nobody out.
func TestTokenWithoutRoomForItsUse(t *testing.T) {
	r := newRig(t)
	tok := r.token(t, "of-bob", store.Token{User: user(t, "bob"), Scopes: []string{"read:hub"}})
	s, err := r.Request(request("GET", "Authorization", "token of-bob"))
	if err != nil || s.Name() != "bob" || strings.Contains(r.log.String(), "database-error") {
		t.Fatalf("%s, %v\n%s", s.Name(), err, r.log)
	}
	if now, err := r.db.Store.Token(t.Context(), tok.User, tok.ID); err != nil || now.LastUsed.IsZero() {
		t.Errorf("the use was not noted: %+v, %v", now, err)
	}
	r.db.touch = errors.New("disk full")
	s, err = r.Request(request("GET", "Authorization", "token of-bob"))
	if err != nil || s.Name() != "bob" || s.TokenID != "a1" || !s.Has("read:hub") {
		t.Errorf("%s with token %q may %v: %v", s.Name(), s.TokenID, s.Scopes().Sorted(), err)
	}
	if !strings.Contains(r.log.String(), "database-error") || !strings.Contains(r.log.String(), "disk full") {
		t.Errorf("the journal has %s", r.log)
	}
}

// TestOtherSites checks what another site's page can make a browser send.
func TestOtherSites(t *testing.T) {
	r := newRig(t)
	tests := map[string]struct {
		method, kind, body, site string
		want                     bool
	}{
		"read":                                {"GET", "", "", "same-origin", true},
		"read by another site":                {"GET", "", "", "cross-site", false},
		"JSON of our own pages":               {"POST", "application/json; charset=utf-8", "{}", "same-origin", true},
		"no body":                             {"POST", "", "", "same-origin", true},
		"DELETE with another type":            {"DELETE", "text/plain", "{}", "same-origin", true},
		"JSON of another site":                {"POST", "application/json", "{}", "cross-site", false},
		"no body, of another site":            {"DELETE", "", "", "cross-site", false},
		"a form of our own":                   {"POST", "text/plain", "{}", "same-origin", false},
		"a form by a browser without Sec-":    {"POST", "application/x-www-form-urlencoded", "a=b", "", false},
		"a body without a type":               {"POST", "", "{}", "same-origin", false},
		"a type that only begins like JSON's": {"POST", "application/jsonp", "{}", "same-origin", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			req := httptest.NewRequest(tt.method, "https://hub.example.org/hub/api/users", strings.NewReader(tt.body))
			req.Header.Set("Content-Type", tt.kind)
			req.Header.Set("Sec-Fetch-Site", tt.site)
			req.Header.Set(xsrf.Header, pageTokens.Of("s1"))
			s, err := r.Request(req)
			if tt.want != (err == nil) || tt.want != (s.Name() == "alice") {
				t.Errorf("%q, %v", s.Name(), err)
			}
			if err != nil && httpx.Public(err).Status != http.StatusForbidden {
				t.Errorf("status %d", httpx.Public(err).Status)
			}
		})
	}
}

// TestOtherPages checks that a session's request needs the token of a page of the hub, for reading too: servers' pages
// have the same origin and the same cookies.
func TestOtherPages(t *testing.T) {
	r := newRig(t)
	const path, stream = "/hub/api/user", "/hub/api/users/alice/server/progress"
	for name, tt := range map[string]struct {
		target, header, value string
		want                  bool
	}{
		"no token":           {target: path},
		"in the header":      {target: path, header: "X-XSRFToken", value: pageTokens.Of("s1"), want: true},
		"in the query":       {target: path + "?_xsrf=" + pageTokens.Of("s1"), want: true},
		"of another session": {target: path, header: "X-XSRFToken", value: pageTokens.Of("s2")},
		"the session's id":   {target: path, header: "X-XSRFToken", value: "s1"},
		"another scheme": {target: path + "?_xsrf=" + pageTokens.Of("s1"), header: "Origin",
			value: "http://hub.example.org"},
		"our origin": {target: path + "?_xsrf=" + pageTokens.Of("s1"), header: "Origin",
			value: "https://hub.example.org", want: true},
		"stream":                        {target: stream + "?_xsrf=" + pageTokens.ForStream("s1", stream), want: true},
		"a stream's token at this path": {target: path + "?_xsrf=" + pageTokens.ForStream("s1", stream)},
	} {
		for _, method := range []string{"GET", "DELETE"} {
			if method == "DELETE" && name == "stream" {
				continue
			}
			req := httptest.NewRequest(method, "https://hub.example.org"+tt.target, nil)
			if tt.header != "" {
				req.Header.Set(tt.header, tt.value)
			}
			s, err := r.Request(req)
			if tt.want != (err == nil) || tt.want != (s.Name() == "alice") {
				t.Errorf("%s by %s: %q, %v", name, method, s.Name(), err)
			}
			if err != nil && httpx.Public(err).Status != http.StatusForbidden {
				t.Errorf("%s: status %d", name, httpx.Public(err).Status)
			}
		}
	}
	r.token(t, "of-alice", store.Token{User: user(t, "alice"), Scopes: []string{"inherit"}})
	req := httptest.NewRequest("GET", "https://hub.example.org/hub/api/user", nil)
	req.Header.Set("Authorization", "token of-alice")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if s, err := r.Request(req); err != nil || s.Name() != "alice" {
		t.Errorf("a program with a token of its own: %v", err)
	}
}

// TestTokenScopes checks that a token may do what it says and its owner has, and nothing when
// its session has ended.
func TestTokenScopes(t *testing.T) {
	r := newRig(t)
	alice, bob := user(t, "alice"), user(t, "bob")
	identify := "read:users:groups!user=alice read:users:name!user=alice"
	tests := map[string]struct {
		token store.Token
		want  string
	}{
		"more than its owner has": {store.Token{User: alice, Scopes: []string{"shutdown", "read:hub"}}, identify},
		"of a server's client": {store.Token{User: alice, ClientID: "client-of-alice",
			Scopes: []string{"access:servers!server"}}, "access:servers!server=alice/ " + identify},
		"of no client":        {store.Token{User: alice, Scopes: []string{"access:servers!server"}}, identify},
		"of an ended session": {store.Token{User: alice, Scopes: []string{"inherit"}, SessionID: "s2"}, ""},
		"of an administrator": {store.Token{User: bob, Scopes: []string{"shutdown"}},
			"read:users:groups!user=bob read:users:name!user=bob shutdown"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			set, err := r.TokenScopes(t.Context(), tt.token)
			if got := strings.Join(set.Sorted(), " "); err != nil || got != tt.want {
				t.Errorf("may %s, %v; want %s", got, err, tt.want)
			}
		})
	}
	r.db.user = errDown
	if set, err := r.TokenScopes(t.Context(), store.Token{User: bob, Scopes: []string{"shutdown"}}); err == nil ||
		len(set.Sorted()) > 0 {
		t.Errorf("with a database that is down: %v, %v", set.Sorted(), err)
	}
}

// TestOperator checks that root may do all that an administrator may.
func TestOperator(t *testing.T) {
	s := newRig(t).Operator(t.Context())
	if diff := cmp.Diff(seen{"operator", "operator", "", true, ""}, see(s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	wantScopes(t, s.Scopes(), "shutdown admin:users delete:servers admin:groups tokens shares", "")
	if !s.MayUser(user(t, "zoe"), "admin:users") || s.HasTokens() {
		t.Error("the operator is not above users, or has tokens")
	}
}

// TestIdentified checks that whoever shows credentials may read their own name.
func TestIdentified(t *testing.T) {
	r := newRig(t)
	alice := user(t, "alice")
	if s := r.Identified(Subject{User: alice}); !s.MayUser(alice, "read:users:name") || s.Has("servers") {
		t.Errorf("a user may %v", s.Scopes().Sorted())
	}
	before := Subject{Service: "sync"}
	s := r.Identified(before)
	if !s.MayService("sync", "read:services:name") || s.MayService("other", "read:services:name") ||
		s.Has("read:users:name") {
		t.Errorf("a service may %v", s.Scopes().Sorted())
	}
	if before.Has("read:services:name") {
		t.Error("the subject itself changed")
	}
}

// TestSuspended checks that while somebody may not be here their tokens, a server's own among them, are as good as
// wrong ones, that they are not deleted, and that another failure is no refusal.
func TestSuspended(t *testing.T) {
	r := newRig(t)
	ctx, bob := t.Context(), user(t, "bob")
	token := store.Token{Hash: ident.HashToken("tok"), Kind: store.APIToken, User: bob, Scopes: []string{"self"}}
	if _, err := r.db.CreateToken(ctx, token); err != nil {
		t.Fatal(err)
	}
	down := errors.New("disk full")
	for _, tt := range []struct {
		name string
		gone error
		want error
	}{{"present", nil, nil}, {"gone", &login.Denied{Reason: login.NotInGroup, User: bob}, ErrCredentials},
		{"not known", down, down}, {"back", nil, nil}} {
		r.gone["bob"], r.gone["carol"] = tt.gone, tt.gone
		for _, secret := range []string{"tok", "server-of-carol"} {
			if _, err := r.Bearer(ctx, secret); !errors.Is(err, tt.want) {
				t.Errorf("%s: %s: error %v, want %v", tt.name, secret, err, tt.want)
			}
		}
		set, err := r.TokenScopes(ctx, token)
		if refused := tt.want == ErrCredentials; refused && (err != nil || len(set.Sorted()) > 0) ||
			!refused && (!errors.Is(err, tt.want) || (err == nil) != (len(set.Sorted()) > 0)) {
			t.Errorf("%s: scopes %v, %v", tt.name, set.Sorted(), err)
		}
	}
	if !strings.Contains(r.log.String(), "suspended token") {
		t.Errorf("the log says %s", r.log)
	}
}
