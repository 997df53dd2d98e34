package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/access/accesstest"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// fleet is a registry in which the given users' servers run, each with the token
// "secret-USER".
type fleet []string

func (r fleet) List() []servers.Server {
	var all []servers.Server
	for _, name := range r {
		k, _ := ident.ParseKey(name, "")
		all = append(all, servers.Server{Key: k, State: servers.Ready})
	}
	return all
}

func (r fleet) TokenOwner(token string) (ident.Key, bool) {
	for _, s := range r.List() {
		if token == "secret-"+s.Key.User.String() {
			return s.Key, true
		}
	}
	return ident.Key{}, false
}

// provider returns a Provider with a real database, for a browser in which user is
// signed in, and whether the confirmation page was shown.
func provider(t *testing.T, user string, admin bool) (*Provider, *store.Store, *bool) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "hub.sqlite"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	known, err := services.New(t.Context(), services.Config{BaseURL: "/", Records: db, Declared: []services.Service{
		{Name: "board", TokenHash: ident.HashToken("secret-board"), ClientID: "service-board",
			AllowedScopes: []string{"read:users!user", "read:servers!user"}},
		{Name: "trusted", TokenHash: ident.HashToken("secret-trusted"), ClientID: "service-trusted", NoConfirm: true}}})
	if err != nil {
		t.Fatal(err)
	}
	carl, err := ident.ParseUser("carl")
	if err != nil {
		t.Fatal(err)
	}
	may, err := access.New(access.Config{Table: scopes.Default(), Records: db, Log: log, Roles: []access.Role{
		{Role: scopes.Role{Name: "visitor", Scopes: []string{"access:services"}}, Users: []ident.User{carl}}}})
	if err != nil {
		t.Fatal(err)
	}
	asked := new(bool)
	return New(Config{
		Clients: Clients{Servers: fleet{"alice", "bob"}, Services: known, Env: servers.EnvConfig{BaseURL: "/"}},
		Records: db, Table: scopes.Default(), TokenLife: time.Hour, Log: log,
		Role: func(name string) ([]string, bool) { return []string{"read:users!user"}, name == "reader" },
		Person: func(*http.Request) (access.Subject, error) {
			u, err := ident.ParseUser(user)
			return accesstest.Subject(t, may, login.Session{ID: "session-1", User: u, Admin: admin}), err
		},
		Confirm: func(http.ResponseWriter, *http.Request, Question) error { *asked = true; return nil },
		Agreed:  func(context.Context, access.Subject, ident.Key) (bool, error) { return false, nil },
		Agree:   func(context.Context, access.Subject, ident.Key) error { return nil },
	}), db, asked
}

// query is a good authorisation request of a server for alice, changed by the pairs.
func query(pairs ...string) url.Values {
	q := url.Values{"client_id": {"jupyterhub-user-alice"}, "redirect_uri": {"/user/alice/oauth_callback"},
		"response_type": {"code"}, "state": {"st&te"}}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return q
}

func authorize(p *Provider, method string, q url.Values) (*httptest.ResponseRecorder, error) {
	w := httptest.NewRecorder()
	err := p.Authorize(w, httptest.NewRequest(method, "/hub/api/oauth2/authorize?"+q.Encode(), nil))
	return w, err
}

func TestAuthorizeRefuses(t *testing.T) {
	tests := map[string]struct {
		user   string
		q      url.Values
		status int
	}{
		"unknown client":           {"alice", query("client_id", "jupyterhub-user-eve"), 400},
		"foreign redirect":         {"alice", query("redirect_uri", "https://evil.example/"), 400},
		"another's callback":       {"alice", query("redirect_uri", "/user/bob/oauth_callback"), 400},
		"callback with more to it": {"alice", query("redirect_uri", "/user/alice/oauth_callback/../x"), 400},
		"another's server":         {"bob", query(), 403},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, _, _ := provider(t, tt.user, false)
			w, err := authorize(p, "GET", tt.q)
			if err == nil || httpx.Public(err).Status != tt.status {
				t.Errorf("got %v, want status %d", err, tt.status)
			}
			if w.Header().Get("Location") != "" {
				t.Errorf("a refusal redirected to %s", w.Header().Get("Location"))
			}
		})
	}
}

