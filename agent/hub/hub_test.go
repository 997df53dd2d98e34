package hub

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// settings are those of a hub without a provider that can be reached.
func settings(t *testing.T) *config.Config {
	t.Helper()
	second := time.Second
	return &config.Config{
		HTTP: config.HTTP{BaseURL: "/x/", PublicURL: "https://hub.example.org/x/", Hosts: []string{"127.0.0.1"}},
		Login: config.Login{Issuer: "https://id.example.org", ClientID: "hub",
			CallbackURL: "https://hub.example.org/x/hub/oauth_callback"},
		Servers: config.Servers{StartTimeout: second, HTTPTimeout: second, StopTimeout: second},
		State:   config.State{Directory: t.TempDir()},
		Cull:    config.Cull{Every: time.Minute},
	}
}

// listening returns a listener for each name.
func listening(t *testing.T, names ...string) map[string][]net.Listener {
	t.Helper()
	all := map[string][]net.Listener{}
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		all[name] = append(all[name], l)
	}
	return all
}

// newHub makes a hub with all its surfaces, without a bus, a provider and a name service: nobody is refused.
// Dora is an administrator, alice is not. The test must close it or run it.
func newHub(t *testing.T, change func(*config.Config)) *hub {
	t.Helper()
	cfg := settings(t)
	cfg.Access.AllowAll = true
	change(cfg)
	h, err := construct(t.Context(), given{cfg: cfg, log: slog.New(slog.DiscardHandler), version: "1.2.3",
		listeners: listening(t, "public", "api", "control"), unix: accounts.Directory{Command: "/bin/false"}})
	if err != nil {
		t.Fatal(err)
	}
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
	return h
}

// testHub is a hub that answers tests and closes at their end.
func testHub(t *testing.T, authenticate bool) *hub {
	t.Helper()
	h := newHub(t, func(c *config.Config) { c.Metrics.Authenticate = authenticate })
	t.Cleanup(h.close)
	return h
}

// ask sends a request to a surface and returns the answer.
func ask(t *testing.T, h *hub, surface, method, path, token string) (int, string) {
	t.Helper()
	for _, s := range h.surfaces {
		if s.name == surface {
			r := httptest.NewRequest(method, path, nil)
			r.Host = "hub.example.org"
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

// running starts a hub with tasks, and returns its base URL and what ends it and returns the error of run.
func running(t *testing.T, h *hub, tasks ...task) (base string, end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.run(ctx, time.Now(), tasks) }()
	wait := func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(20 * time.Second):
			return errors.New("the hub does not end")
		}
	}
	return "http://" + h.listeners["public"][0].Addr().String() + "/x/", wait
}

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.Status
}

// TestTasksEndBeforeTheStore has a task that writes to the database until some time after its context has ended.
func TestTasksEndBeforeTheStore(t *testing.T) {
	carol, _ := ident.ParseKey("carol", "")
	for name, end := range map[string]func(h *hub, cancel func() error) error{
		"stopped": func(_ *hub, cancel func() error) error { return cancel() },
		"asked to end": func(h *hub, cancel func() error) error {
			h.process.ending.fire()
			return cancel()
		},
		"handed over": func(h *hub, cancel func() error) error {
			h.process.handedOver.fire()
			time.Sleep(10 * time.Millisecond)
			return cancel()
		},
		"a listener failed": func(h *hub, cancel func() error) error {
			_ = h.listeners["public"][0].Close()
			_ = cancel()
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, func(c *config.Config) { c.HTTP.DrainTimeout = time.Second })
			if err := h.store.CreateUser(t.Context(), store.User{Name: carol.User}); err != nil {
				t.Fatal(err)
			}
			if err := h.store.UpsertServer(t.Context(), store.Server{Key: carol}); err != nil {
				t.Fatal(err)
			}
			var wrote error
			base, cancel := running(t, h, func(ctx context.Context) {
				<-ctx.Done()
				for begun := time.Now(); wrote == nil && time.Since(begun) < time.Second; {
					wrote = h.store.TouchServer(context.WithoutCancel(ctx), carol, time.Now())
					time.Sleep(10 * time.Millisecond)
				}
			})
			if got := get(t, base+"hub/health"); got != "200 OK" {
				t.Errorf("answered %q", got)
			}
			if err := end(h, cancel); err != nil {
				t.Errorf("the hub ended with %v", err)
			}
			if wrote != nil {
				t.Errorf("a task could not write at its end: %v", wrote)
			}
			if err := h.store.Ping(t.Context()); err == nil {
				t.Error("the store is open after the end")
			}
		})
	}
}

