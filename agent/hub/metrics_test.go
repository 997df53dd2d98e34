package hub

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend/local"
	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/metrics"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// testHub is a hub with all its surfaces, without listeners to the outside, a bus and a
// provider. Dora is an administrator, alice is not.
func testHub(t *testing.T, authenticate bool) *instance {
	t.Helper()
	second := time.Second
	h := &instance{log: slog.New(slog.DiscardHandler), handedOver: make(chan struct{}), cfg: &config.Config{
		HTTP: config.HTTP{BaseURL: "/x/", PublicURL: "https://hub.example.org/x/"},
		Login: config.Login{Issuer: "https://id.example.org", ClientID: "hub",
			CallbackURL: "https://hub.example.org/x/hub/oauth_callback"},
		Servers: config.Servers{StartTimeout: second, HTTPTimeout: second, StopTimeout: second},
		Metrics: config.Metrics{Authenticate: authenticate}, State: config.State{Directory: t.TempDir()},
	}}
	api, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Close() })
	h.listeners = map[string][]net.Listener{"api": {api}}
	if h.store, err = store.Open(t.Context(), store.Config{Path: filepath.Join(h.cfg.State.Directory, "hub.sqlite"),
		Log: h.log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	for name, scopes := range map[string][]string{"dora": {"read:metrics"},
		"alice": {"read:metrics", "read:users:name!user=alice"}} {
		u, _ := ident.ParseUser(name)
		err := h.store.UpsertUser(t.Context(), store.User{Name: u, Admin: name == "dora",
			LastActivity: time.Now().Add(-3 * 24 * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.store.CreateToken(t.Context(), store.Token{Hash: ident.HashToken("token-of-" + name),
			Kind: store.OAuthToken, User: u, Scopes: scopes}); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.grants(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h.metrics, err = metrics.New(h.metricsConfig()); err != nil {
		t.Fatal(err)
	}
	if h.launcher, err = local.New(local.Config{Log: h.log, Observe: h.metrics.Backend}); err != nil {
		t.Fatal(err)
	}
	if h.login, err = login.New(t.Context(), h.loginConfig(accounts.Directory{})); err != nil {
		t.Fatal(err)
	}
	if err := h.assemble(); err != nil {
		t.Fatal(err)
	}
	return h
}

// ask sends a request to a surface and gives the answer.
func ask(t *testing.T, h *instance, surface, method, path, token string) (int, string) {
	t.Helper()
	for _, s := range h.surfaces {
		if s.name == surface {
			r := httptest.NewRequest(method, path, nil)
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			w := httptest.NewRecorder()
			s.server.Handler.ServeHTTP(w, r)
			body, _ := io.ReadAll(w.Result().Body)
			return w.Code, string(body)
		}
	}
	t.Fatalf("no surface %q", surface)
	return 0, ""
}

func TestWhoReadsMetrics(t *testing.T) {
	for name, test := range map[string]struct {
		open                         bool
		surface, method, path, token string
		want                         int
	}{
		"a token with the scope":          {false, "public", "GET", "/x/hub/metrics", "token-of-dora", 200},
		"by the API's path":               {false, "public", "GET", "/x/hub/api/metrics", "token-of-dora", 200},
		"on the notebooks' listener":      {false, "api", "GET", "/x/hub/api/metrics", "token-of-dora", 200},
		"pages are not on that listener":  {false, "api", "GET", "/x/hub/metrics", "token-of-dora", 404},
		"nobody":                          {false, "public", "GET", "/x/hub/metrics", "", 403},
		"nobody, by the API's path":       {false, "api", "GET", "/x/hub/api/metrics", "", 403},
		"a wrong token":                   {false, "public", "GET", "/x/hub/metrics", "token-of-eve", 403},
		"a scope its owner does not have": {false, "public", "GET", "/x/hub/metrics", "token-of-alice", 403},
		"open to all":                     {true, "public", "GET", "/x/hub/metrics", "", 200},
		"open to notebooks":               {true, "api", "GET", "/x/hub/api/metrics", "", 200},
		"only reading":                    {true, "public", "POST", "/x/hub/metrics", "", 405},
		"HEAD reads":                      {true, "public", "HEAD", "/x/hub/metrics", "", 200},
		"below it is nothing":             {true, "public", "GET", "/x/hub/metrics/x", "", 404},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := ask(t, testHub(t, !test.open), test.surface, test.method, test.path, test.token)
			if status != test.want {
				t.Errorf("answered %d, want %d:\n%.300s", status, test.want, body)
			}
			if tells := strings.Contains(body, "jupyterhub_total_users 2"); tells != (test.want == 200) {
				t.Errorf("the answer has metrics: %v\n%.300s", tells, body)
			}
		})
	}
}

// TestMetricsOfRequests sends requests through the whole hub and looks at the labels.
func TestMetricsOfRequests(t *testing.T) {
	h := testHub(t, false)
	for _, path := range []string{"/x/hub/api/users/alice", "/x/hub/health", "/x/user/alice/tree", "/x/hub/metrics",
		"/x/hub/no-such-page"} {
		ask(t, h, "public", "GET", path, "token-of-alice")
	}
	_, text := ask(t, h, "public", "GET", "/x/hub/metrics", "")
	for _, want := range []string{
		`jupyterhub_request_duration_seconds_count{code="200",handler="/x/hub/api/users/{user}",method="GET"} 1`,
		`jupyterhub_request_duration_seconds_count{code="200",handler="/x/hub/health",method="GET"} 1`,
		`jupyterhub_request_duration_seconds_count{code="200",handler="/x/hub/metrics",method="GET"} 1`,
		`jupyterhub_request_duration_seconds_count{code="404",handler="/x/hub/",method="GET"} 1`,
		`gifford_proxy_requests_total{kind="http",status="3xx"} 1`,
		`jupyterhub_active_users{period="24h"} 0`, `jupyterhub_active_users{period="7d"} 2`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, "alice") || strings.Contains(text, "no-such-page") {
		t.Error("a name or a path is in a label")
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestCountLogin(t *testing.T) {
	h := testHub(t, false)
	for result, err := range map[string]error{
		"success": nil,
		"denied":  &login.Denied{Reason: login.Blocked},
		"refused": httpx.Fail(http.StatusBadRequest, "stale"),
		"failed":  httpx.Fail(http.StatusBadGateway, "the provider is down"),
	} {
		h.countLogin(err, time.Second)
		if _, text := ask(t, h, "public", "GET", "/x/hub/metrics", ""); !strings.Contains(text,
			`gifford_login_duration_seconds_count{result="`+result+`"} 1`) {
			t.Errorf("%v does not count as %s", err, result)
		}
	}
}