func TestAdminIsAskedFirst(t *testing.T) {
	p, _, asked := provider(t, "bob", true)
	if w, err := authorize(p, "GET", query()); err != nil || !*asked || w.Header().Get("Location") != "" {
		t.Fatalf("GET: error %v, asked %v, location %q; want the page that asks", err, *asked,
			w.Header().Get("Location"))
	}
	w, err := authorize(p, "POST", query())
	if err != nil || w.Code != http.StatusFound {
		t.Errorf("POST: status %d, error %v; want a redirect", w.Code, err)
	}
}

// code runs the authorisation and returns the code.
func code(t *testing.T, p *Provider, q url.Values) string {
	t.Helper()
	w, err := authorize(p, "GET", q)
	if err != nil {
		t.Fatal(err)
	}
	back, err := url.Parse(w.Header().Get("Location"))
	if err != nil || back.Path != "/user/alice/oauth_callback" || back.Host != "" ||
		back.Query().Get("state") != "st&te" {
		t.Fatalf("redirected to %q (%v)", w.Header().Get("Location"), err)
	}
	return back.Query().Get("code")
}

func exchange(p *Provider, form url.Values) (int, map[string]any) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/hub/api/oauth2/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := p.Token(w, r); err != nil {
		return 500, nil
	}
	var body map[string]any
	_ = json.Unmarshal(w.Body.Bytes(), &body)
	return w.Code, body
}

func TestToken(t *testing.T) {
	verifier := strings.Repeat("v", 43)
	sum := sha256.Sum256([]byte(verifier))
	pkce := query("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method", "S256")
	tests := map[string]struct {
		q      url.Values
		change []string // pairs over the good token request
		status int
		error  string
	}{
		"good":                  {q: query(), status: 200},
		"good with PKCE":        {q: pkce, change: []string{"code_verifier", verifier}, status: 200},
		"PKCE without verifier": {q: pkce, status: 400, error: "invalid_grant"},
		"wrong verifier": {q: pkce, change: []string{"code_verifier", "w"}, status: 400,
			error: "invalid_grant"},
		"wrong secret": {q: query(), change: []string{"client_secret", "guess"}, status: 401,
			error: "invalid_client"},
		"no secret": {q: query(), change: []string{"client_secret", ""}, status: 401,
			error: "invalid_client"},
		"another's secret": {q: query(), change: []string{"client_secret", "secret-bob"}, status: 401,
			error: "invalid_client"},
		"a service's secret": {q: query(), change: []string{"client_secret", "secret-board"}, status: 401,
			error: "invalid_client"},
		"another service's secret": {q: query(), change: []string{"client_id", "service-board", "client_secret",
			"secret-trusted"}, status: 401, error: "invalid_client"},
		"a service with a server's secret": {q: query(), change: []string{"client_id", "service-board"}, status: 401,
			error: "invalid_client"},
		"code of another's client": {q: query(), change: []string{"client_secret", "secret-bob", "client_id",
			"jupyterhub-user-bob"}, status: 400, error: "invalid_grant"},
		"other redirect": {q: query(), change: []string{"redirect_uri", "/user/bob/oauth_callback"},
			status: 400, error: "invalid_grant"},
		"other grant": {q: query(), change: []string{"grant_type", "password"}, status: 400,
			error: "unsupported_grant_type"},
		"made-up code": {q: query(), change: []string{"code", "guess"}, status: 400,
			error: "invalid_grant"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, db, _ := provider(t, "alice", false)
			form := url.Values{"client_id": {"jupyterhub-user-alice"}, "client_secret": {"secret-alice"},
				"grant_type": {"authorization_code"}, "code": {code(t, p, tt.q)},
				"redirect_uri": {"/user/alice/oauth_callback"}}
			for i := 0; i < len(tt.change); i += 2 {
				form.Set(tt.change[i], tt.change[i+1])
			}
			status, body := exchange(p, form)
			if status != tt.status || (tt.error != "" && body["error"] != tt.error) {
				t.Fatalf("status %d, body %v; want %d %s", status, body, tt.status, tt.error)
			}
			if status != 200 {
				return
			}
			token, err := db.TokenByHash(t.Context(), ident.HashToken(body["access_token"].(string)))
			if err != nil || token.User.String() != "alice" || token.SessionID != "session-1" {
				t.Errorf("stored token is %+v, %v", token, err)
			}
			want := "read:users:name!user=alice read:users:groups!user=alice access:servers!server=alice/"
			if body["scope"] != want {
				t.Errorf("scope is %q, want %q", body["scope"], want)
			}
			if status, body := exchange(p, form); status != 400 || body["error"] != "invalid_grant" {
				t.Errorf("the code worked twice: %d %v", status, body)
			}
		})
	}
}

