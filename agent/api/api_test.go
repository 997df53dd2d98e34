package api

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/servers"
	"github.com/gifford-lab/gifford-hub/agent/store"
)

// fleet is a manager whose servers are in the states it is told.
type fleet struct {
	states  map[string]servers.State
	started []string
	steps   []servers.Progress
}

func (f *fleet) Get(key ident.Key) servers.Server {
	s := servers.Server{Key: key, State: servers.Stopped}
	if state, ok := f.states[key.String()]; ok {
		s.State = state
	}
	if s.State == servers.Failed {
		s.Failure = &servers.Failure{Message: "it broke"}
	}
	return s
}

func (f *fleet) Of(user ident.User) []servers.Server {
	return []servers.Server{f.Get(ident.Key{User: user})}
}

func (f *fleet) Start(key ident.Key, profile string) error {
	f.started = append(f.started, key.String()+" "+profile)
	f.states[key.String()] = servers.Ready
	return nil
}

func (f *fleet) Stop(_ context.Context, key ident.Key) error {
	if f.Get(key).State == servers.Stopped {
		return servers.ErrNotActive
	}
	f.states[key.String()] = servers.Stopped
	return nil
}

func (f *fleet) Follow(_ context.Context, _ ident.Key, step func(servers.Progress) error) (bool, error) {
	for _, p := range f.steps {
		if err := step(p); err != nil {
			return true, err
		}
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

func (f *fleet) Touch(ident.Key, time.Time) {}

// serve gives the API over a real database with the users alice, bob and dora (an
// administrator). The header X-Test-User is the browser's session.
func serve(t *testing.T) (*httptest.Server, *fleet, *store.Store) {
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
		if _, err := db.CreateToken(t.Context(), store.Token{Hash: ident.HashToken("oauth-token-of-" + name), Kind: store.OAuthToken,
			User: u, Scopes: []string{"read:users:name!user=" + name, "read:users:groups!user=" + name, "access:servers!server=alice/"}}); err != nil {
			t.Fatal(err)
		}
	}
	f := &fleet{states: map[string]servers.State{}}
	a := New(Config{BaseURL: "/", Version: "5.5.1", Servers: f, Records: db, Log: log,
		Session: func(r *http.Request) (Session, error) {
			u, err := ident.ParseUser(r.Header.Get("X-Test-User"))
			if err != nil {
				return Session{}, ErrNoSession
			}
			return Session{User: u, Admin: u.String() == "dora", Groups: []string{"cgs"}, SessionID: "s1"}, nil
		},
		CheckSession: func(_ context.Context, id string) (Session, error) {
			name, alive := strings.CutPrefix(id, "session-of-")
			if !alive {
				return Session{}, ErrNoSession
			}
			u, err := ident.ParseUser(name)
			return Session{User: u, Groups: []string{"cgs"}, SessionID: id}, err
		},
		Authorize: func(http.ResponseWriter, *http.Request) error { return httpx.Fail(418, "authorize") },
		Token:     func(http.ResponseWriter, *http.Request) error { return httpx.Fail(418, "token") },
		Page:      func(w http.ResponseWriter, _ *http.Request, err error) { w.WriteHeader(httpx.Public(err).Status) },
	})
	srv := httptest.NewServer(a.Handler())
	t.Cleanup(srv.Close)
	return srv, f, db
}

// ask sends a request and gives the status, the body and the headers.
func ask(t *testing.T, srv *httptest.Server, method, path, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
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
	)
	tests := []struct {
		caller, request string
		want            int
	}{
		{none, "GET /hub/api", 200}, {none, "GET /hub/api/", 200}, {none, "GET /hub/api/health", 200},
		{none, "GET /hub/api/nonsense", 404}, {none, "GET /hub/api/users/alice/nonsense", 404},
		{none, "PUT /hub/api/user", 405}, {none, "DELETE /hub/api/users/alice", 405},
		{none, "GET /hub/api/user", 403}, {wrong, "GET /hub/api/user", 403}, {alice, "GET /hub/api/user", 200},
		{server, "GET /hub/api/user", 200}, {aliceOAuth, "GET /hub/api/user", 200},
		{none, "GET /hub/api/oauth2/authorize", 418}, {none, "POST /hub/api/oauth2/token", 418},
		{none, "GET /hub/api/users/alice", 403}, {alice, "GET /hub/api/users/alice", 200},
		{bob, "GET /hub/api/users/alice", 404}, {dora, "GET /hub/api/users/alice", 200},
		{dora, "GET /hub/api/users/nobody", 404}, {dora, "GET /hub/api/users/..%2Falice", 404},
		{bobOAuth, "GET /hub/api/users/alice", 404}, {server, "GET /hub/api/users/alice", 403},
		{none, "POST /hub/api/users/alice/server", 403}, {bob, "POST /hub/api/users/alice/server", 404},
		{server, "POST /hub/api/users/alice/server", 403}, {aliceOAuth, "POST /hub/api/users/alice/server", 403},
		{alice, "POST /hub/api/users/alice/server", 201}, {dora, "POST /hub/api/users/alice/server", 201},
		{bob, "DELETE /hub/api/users/alice/server", 404}, {alice, "DELETE /hub/api/users/alice/server", 204},
		{bob, "GET /hub/api/users/alice/server/progress", 404}, {alice, "GET /hub/api/users/alice/server/progress", 400},
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
			if status >= 400 && status != 418 && (json.Unmarshal([]byte(body), &e) != nil || e.Status != status || e.Message == "") {
				t.Errorf("error body is %s", body)
			}
		})
	}
}