// TestRunAll runs the hub with its own tasks, without a launcher.
func TestRunAll(t *testing.T) {
	h := newHub(t, func(c *config.Config) { c.Cull.Enabled, c.Cull.Every = true, time.Hour })
	h.recover(t.Context())
	base, cancel := running(t, h, h.tasks()...)
	if got := get(t, base+"hub/health"); got != "200 OK" {
		t.Errorf("answered %q", got)
	}
	if err := cancel(); err != nil {
		t.Errorf("the hub ended with %v", err)
	}
}

// TestAPIPort checks the port that servers are given, and that the hub goes on and says so when another has it.
func TestAPIPort(t *testing.T) {
	unix, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close() })
	held := listening(t, "api")["api"][0]
	for name, tt := range map[string]struct {
		listeners []net.Listener
		want      int
		logged    bool
	}{
		"held":  {[]net.Listener{unix, held}, held.Addr().(*net.TCPAddr).Port, false},
		"taken": {[]net.Listener{unix}, 8081, true},
	} {
		var log strings.Builder
		env, err := serverEnv(given{cfg: settings(t), log: slog.New(slog.NewTextHandler(&log, nil)),
			listeners: map[string][]net.Listener{"api": tt.listeners}})
		if want := fmt.Sprintf("http://127.0.0.1:%d/x/hub/api", tt.want); err != nil || env.APIURL != want {
			t.Errorf("%s: %s, %v; want %s", name, env.APIURL, err, want)
		}
		if got := strings.Contains(log.String(), "event=api-port-missing"); got != tt.logged {
			t.Errorf("%s: logged %q", name, log.String())
		}
	}
}

func TestConstructRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil           func(*given)
		want, wantsHint string
	}{
		"no directory": {func(g *given) { g.cfg.State.Directory = "" }, "there is no directory for the hub's state",
			"systemctl start gifford-hub, or set state.directory"},
		"no certificate": {func(g *given) { g.cfg.TLS.Certificate = "/nowhere.pem" }, "/nowhere.pem", ""},
		"no listener for servers": {func(g *given) { delete(g.listeners, "api") },
			"no listener for the servers' way back to the hub", "systemctl start gifford-hub-servers.socket"},
		"a base without a slash": {func(g *given) { g.cfg.HTTP.BaseURL = "/x" }, `base URL "/x"`, ""},
		"a database elsewhere": {func(g *given) { g.cfg.State.Directory = "/nowhere" },
			"/nowhere/hub.sqlite", ""},
		"no time to look for idle servers": {func(g *given) { g.cfg.Cull.Every = 0 }, "cannot make the culler",
			""},
	} {
		t.Run(name, func(t *testing.T) {
			g := given{cfg: settings(t), log: slog.New(slog.DiscardHandler), listeners: listening(t, "public", "api")}
			tt.spoil(&g)
			h, err := construct(t.Context(), g)
			if err == nil {
				h.close()
				t.Fatal("made")
			}
			if !strings.Contains(err.Error(), tt.want) || hint.Of(err) != tt.wantsHint {
				t.Errorf("%v, hint %q; want %q, hint %q", err, hint.Of(err), tt.want, tt.wantsHint)
			}
		})
	}
}
