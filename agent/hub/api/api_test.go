package api

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	signin "github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/hub/xsrf"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// fleet is a manager whose servers are in the states it is told.
type fleet struct {
	states  map[string]servers.State
	started []string
	resets  []string
	steps   []servers.Progress
	wait    servers.Queue
	queues  bool // a start waits in the line
	options []servers.Options

	persistent []string // servers with a persistent container
}

func (f *fleet) Get(key ident.Key) servers.Server {
	s := servers.Server{Key: key, State: servers.Stopped}
	if state, ok := f.states[key.String()]; ok {
		s.State = state
	}
	if s.State == servers.Failed {
		s.Failure = &servers.Failure{Why: backend.Why{Message: "it broke"}}
	}
	return s
}

func (f *fleet) Of(user ident.User) []servers.Server {
	var own []servers.Server
	for _, s := range f.List() {
		if s.Key.User == user {
			own = append(own, s)
		}
	}
	return own
}

func (f *fleet) List() []servers.Server {
	var all []servers.Server
	for name := range f.states {
		user, server, _ := strings.Cut(name, ":")
		key, _ := ident.ParseKey(user, server)
		all = append(all, f.Get(key))
	}
	return all
}

func (f *fleet) Queue(ident.Key) (servers.Queue, bool) { return f.wait, f.wait.Position > 0 }

func (f *fleet) Start(key ident.Key, profile string, o servers.Options) error {
	f.options = append(f.options, o)
	f.started = append(f.started, key.String()+" "+profile)
	f.states[key.String()] = servers.Ready
	if f.queues {
		f.states[key.String()] = servers.Queued
	}
	return nil
}

func (f *fleet) Reset(_ context.Context, key ident.Key) error {
	f.resets = append(f.resets, key.String())
	return servers.ErrNoContainer
}

func (f *fleet) Stop(_ context.Context, key ident.Key) error {
	if f.Get(key).State == servers.Stopped {
		return servers.ErrNotActive
	}
	f.states[key.String()] = servers.Stopped
	return nil
}

func (f *fleet) Follow(ctx context.Context, _ ident.Key, step func(servers.Progress) error) (bool, error) {
	for _, p := range f.steps {
		if err := step(p); err != nil {
			return true, err
		}
	}
	if f.queues {
		<-ctx.Done() // nothing more happens
		return true, ctx.Err()
	}
	return true, nil
}

func (f *fleet) TokenOwner(token string) (ident.Key, bool) {
	if token != "server-token-of-alice" {
		return ident.Key{}, false
	}
	k, err := ident.ParseKey("alice", "")
	return k, err == nil
}

func (f *fleet) hasPersistent(_ context.Context, key ident.Key) (bool, error) {
	return slices.Contains(f.persistent, key.String()), nil
}

func (f *fleet) Touch(ident.Key, time.Time) {}

// serve returns the API over a real database with the users alice, bob and dora (an
// administrator). The header X-Test-User is the browser's session.
func serve(t *testing.T) (*httptest.Server, *fleet, *store.Store) {
	t.Helper()
	a, f, db := build(t)
	srv := httptest.NewServer(a.Handler())
	t.Cleanup(srv.Close)
	return srv, f, db
}

// browsers believe the header X-Test-User. "dora" is an administrator.
type browsers struct{}

func (browsers) Session(r *http.Request) (signin.Session, error) {
	u, err := ident.ParseUser(r.Header.Get("X-Test-User"))
	if err != nil {
		return signin.Session{}, signin.ErrNoSession
	}
	return signin.Session{ID: "s1", User: u, Admin: u.String() == "dora", Groups: []string{"cgs"}}, nil
}

func (browsers) SessionByID(_ context.Context, id string) (signin.Session, error) {
	name, alive := strings.CutPrefix(id, "session-of-")
	if !alive {
		return signin.Session{}, signin.ErrNoSession
	}
	u, err := ident.ParseUser(name)
	return signin.Session{ID: id, User: u, Groups: []string{"cgs"}}, err
}

func (browsers) MayEnter(context.Context, ident.User) error { return nil }

// pageTokens are those of the hub's own pages.
var pageTokens = xsrf.New([]byte("a key of the tests, 32 bytes long"), time.Now)

