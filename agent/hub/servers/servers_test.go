package servers

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend/fake"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// world is a backend, a proxy, logs and Jupyter servers that a test can make fail in ways the real ones cannot be made
// to.
type world struct {
	*fake.Backend
	mu       sync.Mutex
	routes   map[ident.Key]backend.Address
	imageErr error
	answers  bool // whether servers answer HTTP
	lines    []string
	lag      int    // how often a log is read before the lines are there
	asked    func() // if set, is called when a server was asked for, before the answer is heard
	stopped  func() // if set, is called when the backend has stopped a server, before the answer is heard
	resets   []string
	resetErr error
}

func (w *world) Ensure(_ context.Context, profile string, step func(string)) error {
	step("pulling the image of profile " + profile)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.imageErr
}

func (w *world) Reset(_ context.Context, key ident.Key) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resets = append(w.resets, key.String())
	return w.resetErr
}

func (w *world) Get(ctx context.Context, key ident.Key) (backend.Server, error) {
	s, err := w.Backend.Get(ctx, key)
	w.mu.Lock()
	asked := w.asked
	w.asked = nil
	w.mu.Unlock()
	if asked != nil {
		asked()
	}
	return s, err
}

func (w *world) Stop(ctx context.Context, key ident.Key) error {
	err := w.Backend.Stop(ctx, key)
	if w.stopped != nil {
		w.stopped()
	}
	return err
}

func (w *world) SetRoute(key ident.Key, to backend.Address) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.routes[key] = to
}

func (w *world) DeleteRoute(key ident.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.routes, key)
}

func (w *world) Probe(context.Context, backend.Address, string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.answers {
		return errors.New("connection refused")
	}
	return nil
}

func (w *world) Follow(ctx context.Context, _ ident.Key, _ time.Time, line func(string)) error {
	for _, l := range w.lines {
		line(l)
	}
	<-ctx.Done()
	return nil
}

const lastWords = "the last words of the server"

func (w *world) Tail(context.Context, ident.Key, time.Time, int) ([]string, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lag > 0 {
		w.lag--
		return nil, false, nil
	}
	return w.lines, true, nil
}

func (w *world) route(key ident.Key) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.routes[key].String()
}

// refuse lets every start from now on be refused, or not for nil.
func (w *world) refuse(err error) {
	w.Change(func(c *fake.Config) {
		c.Refuse = func(backend.StartRequest, *backend.Server) error { return err }
	})
}

// inWorld runs a test with a manager that hears the events of a backend.
func inWorld(t *testing.T, cfg fake.Config, test func(t *testing.T, w *world, m *Manager)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { w.Watch(ctx, m.Handle, func() {}) })
		defer wg.Wait()
		defer cancel()
		defer w.Close()
		defer m.Close()
		test(t, w, m)
	})
}

// boot is how long the world's servers take to run.
const boot = 200 * time.Millisecond