func TestWhoami(t *testing.T) {
	srv, _, _ := serve(t)
	_, body, _ := ask(t, srv, "GET", "/hub/api/user", "", "Authorization", "token oauth-token-of-alice")
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"kind": "user", "name": "alice", "groups": []any{}, "token_id": "a1", "session_id": nil,
		"scopes": []any{"access:servers!server=alice/", "read:users:groups!user=alice", "read:users:name!user=alice"}}
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
		if _, err := db.CreateToken(t.Context(), store.Token{Hash: ident.HashToken(session), Kind: store.OAuthToken, User: alice, SessionID: session}); err != nil {
			t.Fatal(err)
		}
		if status, body, _ := ask(t, srv, "GET", "/hub/api/user", "", "Authorization", "token "+session); status != want {
			t.Errorf("token of %s: status %d, want %d: %s", session, status, want, body)
		}
	}
}

func TestStartPassesProfileAndRefusesOtherSites(t *testing.T) {
	srv, f, _ := serve(t)
	status, _, _ := ask(t, srv, "POST", "/hub/api/users/alice/server", `{}`, "X-Test-User", "alice", "Sec-Fetch-Site", "cross-site")
	if status != 403 || len(f.started) != 0 {
		t.Errorf("a start from another site gave %d and started %v", status, f.started)
	}
	for body, want := range map[string]string{`{"profile":"big"}`: "alice big", `{"user_options":{"profile":"gpu"}}`: "alice gpu", ``: "alice "} {
		f.states, f.started = map[string]servers.State{}, nil
		status, _, _ := ask(t, srv, "POST", "/hub/api/users/alice/server", body, "X-Test-User", "alice")
		if diff := cmp.Diff([]string{want}, f.started); status != 201 || diff != "" {
			t.Errorf("body %s: status %d, started (-want +got):\n%s", body, status, diff)
		}
	}
	if status, body, _ := ask(t, srv, "POST", "/hub/api/users/alice/server", `{`, "X-Test-User", "alice"); status != 400 || !strings.Contains(body, "JSON") {
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
			status, body, _ := ask(t, srv, "POST", "/hub/api/users/alice/activity", tt.body, "Authorization", "token server-token-of-alice")
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
	f.steps = []servers.Progress{{Message: "Server requested"}, {Percent: 30, Message: "a\n\ndata: {}"}, {Percent: 100, Ready: true, Message: "Server ready at /user/alice/"}}
	_, body, h := ask(t, srv, "GET", "/hub/api/users/alice/server/progress", "", "X-Test-User", "alice")
	want := `data: {"progress":0,"message":"Server requested"}

data: {"progress":30,"message":"a\n\ndata: {}"}

data: {"progress":100,"message":"Server ready at /user/alice/","html_message":"Server ready at \u003ca href=\"/user/alice/\"\u003e/user/alice/\u003c/a\u003e","ready":true,"url":"/user/alice/"}

`
	if diff := cmp.Diff(want, body); diff != "" || h.Get("Content-Type") != "text/event-stream" {
		t.Errorf("content type %q, stream (-want +got):\n%s", h.Get("Content-Type"), diff)
	}
}

// TestRoutesHaveRules fails for a route that nobody thought about.
func TestRoutesHaveRules(t *testing.T) {
	for _, rt := range routes() {
		if rt.access == nobody || rt.handler == nil || (rt.access == scoped) != (rt.scope != "") {
			t.Errorf("%s %s has no rule of who may call it", rt.method, rt.path)
		}
	}
}