// build is serve without a listener.
func build(t testing.TB) (*API, *fleet, *store.Store) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "hub.sqlite"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for _, name := range []string{"alice", "bob", "dora"} {
		u, _ := ident.ParseUser(name)
		if err := db.UpsertUser(t.Context(), store.User{Name: u, Admin: name == "dora"}); err != nil {
			t.Fatal(err)
		}
		if _, err := db.CreateToken(t.Context(), store.Token{Hash: ident.HashToken("oauth-token-of-" + name),
			Kind: store.OAuthToken,
			User: u, Scopes: []string{"read:users:name!user=" + name, "read:users:groups!user=" + name,
				"access:servers!server=alice/"}}); err != nil {
			t.Fatal(err)
		}
	}
	bob, _ := ident.ParseUser("bob")
	if err := db.CreateGroups(t.Context(), []store.Group{{Name: "lab", Users: []ident.User{bob}}}); err != nil {
		t.Fatal(err)
	}
	f := &fleet{states: map[string]servers.State{}}
	reader := scopes.Role{Name: "reader", Scopes: []string{"list:users!group=lab", "read:users!group=lab"}}
	auth, err := access.New(access.Config{Table: scopes.Default(), Records: db, Log: log, Roles: []access.Role{
		{Role: reader, Services: []string{"limited"}}}})
	if err != nil {
		t.Fatal(err)
	}
	known, err := services.New(t.Context(), services.Config{BaseURL: "/", Records: db, Declared: []services.Service{
		{Name: "all", Admin: true, TokenHash: ident.HashToken("service-token-of-all")},
		{Name: "limited", TokenHash: ident.HashToken("service-token-of-limited"), URL: "http://127.0.0.1:9999",
			RedirectURI: "/services/limited/oauth_callback"}}})
	if err != nil {
		t.Fatal(err)
	}
	who := access.NewAuthenticator(access.Sources{Authority: auth, Sessions: browsers{}, Standings: browsers{},
		Servers: f, Services: known, Records: db, Tokens: pageTokens, Log: log,
		Client: func(string) (scopes.Owner, bool) { return scopes.Owner{}, false }})
	act, err := actions.New(actions.Config{Records: db, Authority: auth, Servers: f, Services: known, NamedServers: 1,
		HasPersistent: f.hasPersistent, MayEnter: browsers{}.MayEnter,
		EndSessions: func(context.Context, ident.User) error { return nil },
		Background:  func(work func(context.Context)) { work(context.Background()) }, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	a := New(Config{BaseURL: "/", PublicURL: "https://hub.example.org/", Version: "5.5.1", Program: "1.0", Servers: f,
		Services: known, Records: db.Reader, Actions: act, Authority: auth, Access: who,
		Cull: announced, Devices: lent, Log: log,
		Client: func(string) (Client, bool) { return Client{}, false },
		Routes: func() map[string]Route {
			return map[string]Route{"/": {Target: "hub"}, "/user/alice/": {Target: "unix"}}
		},
		Resync:    func(context.Context) error { return nil },
		Authorize: func(http.ResponseWriter, *http.Request) error { return httpx.Fail(418, "authorize") },
		Token:     func(http.ResponseWriter, *http.Request) error { return httpx.Fail(418, "token") },
		Page:      func(w http.ResponseWriter, _ *http.Request, err error) { w.WriteHeader(httpx.Public(err).Status) },
	})
	return a, f, db
}

// ask sends a request, with the token of a page where a session makes it, and returns the status, the body and the
// headers.
func ask(t *testing.T, srv *httptest.Server, method, path, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if r.Header.Get("X-Test-User") != "" {
		r.Header.Set(xsrf.Header, pageTokens.Of("s1"))
	}
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

// TestWhoMayCallWhat is the whole table: each line a caller, a request and its status.
func TestWhoMayCallWhat(t *testing.T) {
	const (
		none, alice, bob, dora = "", "X-Test-User alice", "X-Test-User bob", "X-Test-User dora"
		server                 = "Authorization token server-token-of-alice"
		aliceOAuth             = "Authorization Bearer oauth-token-of-alice"
		bobOAuth               = "Authorization bearer oauth-token-of-bob"
		wrong                  = "Authorization token nonsense"
		allService             = "Authorization token service-token-of-all"
		limited                = "Authorization token service-token-of-limited"
	)
	tests := []struct {
		caller, request string
		want            int
	}{
		{none, "GET /hub/api", 200}, {none, "GET /hub/api/", 200}, {none, "GET /hub/api/health", 200},
		{none, "GET /hub/api/nonsense", 404}, {none, "GET /hub/api/users/alice/nonsense", 404},
		{none, "PUT /hub/api/user", 405}, {none, "PUT /hub/api/users/alice", 405},
		{none, "GET /hub/api/user", 403}, {wrong, "GET /hub/api/user", 403}, {alice, "GET /hub/api/user", 200},
		{server, "GET /hub/api/user", 200}, {aliceOAuth, "GET /hub/api/user", 200},
		{none, "GET /hub/api/oauth2/authorize", 418}, {none, "POST /hub/api/oauth2/token", 418},
		{none, "GET /hub/api/users/alice", 403}, {alice, "GET /hub/api/users/alice", 200},
		{bob, "GET /hub/api/users/alice", 404}, {dora, "GET /hub/api/users/alice", 200},
		{dora, "GET /hub/api/users/nobody", 404}, {dora, "GET /hub/api/users/..%2Falice", 404},
		{bobOAuth, "GET /hub/api/users/alice", 404}, {server, "GET /hub/api/users/alice", 200},
		{server, "GET /hub/api/users/bob", 404},
		{none, "POST /hub/api/users/alice/server", 403}, {bob, "POST /hub/api/users/alice/server", 404},
		{server, "POST /hub/api/users/alice/server", 403}, {aliceOAuth, "POST /hub/api/users/alice/server", 403},
		{alice, "POST /hub/api/users/alice/server", 201}, {dora, "POST /hub/api/users/alice/server", 201},
		{bob, "DELETE /hub/api/users/alice/server", 404}, {alice, "DELETE /hub/api/users/alice/server", 204},
		{bob, "GET /hub/api/users/alice/server/progress", 404},
		{alice, "GET /hub/api/users/alice/server/progress", 400},
		{none, "GET /hub/api/info", 403}, {alice, "GET /hub/api/info", 403}, {dora, "GET /hub/api/info", 200},
		{allService, "GET /hub/api/info", 200},
		{none, "GET /hub/api/users", 403}, {alice, "GET /hub/api/users", 403}, {dora, "GET /hub/api/users", 200},
		{limited, "GET /hub/api/users", 200},
		{limited, "GET /hub/api/users/bob", 200}, {limited, "GET /hub/api/users/alice", 404},
		{limited, "DELETE /hub/api/users/bob", 403},
		{alice, "POST /hub/api/users", 403}, {dora, "POST /hub/api/users", 400}, {dora, "POST /hub/api/users/eve", 201},
		{dora, "POST /hub/api/users/bob", 409},
		{dora, "POST /hub/api/users/a%2Fb", 400}, {alice, "PATCH /hub/api/users/alice", 403},
		{dora, "PATCH /hub/api/users/alice", 400},
		{alice, "DELETE /hub/api/users/alice", 403}, {dora, "DELETE /hub/api/users/alice", 204},
		{dora, "DELETE /hub/api/users/dora", 400}, {dora, "DELETE /hub/api/users/eve", 404},
		{alice, "POST /hub/api/users/alice/servers/x", 201}, {bob, "POST /hub/api/users/alice/servers/x", 404},
		{alice, "POST /hub/api/users/alice/servers/%2E%2E", 400},
		{alice, "POST /hub/api/users/alice/servers/a%2Fb", 400},
		{alice, "POST /hub/api/users/alice/servers/X", 400}, {alice, "GET /hub/api/users/alice/servers/x", 404},
		{alice, "PUT /hub/api/users/alice/servers/x", 201},
		{alice, "PUT /hub/api/users/alice/server", 409}, {alice, "PATCH /hub/api/users/alice/servers/x", 400},
		{alice, "DELETE /hub/api/users/alice/servers/x", 404},
		{alice, "GET /hub/api/users/alice/tokens", 200}, {bob, "GET /hub/api/users/alice/tokens", 404},
		{server, "GET /hub/api/users/alice/tokens", 403},
		{alice, "GET /hub/api/users/alice/tokens/a1", 200}, {bob, "GET /hub/api/users/bob/tokens/a1", 404},
		{alice, "GET /hub/api/users/alice/tokens/1", 404},
		{none, "POST /hub/api/users/alice/tokens", 403}, {alice, "POST /hub/api/users/alice/tokens", 201},
		{bob, "POST /hub/api/users/alice/tokens", 403}, {server, "POST /hub/api/users/alice/tokens", 403},
		{alice, "DELETE /hub/api/users/alice/tokens/a1", 204}, {bob, "DELETE /hub/api/users/alice/tokens/a1", 404},
		{alice, "DELETE /hub/api/users/alice/tokens/a99", 404},
		{alice, "GET /hub/api/groups", 403}, {dora, "GET /hub/api/groups", 200},
		{dora, "POST /hub/api/groups/new", 201}, {dora, "POST /hub/api/groups/lab", 409},
		{dora, "POST /hub/api/groups", 400},
		{dora, "GET /hub/api/groups/none", 404}, {dora, "GET /hub/api/groups/lab", 200},
		{alice, "GET /hub/api/groups/lab", 403}, {dora, "POST /hub/api/groups/lab/users", 400},
		{dora, "DELETE /hub/api/groups/lab/users", 400}, {dora, "PUT /hub/api/groups/lab/properties", 400},
		{dora, "DELETE /hub/api/groups/lab", 204}, {alice, "DELETE /hub/api/groups/lab", 403},
		{alice, "GET /hub/api/users/alice/shared", 200}, {bob, "GET /hub/api/users/alice/shared", 404},
		{alice, "GET /hub/api/users/alice/shared/bob/", 404}, {alice, "DELETE /hub/api/users/alice/shared/bob/", 404},
		{alice, "GET /hub/api/shares/alice", 200}, {alice, "GET /hub/api/shares/alice/", 200},
		{alice, "GET /hub/api/shares/alice/none", 404}, {alice, "POST /hub/api/shares/alice/", 403},
		{dora, "POST /hub/api/shares/alice/", 400}, {dora, "PATCH /hub/api/shares/alice/", 400},
		{dora, "DELETE /hub/api/shares/alice/", 204}, {dora, "POST /hub/api/shares/alice", 405},
		{dora, "GET /hub/api/share-codes/alice", 200}, {dora, "POST /hub/api/share-codes/alice/", 200},
		{alice, "POST /hub/api/share-codes/alice/", 403},
		{dora, "DELETE /hub/api/share-codes/alice/?id=sc_9", 404},
		{dora, "DELETE /hub/api/share-codes/alice/?id=9", 404},
		{dora, "DELETE /hub/api/share-codes/alice/?code=x", 404}, {dora, "DELETE /hub/api/share-codes/alice/", 204},
		{dora, "GET /hub/api/groups/lab/shared", 200}, {dora, "GET /hub/api/groups/lab/shared/alice/", 404},
		{dora, "DELETE /hub/api/groups/lab/shared/alice/", 404},
		{alice, "GET /hub/api/services", 403}, {dora, "GET /hub/api/services", 200},
		{dora, "GET /hub/api/services/all", 200}, {dora, "GET /hub/api/services/none", 404},
		{limited, "GET /hub/api/services/limited", 200}, {limited, "GET /hub/api/services/all", 404},
		{dora, "POST /hub/api/services/new", 400}, {dora, "POST /hub/api/services/all", 409},
		{dora, "POST /hub/api/services/a%2Fb", 400}, {dora, "DELETE /hub/api/services/all", 405},
		{dora, "DELETE /hub/api/services/none", 404},
		{alice, "GET /hub/api/proxy", 403}, {dora, "GET /hub/api/proxy", 200}, {dora, "POST /hub/api/proxy", 200},
		{dora, "PATCH /hub/api/proxy", 400},
		{alice, "POST /hub/api/shutdown", 403}, {dora, "POST /hub/api/shutdown", 403},
		{none, "OPTIONS /hub/api/users", 200},
		{server, "GET /hub/api/authorizations/token/server-token-of-alice", 200},
		{alice, "GET /hub/api/authorizations/token/nonsense", 404},
		{none, "POST /hub/api/authorizations/token", 405},
		{bob, "POST /hub/api/users/alice/activity", 404}, {bobOAuth, "POST /hub/api/users/alice/activity", 403},
		{server, "POST /hub/api/users/bob/activity", 404}, {server, "POST /hub/api/users/alice/activity", 400},
	}
	for _, tt := range tests {
		t.Run(tt.caller+" "+tt.request, func(t *testing.T) {
			srv, _, _ := serve(t)
			method, path, _ := strings.Cut(tt.request, " ")
			var header []string
			if name, value, ok := strings.Cut(tt.caller, " "); ok {
				header = []string{name, value}
			}
			status, body, h := ask(t, srv, method, path, "", header...)
			if status != tt.want {
				t.Fatalf("status %d, want %d; body %s", status, tt.want, body)
			}
			if h.Get("X-JupyterHub-Version") != "5.5.1" {
				t.Error("the version header is missing")
			}
			var e errorBody
			if status >= 400 && status != 418 && (json.Unmarshal([]byte(body), &e) != nil || e.Status != status ||
				e.Message == "") {
				t.Errorf("error body is %s", body)
			}
		})
	}
}

// TestStrangeNames checks that a name that no account can have is nobody's, for those who
// may see everybody as for those who may not.
func TestStrangeNames(t *testing.T) {
	srv, f, db := serve(t)
	for _, name := range []string{"alice@example.org", "a.b", "Alice", "ALICE", "älice", "al\"ice", "al'ice", "alice ",
		" alice", "..", ".", "alice/..", "../alice", "alice%2F", "alice\x00",
		"alice\n", "alice;", "alice?", "alice#", "-alice", "0", "a*", "alice:x", "ａlice", strings.Repeat("a", 33),
		"$USER", "alice,bob"} {
		path := "/hub/api/users/" + url.PathEscape(name)
		if name == "." || name == ".." {
			path = "/hub/api/users/" + strings.ReplaceAll(name, ".", "%2E")
		}
		for caller, want := range map[string]string{"alice": "404", "dora": "404"} {
			if status, body, _ := ask(t, srv, "GET", path, "", "X-Test-User", caller); strconv.Itoa(status) != want ||
				strings.Contains(body, `"kind"`) {
				t.Errorf("%s: GET %s: %d %s", caller, path, status, body)
			}
			if status, body, _ := ask(t, srv, "POST", path+"/server", "", "X-Test-User", caller); status < 400 ||
				status >= 500 {
				t.Errorf("%s: POST %s/server: %d %s", caller, path, status, body)
			}
		}
	}
	if len(f.started) > 0 {
		t.Errorf("started %v", f.started)
	}
	if all, err := db.Users(t.Context()); err != nil || len(all) != 3 {
		t.Errorf("the users are %v, %v", all, err)
	}
}

func TestWhoami(t *testing.T) {
	srv, _, _ := serve(t)
	_, body, _ := ask(t, srv, "GET", "/hub/api/user", "", "Authorization", "token oauth-token-of-alice")
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"kind": "user", "name": "alice", "admin": false, "groups": []any{}, "token_id": "a1",
		"session_id": nil,
		"user_info":  map[string]any{"name": "alice", "display_name": "alice"},
		"scopes": []any{"access:servers!server=alice/", "read:users:groups!user=alice",
			"read:users:name!user=alice"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("whoami (-want +got):\n%s", diff)
	}
}

// TestTokenFollowsItsOwner checks that a token loses what its owner loses.
func TestTokenFollowsItsOwner(t *testing.T) {
	srv, _, db := serve(t)
	opens := func() bool {
		_, body, _ := ask(t, srv, "GET", "/hub/api/user", "", "Authorization", "token oauth-token-of-dora")
		return strings.Contains(body, "access:servers!server=alice/")
	}
	if !opens() {
		t.Fatal("an administrator's token does not open alice's server")
	}
	dora, _ := ident.ParseUser("dora")
	if err := db.SetAdmin(t.Context(), dora, false); err != nil {
		t.Fatal(err)
	}
	if opens() {
		t.Error("the token still opens alice's server though its owner is no administrator any more")
	}
}

// TestTokenEndsWithItsSession checks that a notebook's token is good as long as the
// session of the browser that it was made for.
func TestTokenEndsWithItsSession(t *testing.T) {
	srv, _, db := serve(t)
	alice, _ := ident.ParseUser("alice")
	for session, want := range map[string]int{"session-of-alice": 200, "session-of-bob": 403, "ended": 403} {
		if _, err := db.CreateToken(t.Context(), store.Token{Hash: ident.HashToken(session), Kind: store.OAuthToken,
			User: alice, SessionID: session}); err != nil {
			t.Fatal(err)
		}
		if status, body, _ := ask(t, srv, "GET", "/hub/api/user", "", "Authorization",
			"token "+session); status != want {
			t.Errorf("token of %s: status %d, want %d: %s", session, status, want, body)
		}
	}
}

// TestStartThatWaits checks that the answer does not wait with a start in the line.
func TestStartThatWaits(t *testing.T) {
	srv, f, _ := serve(t)
	f.queues, f.states = true, map[string]servers.State{}
	f.steps = []servers.Progress{{Message: "Server requested"}, {Percent: 5, Message: "1st of 1 in line", Queued: true}}
	began := time.Now()
	status, text, _ := ask(t, srv, "POST", "/hub/api/users/alice/server", `{"profile":"gpu"}`, "X-Test-User", "alice")
	if took := time.Since(began); status != 202 || took > slowSpawn/2 {
		t.Errorf("status %d after %v: %s", status, took, text)
	}
}

// TestWithoutGPUs starts servers without the devices of their profile, also one that waits
// for them, and reads how one waits.
func TestWithoutGPUs(t *testing.T) {
	srv, f, _ := serve(t)
	for _, tt := range []struct {
		state  servers.State
		body   string
		status int
		want   []servers.Options
	}{
		{servers.Stopped, `{"profile":"gpu","without_gpus":true}`, 201, []servers.Options{{WithoutGPUs: true}}},
		{servers.Stopped, `{"profile":"gpu"}`, 201, []servers.Options{{}}},
		{servers.Stopped, `{"without_gpus":"yes"}`, 400, nil},
		{servers.Queued, `{"profile":"gpu","without_gpus":true}`, 201, []servers.Options{{WithoutGPUs: true}}},
		{servers.Queued, `{"profile":"gpu"}`, 202, nil},
		{servers.Queued, ``, 202, nil},
	} {
		f.states, f.options = map[string]servers.State{"alice": tt.state}, nil
		status, text, _ := ask(t, srv, "POST", "/hub/api/users/alice/server", tt.body, "X-Test-User", "alice")
		if diff := cmp.Diff(tt.want, f.options); status != tt.status || diff != "" {
			t.Errorf("%s, body %s: status %d %s, options (-want +got):\n%s", tt.state, tt.body, status, text, diff)
		}
	}
	f.states, f.wait = map[string]servers.State{"alice": servers.Queued},
		servers.Queue{Since: time.Unix(1700000000, 0), Position: 2, Of: 3, Estimate: time.Minute}
	_, text, _ := ask(t, srv, "GET", "/hub/api/users/alice", "", "X-Test-User", "alice")
	for _, want := range []string{`"pending":"spawn"`, `"ready":false`,
		`"queue":{"estimate_seconds":60,"of":3,"position":2,"since":"2023-11-14T22:13:20.000000Z"}`} {
		if !strings.Contains(text, want) {
			t.Errorf("the model lacks %s:\n%s", want, text)
		}
	}
}

func TestStartPassesProfileAndRefusesOtherSites(t *testing.T) {
	srv, f, _ := serve(t)
	status, _, _ := ask(t, srv, "POST", "/hub/api/users/alice/server", `{}`, "X-Test-User", "alice", "Sec-Fetch-Site",
		"cross-site")
	if status != 403 || len(f.started) != 0 {
		t.Errorf("a start from another site gave %d and started %v", status, f.started)
	}
	for _, tt := range [][2]string{{``, "alice "}, {`{"profile":"big"}`, "alice big"},
		{`{"user_options":{"profile":"gpu"}}`, "alice gpu"}, {``, "alice gpu"}, {`{"user_options":null}`, "alice gpu"},
		{`{}`, "alice "}, {``, "alice "}} {
		body, want := tt[0], tt[1] // in order: no options are the last options
		f.states, f.started = map[string]servers.State{}, nil
		status, _, _ := ask(t, srv, "POST", "/hub/api/users/alice/server", body, "X-Test-User", "alice")
		if diff := cmp.Diff([]string{want}, f.started); status != 201 || diff != "" {
			t.Errorf("body %s: status %d, started (-want +got):\n%s", body, status, diff)
		}
	}
	if status, body, _ := ask(t, srv, "POST", "/hub/api/users/alice/server", `{`, "X-Test-User",
		"alice"); status != 400 || !strings.Contains(body, "JSON") {
		t.Errorf("broken JSON gave %d %s", status, body)
	}
}

func TestActivity(t *testing.T) {
	now := time.Now()
	report := func(at time.Time) string {
		s := at.UTC().Format(timeFormat)
		return `{"servers":{"":{"last_activity":"` + s + `"}},"last_activity":"` + s + `"}`
	}
	tests := map[string]struct {
		body string
		want int
	}{
		"as servers send it": {report(now), 200},
		"twice the same":     {report(now), 200},
		"from the future":    {report(now.Add(2 * time.Hour)), 400},
		"unknown server":     {`{"servers":{"other":{"last_activity":"2026-11-23T02:36:22.338444Z"}}}`, 400},
		"hostile name":       {`{"servers":{"../bob":{"last_activity":"2026-11-23T02:36:22.338444Z"}}}`, 400},
		"no object":          {`["alice"]`, 400},
		"not a time":         {`{"last_activity":"yesterday"}`, 400},
		"empty":              {`{}`, 400},
	}
	srv, f, db := serve(t)
	f.states["alice"] = servers.Ready
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			status, body, _ := ask(t, srv, "POST", "/hub/api/users/alice/activity", tt.body, "Authorization",
				"token server-token-of-alice")
			if status != tt.want {
				t.Errorf("status %d, want %d: %s", status, tt.want, body)
			}
		})
	}
	key, _ := ident.ParseKey("alice", "")
	if s, err := db.ServerByKey(t.Context(), key); err != nil || s.LastActivity.Sub(now).Abs() > time.Second {
		t.Errorf("the stored activity is %v, %v", s.LastActivity, err)
	}
}