// service is a good authorisation request of a service, changed by the pairs.
func service(name string, pairs ...string) url.Values {
	return query(append([]string{"client_id", "service-" + name, "redirect_uri",
		"/services/" + name + "/oauth_callback"}, pairs...)...)
}

func TestServiceAsClient(t *testing.T) {
	tests := map[string]struct {
		user, method string
		q            url.Values
		status       int // of the refusal; 0: none
		asked        bool
	}{
		"asked first":                {"carl", "GET", service("board"), 0, true},
		"yes":                        {"carl", "POST", service("board"), 0, false},
		"trusted":                    {"carl", "GET", service("trusted"), 0, false},
		"without the right to enter": {"alice", "GET", service("board"), 403, false},
		"a role that it has":         {"carl", "GET", service("board", "scope", "identify reader"), 0, true},
		"another's callback": {"carl", "GET", service("board", "redirect_uri",
			"/services/trusted/oauth_callback"), 400, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, _, asked := provider(t, tt.user, false)
			w, err := authorize(p, tt.method, tt.q)
			if tt.status != 0 {
				if err == nil || httpx.Public(err).Status != tt.status {
					t.Errorf("got %v, want status %d", err, tt.status)
				}
				return
			}
			if err != nil || *asked != tt.asked || (w.Header().Get("Location") == "") != tt.asked {
				t.Errorf("error %v, asked %v, location %q", err, *asked, w.Header().Get("Location"))
			}
		})
	}
}

// TestServiceToken checks that a service gets what was granted, and that a person who has
// granted it is not asked again.
func TestServiceToken(t *testing.T) {
	p, _, asked := provider(t, "carl", false)
	w := httptest.NewRecorder()
	form := url.Values{"scopes": {"read:users!user", "admin:users"}}
	r := httptest.NewRequest("POST", "/hub/api/oauth2/authorize?"+service("board").Encode(),
		strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := p.Authorize(w, r); err != nil {
		t.Fatal(err)
	}
	back, _ := url.Parse(w.Header().Get("Location"))
	status, body := exchange(p, url.Values{"client_id": {"service-board"}, "client_secret": {"secret-board"},
		"grant_type": {"authorization_code"},
		"code":       {back.Query().Get("code")}, "redirect_uri": {"/services/board/oauth_callback"}})
	want := "read:users:name!user=carl read:users:groups!user=carl access:services!service=board read:users!user"
	if status != 200 || body["scope"] != want {
		t.Errorf("status %d, scope %q, want %q", status, body["scope"], want)
	}
	if _, err := authorize(p, "GET", service("board", "scope", "read:users!user")); err != nil || *asked {
		t.Errorf("asked again: %v, error %v", *asked, err)
	}
	if _, err := authorize(p, "GET", service("board")); err != nil || !*asked {
		t.Errorf("not asked for more than was granted: %v, error %v", *asked, err)
	}
}

// TestClientIsTold checks that a client learns what it did wrong, at its own address.
func TestClientIsTold(t *testing.T) {
	tests := map[string]struct {
		q    url.Values
		want string
	}{
		"no response type": {query("response_type", ""), "invalid_request"},
		"implicit grant":   {query("response_type", "token"), "unsupported_response_type"},
		"plain PKCE": {query("code_challenge", "abc", "code_challenge_method", "plain"),
			"invalid_request"},
		"PKCE without method":     {query("code_challenge", "abc"), "invalid_request"},
		"PKCE without challenge":  {query("code_challenge_method", "S256"), "invalid_request"},
		"a scope that it has not": {service("board", "scope", "admin:users"), "invalid_scope"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, _, _ := provider(t, "carl", false)
			w, err := authorize(p, "GET", tt.q)
			if err != nil {
				t.Fatal(err)
			}
			back, err := url.Parse(w.Header().Get("Location"))
			if err != nil || back.Path != tt.q.Get("redirect_uri") || back.Query().Get("error") != tt.want ||
				back.Query().Get("state") != "st&te" || back.Query().Has("code") {
				t.Errorf("sent to %q, %v; want error=%s", w.Header().Get("Location"), err, tt.want)
			}
		})
	}
}