func newWorld(t *testing.T, cfg fake.Config) (*world, *Manager) {
	t.Helper()
	if cfg.Boot == 0 {
		cfg.Boot = boot
	}
	w := &world{Backend: fake.New(cfg), routes: map[ident.Key]backend.Address{}, answers: true,
		lines: []string{lastWords}}
	m, err := New(Config{Backend: w, Images: w, Router: w, Prober: w, Output: w,
		Env:          EnvConfig{BaseURL: "/", APIURL: "http://127.0.0.1:8081/hub/api"},
		StartTimeout: time.Minute, HTTPTimeout: 30 * time.Second, StopTimeout: 10 * time.Second,
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return w, m
}

func key(t *testing.T, user string) ident.Key {
	t.Helper()
	k, err := ident.ParseKey(user, "")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// follow returns the last step of a start.
func follow(t *testing.T, m *Manager, k ident.Key) Progress {
	t.Helper()
	var last Progress
	found, err := m.Follow(t.Context(), k, func(p Progress) error { last = p; return nil })
	if !found || err != nil {
		t.Fatalf("Follow: found %v, error %v", found, err)
	}
	return last
}

func TestStartBecomesReady(t *testing.T) {
	inWorld(t, fake.Config{}, func(t *testing.T, w *world, m *Manager) {
		alice := key(t, "alice")
		if err := m.Start(alice, "big", Options{}); err != nil {
			t.Fatal(err)
		}
		if err := m.Start(alice, "big", Options{}); !errors.Is(err, ErrActive) {
			t.Errorf("a second start gave %v, want ErrActive", err)
		}
		if p := follow(t, m, alice); !p.Ready || p.Percent != 100 {
			t.Errorf("last step is %+v, want ready", p)
		}
		if got := m.Get(alice); got.State != Ready || m.Count(Ready) != 1 || m.Count(Starting, Waiting) != 0 {
			t.Errorf("state is %s, want ready", got.State)
		}
		if w.route(alice) != "/sock/alice" {
			t.Errorf("route is %q", w.route(alice))
		}
		token := w.Requests()[0].Env["JUPYTERHUB_API_TOKEN"]
		if owner, ok := m.TokenOwner(token); !ok || owner != alice {
			t.Errorf("the server's token belongs to %v, %v", owner, ok)
		}
		if err := m.Stop(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		if _, ok := m.TokenOwner(token); ok {
			t.Error("the token of a stopped server is still known")
		}
		if w.route(alice) != "" {
			t.Error("a stopped server still has its route")
		}
		if err := m.Stop(t.Context(), alice); !errors.Is(err, ErrNotActive) {
			t.Errorf("a second stop gave %v, want ErrNotActive", err)
		}
	})
}

func TestFailures(t *testing.T) {
	tests := map[string]struct {
		cfg     fake.Config
		prepare func(*world)
		during  func(*testing.T, *world, *Manager, ident.Key)
		want    string
	}{
		"refused": {
			prepare: func(w *world) {
				w.refuse(&backend.Error{Code: backend.NoAccount, Message: "user \"alice\" has no Unix account"})
			},
			want: "has no Unix account",
		},
		"no answer": {
			prepare: func(w *world) { w.refuse(errors.New("the backend does not answer")) },
			want:    "the backend does not answer",
		},
		"no image": {
			prepare: func(w *world) { w.imageErr = errors.New("the registry does not know lab/notebook:2026") },
			want:    "the registry does not know lab/notebook:2026",
		},
		"too slow": {
			cfg:  fake.Config{Boot: time.Hour},
			want: "job-alice was not active within 1m0s",
		},
		"too slow before it is accepted": {
			cfg:  fake.Config{Prepare: 65 * time.Second},
			want: "job-alice was not active within 1m0s",
		},
		"never answers": {
			prepare: func(w *world) { w.answers = false },
			want:    "did not answer within 30s: connection refused",
		},
		"exits at once": {
			prepare: func(w *world) { w.answers = false },
			during: func(_ *testing.T, w *world, _ *Manager, k ident.Key) {
				time.Sleep(time.Second)
				w.End(k, backend.Failed, backend.Why{Message: "it ended with exit status 3"})
			},
			want: "ended with exit status 3",
		},
		"exits while it stops being active": {
			prepare: func(w *world) { w.answers = false },
			during: func(_ *testing.T, w *world, _ *Manager, k ident.Key) {
				time.Sleep(time.Second)
				w.Update(k, func(s *backend.Server) { s.State = backend.Stopping })
				synctest.Wait()
				w.End(k, backend.Failed, backend.Why{Message: "it ended with exit status 3"})
			},
			want: "ended with exit status 3",
		},
		"fails while it starts": {
			cfg:  fake.Config{BootError: &backend.Error{Code: backend.StartFailed, Message: "no such image"}},
			want: "no such image",
		},
		"dies when ready": {
			during: func(t *testing.T, w *world, m *Manager, k ident.Key) {
				follow(t, m, k)
				w.End(k, backend.Failed, backend.Why{Message: "it used more memory than it may"})
				synctest.Wait()
				m.Handle(backend.Event{Server: backend.Server{Key: k, State: backend.Stopped}}) // forgotten
				synctest.Wait()
			},
			want: "more memory than it may",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, tt.cfg, func(t *testing.T, w *world, m *Manager) {
				if tt.prepare != nil {
					tt.prepare(w)
				}
				alice := key(t, "alice")
				if err := m.Start(alice, "", Options{}); err != nil {
					t.Fatal(err)
				}
				if tt.during != nil {
					tt.during(t, w, m, alice)
				}
				follow(t, m, alice)
				synctest.Wait()
				got := m.Get(alice)
				if got.State != Failed || got.Failure == nil || !strings.Contains(got.Failure.Message, tt.want) {
					t.Fatalf("server is %s with failure %+v, want failed with %q", got.State, got.Failure, tt.want)
				}
				if diff := cmp.Diff([]string{lastWords}, got.Failure.Lines); diff != "" {
					t.Errorf("lines (-want +got):\n%s", diff)
				}
				if left, _ := w.List(t.Context()); len(left) != 0 || w.route(alice) != "" {
					t.Errorf("left behind: servers %v, route %q", left, w.route(alice))
				}
				w.Change(func(c *fake.Config) { *c = fake.Config{} })
				w.imageErr, w.answers = nil, true
				if err := m.Start(alice, "", Options{}); err != nil {
					t.Fatalf("start after a failure: %v", err)
				}
				if p := follow(t, m, alice); !p.Ready {
					t.Errorf("start after a failure ended with %+v", p)
				}
			})
		})
	}
}

// TestEndBesideTheAnswer lets the news of a server's end come at any time about the backend's answer to Start: nothing
// orders the two.
func TestEndBesideTheAnswer(t *testing.T) {
	for range 300 {
		inWorld(t, fake.Config{}, func(t *testing.T, w *world, m *Manager) {
			alice := key(t, "alice")
			w.Change(func(c *fake.Config) {
				c.Refuse = func(r backend.StartRequest, _ *backend.Server) error {
					go func() {
						for range 100 {
							m.Handle(backend.Event{Server: backend.Server{Key: r.Key, State: backend.Failed},
								Why: backend.Why{Message: "it ended"}})
						}
					}()
					return &backend.Error{Code: backend.StartFailed, Message: "no such image"}
				}
			})
			if err := m.Start(alice, "", Options{}); err != nil {
				t.Fatal(err)
			}
			follow(t, m, alice)
			if got := m.Get(alice); got.State != Failed || !strings.Contains(got.Failure.Message, "no such image") {
				t.Fatalf("server is %s with failure %+v, want the backend's reason", got.State, got.Failure)
			}
			synctest.Wait()
		})
	}
}

// TestLogLags checks that the last words of a failed server are waited for.
func TestLogLags(t *testing.T) {
	for lag, want := range map[int][]string{5: {lastWords}, 1000: nil} {
		inWorld(t, fake.Config{}, func(t *testing.T, w *world, m *Manager) {
			alice := key(t, "alice")
			w.lag = lag
			w.refuse(&backend.Error{Code: backend.StartFailed, Message: "exit status 125"})
			if err := m.Start(alice, "", Options{}); err != nil {
				t.Fatal(err)
			}
			follow(t, m, alice)
			if diff := cmp.Diff(want, m.Get(alice).Failure.Lines); diff != "" {
				t.Errorf("lines after %d readings (-want +got):\n%s", lag, diff)
			}
		})
	}
}

func TestEndBeforeTheAnswer(t *testing.T) {
	inWorld(t, fake.Config{}, func(t *testing.T, w *world, m *Manager) {
		alice := key(t, "alice")
		w.Change(func(c *fake.Config) {
			c.Refuse = func(r backend.StartRequest, _ *backend.Server) error {
				m.Handle(backend.Event{Server: backend.Server{Key: r.Key, State: backend.Failed},
					Why: backend.Why{Message: "it ended with exit status 3"}})
				return nil
			}
		})
		if err := m.Start(alice, "", Options{}); err != nil {
			t.Fatal(err)
		}
		follow(t, m, alice)
		if got := m.Get(alice); got.State != Failed || !strings.Contains(got.Failure.Message, "exit status 3") {
			t.Errorf("server is %s with failure %+v, want the server's end", got.State, got.Failure)
		}
	})
}

// TestStopDuringStart stops a server in each part of its start, which goes on at the backend when the hub's call ends.
func TestStopDuringStart(t *testing.T) {
	for name, cfg := range map[string]fake.Config{
		"prepared": {Prepare: 5 * time.Second}, "booting": {Boot: 30 * time.Second},
		"both": {Prepare: 2 * time.Second, Boot: 2 * time.Second, Halt: time.Second},
		"late": {Prepare: time.Second, Boot: time.Second, Lag: 5 * time.Second},
	} {
		for _, after := range []time.Duration{0, time.Second, 1500 * time.Millisecond, 3 * time.Second} {
			t.Run(name+" "+after.String(), func(t *testing.T) {
				inWorld(t, cfg, func(t *testing.T, w *world, m *Manager) {
					alice := key(t, "alice")
					if err := m.Start(alice, "", Options{}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(after)
					if err := m.Stop(t.Context(), alice); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Minute)
					if got := m.Get(alice); got.State != Stopped || got.Failure != nil {
						t.Errorf("state is %s with failure %v, want stopped", got.State, got.Failure)
					}
					if left, _ := w.List(t.Context()); len(left) > 0 {
						t.Errorf("the backend has %v", left)
					}
				})
			})
		}
	}
}

// slowBus delivers starts late.
type slowBus struct{ *world }

func (b slowBus) Start(ctx context.Context, r backend.StartRequest) error {
	time.Sleep(time.Second)
	return b.world.Start(ctx, r)
}

// TestStopNeverOvertakes stops a server whose start is still on its way to the backend.
func TestStopNeverOvertakes(t *testing.T) {
	inWorld(t, fake.Config{}, func(t *testing.T, w *world, m *Manager) {
		m.cfg.Backend = slowBus{w}
		alice := key(t, "alice")
		if err := m.Start(alice, "", Options{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second / 2)
		if err := m.Stop(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if left, _ := w.List(t.Context()); len(left) > 0 || m.Get(alice).State != Stopped {
			t.Errorf("the server is %s, the backend has %v", m.Get(alice).State, left)
		}
	})
}

// TestOldNews stops a server and starts it again while the events of its first run are behind.
func TestOldNews(t *testing.T) {
	for _, boot := range []time.Duration{time.Millisecond, 3 * time.Second, 10 * time.Second} {
		inWorld(t, fake.Config{Lag: 5 * time.Second, Boot: time.Millisecond}, func(t *testing.T, w *world, m *Manager) {
			alice := key(t, "alice")
			if err := m.Start(alice, "", Options{}); err != nil {
				t.Fatal(err)
			}
			follow(t, m, alice)
			if err := m.Stop(t.Context(), alice); err != nil {
				t.Fatal(err)
			}
			w.Change(func(c *fake.Config) { c.Boot = boot })
			time.Sleep(time.Second)
			if err := m.Start(alice, "", Options{}); err != nil {
				t.Fatal(err)
			}
			follow(t, m, alice)
			time.Sleep(time.Minute)
			if got := m.Get(alice); got.State != Ready {
				t.Errorf("with a boot of %s the server is %s with failure %+v, want ready", boot, got.State,
					got.Failure)
			}
		})
	}
}

func TestShutDownFromWithinIsNoFailure(t *testing.T) {
	inWorld(t, fake.Config{}, func(t *testing.T, w *world, m *Manager) {
		alice := key(t, "alice")
		if err := m.Start(alice, "", Options{}); err != nil {
			t.Fatal(err)
		}
		follow(t, m, alice)
		w.End(alice, backend.Stopped, backend.Why{})
		synctest.Wait()
		if got := m.Get(alice); got.State != Stopped {
			t.Errorf("state is %s, want stopped", got.State)
		}
	})
}

func TestSyncAfterRestart(t *testing.T) {
	inWorld(t, fake.Config{}, func(t *testing.T, w *world, m *Manager) {
		alice, bob, dora := key(t, "alice"), key(t, "bob"), key(t, "dora")
		w.Put(backend.Server{Key: alice, State: backend.Running, Address: backend.UnixSocket("/sock/alice", 5001),
			TokenHash: ident.HashToken("secret")})
		w.Put(backend.Server{Key: bob, State: backend.Starting, Address: backend.UnixSocket("/sock/bob", 5001)})
		if err := m.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if w.route(alice) != "/sock/alice" {
			t.Error("a running server has no route after Sync")
		}
		if owner, ok := m.TokenOwner("secret"); !ok || owner != alice {
			t.Errorf("a running server's token belongs to %v, %v", owner, ok)
		}
		if got := m.Get(bob).State; got != Starting {
			t.Errorf("bob's server is %s, want starting", got)
		}
		w.End(bob, backend.Failed, backend.Why{Message: "exit status 125"})
		synctest.Wait()
		if got := m.Get(bob).State; got != Failed {
			t.Errorf("bob's server is %s after it failed, want failed", got)
		}
		if got := m.Get(dora).State; got != Stopped {
			t.Errorf("dora's server is %s, want stopped", got)
		}
		w.Silence(errors.New("no answer")) // nobody knows what runs, so nothing has ended
		w.Lose(alice)
		if err := m.Sync(t.Context()); err == nil {
			t.Error("Sync knows what runs")
		}
		if got := m.Get(alice).State; got != Ready {
			t.Errorf("alice's server is %s while the backend is silent", got)
		}
		w.Silence(nil) // it ended while nobody listened
		if err := m.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := m.Get(alice).State; got != Stopped || w.route(alice) != "" {
			t.Errorf("alice's server is %s with route %q after it was gone", got, w.route(alice))
		}
	})
}

func TestEnv(t *testing.T) {
	k, err := ident.ParseKey("a.b", "gpu")
	if err != nil {
		t.Fatal(err)
	}
	c := EnvConfig{BaseURL: "/jhub/", APIURL: "http://127.0.0.1:8081/jhub/hub/api",
		PublicURL: "https://h.example/jhub/"}
	env := c.Env(k, "sesame")
	want := map[string]string{
		"JUPYTERHUB_API_TOKEN":           "sesame",
		"JUPYTERHUB_CLIENT_ID":           "jupyterhub-user-a.b-gpu",
		"JUPYTERHUB_OAUTH_CALLBACK_URL":  "/jhub/user/a.b/gpu/oauth_callback",
		"JUPYTERHUB_SERVICE_PREFIX":      "/jhub/user/a.b/gpu/",
		"JUPYTERHUB_OAUTH_ACCESS_SCOPES": `["access:servers!server=a.b/gpu","access:servers!user=a.b"]`,
		"JUPYTERHUB_ACTIVITY_URL":        "http://127.0.0.1:8081/jhub/hub/api/users/a.b/activity",
		"JUPYTERHUB_PUBLIC_URL":          "https://h.example/jhub/user/a.b/gpu/",
		"JUPYTERHUB_PUBLIC_HUB_URL":      "https://h.example/jhub/hub/",
	}
	for name, value := range want {
		if env[name] != value {
			t.Errorf("%s = %q, want %q", name, env[name], value)
		}
	}
}