func TestProgress(t *testing.T) {
	srv, f, _ := serve(t)
	f.states["alice"] = servers.Starting
	f.steps = []servers.Progress{{Message: "Server requested"}, {Percent: 30, Message: "a\n\ndata: {}"},
		{Percent: 100, Ready: true, Message: "Server ready at /user/alice/"}}
	_, body, h := ask(t, srv, "GET", "/hub/api/users/alice/server/progress", "", "X-Test-User", "alice")
	want := `data: {"progress":0,"message":"Server requested"}

data: {"progress":30,"message":"a\n\ndata: {}"}

data: {"progress":100,"message":"Server ready at /user/alice/",` +
		`"html_message":"Server ready at \u003ca href=\"/user/alice/\"\u003e/user/alice/\u003c/a\u003e",` +
		`"ready":true,"url":"/user/alice/"}

`
	if diff := cmp.Diff(want, body); diff != "" || h.Get("Content-Type") != "text/event-stream" {
		t.Errorf("content type %q, stream (-want +got):\n%s", h.Get("Content-Type"), diff)
	}
}

// TestRoutesHaveRules fails for a route that nobody thought about.
func TestRoutesHaveRules(t *testing.T) {
	for _, rt := range routes() {
		if rt.audience == nobody || rt.handler == nil || (rt.audience == scoped ||
			rt.audience == login) != (rt.scopes != "") {
			t.Errorf("%s %s has no rule of who may call it", rt.method, rt.path)
		}
	}
}
