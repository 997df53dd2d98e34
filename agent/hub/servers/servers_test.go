package servers

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// world is a launcher, a proxy, a journal and Jupyter servers that a test can make
// fail in ways the real ones cannot be made to.
type world struct {
	mu       sync.Mutex
	units    map[ident.Key]backend.Server
	routes   map[ident.Key]string
	requests []backend.StartRequest
	startErr error
	imageErr error
	startFor time.Duration // how long Start takes
	answers  bool          // whether servers answer HTTP
	lines    []string
	lag      int // how often the journal is read before the lines are there
	onStop   func(backend.Event)
	resets   []string
	resetErr error
	onStart  func(backend.StartRequest) // before Start is answered
}

func (w *world) Start(ctx context.Context, req backend.StartRequest) error {
	select {
	case <-time.After(w.startFor):
	case <-ctx.Done():
		return ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = append(w.requests, req)
	if w.onStart != nil {
		w.onStart(req)
	}
	if w.startErr != nil {
		return w.startErr
	}
	w.units[req.Key] = backend.Server{Key: req.Key, State: backend.Running,
		Address: backend.UnixSocket("/sock/"+req.Key.String(), 5001), TokenHash: ident.HashToken(req.Env["JUPYTERHUB_API_TOKEN"]), Started: time.Now()}
	return nil
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

func (w *world) Stop(_ context.Context, key ident.Key) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.units[key]; !ok {
		return &backend.Error{Code: backend.NotFound, Message: "no such unit"}
	}
	delete(w.units, key)
	if w.onStop != nil {
		// the echo of the stop
		go w.onStop(backend.Event{Server: backend.Server{Key: key, State: backend.Stopped}})
	}
	return nil
}

func (w *world) List(context.Context) ([]backend.Server, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []backend.Server
	for _, u := range w.units {
		all = append(all, u)
	}
	return all, nil
}

func (w *world) Get(_ context.Context, key ident.Key) (backend.Server, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, ok := w.units[key]
	if !ok {
		return u, &backend.Error{Code: backend.NotFound, Message: "no such unit"}
	}
	return u, nil
}

func (w *world) Name(key ident.Key) string { return key.Unit() }

func (w *world) SetRoute(key ident.Key, to backend.Address) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.routes[key] = to.String()
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

const lastWords = "jupyter-alice.service: Failed with result 'exit-code'."

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
	return w.routes[key]
}

// end lets a unit end by itself, as seen by the manager.
func (w *world) end(m *Manager, key ident.Key, e backend.Event) {
	w.mu.Lock()
	delete(w.units, key)
	w.mu.Unlock()
	e.Key = key
	m.Handle(e)
}

// deactivate lets a unit be seen on its way to its end.
func (w *world) deactivate(m *Manager, key ident.Key) {
	w.mu.Lock()
	w.units[key] = backend.Server{Key: key, State: backend.Stopping}
	w.mu.Unlock()
	m.Handle(backend.Event{Server: backend.Server{Key: key, State: backend.Stopping}})
}

func newWorld(t *testing.T) (*world, *Manager) {
	t.Helper()
	w := &world{units: map[ident.Key]backend.Server{}, routes: map[ident.Key]string{}, answers: true,
		startFor: 200 * time.Millisecond, lines: []string{lastWords}}
	m, err := New(Config{Backend: w, Images: w, Router: w, Prober: w, Output: w,
		Env:          EnvConfig{BaseURL: "/", APIURL: "http://127.0.0.1:8081/hub/api"},
		StartTimeout: time.Minute, HTTPTimeout: 30 * time.Second, StopTimeout: 10 * time.Second,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	w.onStop = m.Handle
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
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t)
		defer m.Close()
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
		if got := m.Get(alice); got.State != Ready {
			t.Errorf("state is %s, want ready", got.State)
		}
		if w.route(alice) != "/sock/alice" {
			t.Errorf("route is %q", w.route(alice))
		}
		token := w.requests[0].Env["JUPYTERHUB_API_TOKEN"]
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
		prepare func(*world)
		during  func(*testing.T, *world, *Manager, ident.Key)
		want    string
	}{
		"refused": {
			prepare: func(w *world) {
				w.startErr = &backend.Error{Code: backend.NoAccount,
					Message: "user \"alice\" has no Unix account"}
			},
			want: "has no Unix account",
		},
		"no image": {
			prepare: func(w *world) { w.imageErr = errors.New("the registry does not know lab/notebook:2026") },
			want:    "the registry does not know lab/notebook:2026",
		},
		"too slow": {
			prepare: func(w *world) { w.startFor = time.Hour },
			want:    "was not active within 1m0s",
		},
		"never answers": {
			prepare: func(w *world) { w.answers = false },
			want:    "did not answer within 30s: connection refused",
		},
		"exits at once": {
			prepare: func(w *world) { w.answers = false },
			during: func(_ *testing.T, w *world, m *Manager, k ident.Key) {
				time.Sleep(time.Second)
				w.end(m, k, backend.Event{Server: backend.Server{State: backend.Failed},
					Why: backend.Why{Message: "jupyter-alice.service ended with exit status 3"}})
			},
			want: "ended with exit status 3",
		},
		"exits while it stops being active": {
			prepare: func(w *world) { w.answers = false },
			during: func(_ *testing.T, w *world, m *Manager, k ident.Key) {
				time.Sleep(time.Second)
				w.deactivate(m, k)
				synctest.Wait()
				w.end(m, k, backend.Event{Server: backend.Server{State: backend.Failed},
					Why: backend.Why{Message: "jupyter-alice.service ended with exit status 3"}})
			},
			want: "ended with exit status 3",
		},
		"deactivating while it starts": {
			prepare: func(w *world) {
				w.startErr = &backend.Error{Code: backend.StartFailed, Message: "no such image"}
			},
			during: func(_ *testing.T, w *world, m *Manager, k ident.Key) {
				w.deactivate(m, k)
				synctest.Wait()
				w.end(m, k, backend.Event{Server: backend.Server{State: backend.Failed},
					Why: backend.Why{Message: "it ended"}})
			},
			want: "no such image",
		},
		"dies when ready": {
			prepare: func(*world) {},
			during: func(t *testing.T, w *world, m *Manager, k ident.Key) {
				follow(t, m, k)
				w.end(m, k, backend.Event{Server: backend.Server{State: backend.Failed},
					Why: backend.Why{Message: "it used more memory than it may"}})
				// the launcher lets systemd forget it
				w.end(m, k, backend.Event{Server: backend.Server{State: backend.Stopped}})
				synctest.Wait()
			},
			want: "more memory than it may",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, m := newWorld(t)
				defer m.Close()
				tt.prepare(w)
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
				if units, _ := w.List(t.Context()); len(units) != 0 || w.route(alice) != "" {
					t.Errorf("left behind: units %v, route %q", units, w.route(alice))
				}
				w.startErr, w.imageErr, w.startFor, w.answers = nil, nil, 0, true
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

// TestEndBesideTheAnswer lets the news of a unit's end come at any time about the
// launcher's answer to Start, over which it has no order on the bus.
func TestEndBesideTheAnswer(t *testing.T) {
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			w, m := newWorld(t)
			defer m.Close()
			alice := key(t, "alice")
			w.startErr = &backend.Error{Code: backend.StartFailed, Message: "no such image"}
			w.onStart = func(req backend.StartRequest) {
				go func() {
					for range 100 {
						m.Handle(backend.Event{Server: backend.Server{Key: req.Key, State: backend.Failed},
							Why: backend.Why{Message: "it ended"}})
					}
				}()
			}
			if err := m.Start(alice, "", Options{}); err != nil {
				t.Fatal(err)
			}
			follow(t, m, alice)
			if got := m.Get(alice); got.State != Failed || !strings.Contains(got.Failure.Message, "no such image") {
				t.Fatalf("server is %s with failure %+v, want the launcher's reason", got.State, got.Failure)
			}
		})
	}
}

// TestJournalLags checks that what systemd says at last of a failed unit is waited for.
func TestJournalLags(t *testing.T) {
	for lag, want := range map[int][]string{5: {lastWords}, 1000: nil} {
		synctest.Test(t, func(t *testing.T) {
			w, m := newWorld(t)
			defer m.Close()
			alice := key(t, "alice")
			w.lag, w.startErr = lag, &backend.Error{Code: backend.StartFailed, Message: "exit status 125"}
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
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t)
		defer m.Close()
		alice := key(t, "alice")
		w.onStart = func(req backend.StartRequest) {
			m.Handle(backend.Event{Server: backend.Server{Key: req.Key, State: backend.Failed},
				Why: backend.Why{Message: "jupyter-alice.service ended with exit status 3"}})
		}
		if err := m.Start(alice, "", Options{}); err != nil {
			t.Fatal(err)
		}
		follow(t, m, alice)
		if got := m.Get(alice); got.State != Failed || !strings.Contains(got.Failure.Message, "exit status 3") {
			t.Errorf("server is %s with failure %+v, want the unit's end", got.State, got.Failure)
		}
	})
}

func TestStopCancelsStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t)
		defer m.Close()
		w.startFor = 30 * time.Second
		alice := key(t, "alice")
		if err := m.Start(alice, "", Options{}); err != nil {
			t.Fatal(err)
		}
		if err := m.Stop(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := m.Get(alice); got.State != Stopped || got.Failure != nil {
			t.Errorf("state is %s with failure %v, want stopped", got.State, got.Failure)
		}
	})
}

func TestShutDownFromWithinIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t)
		defer m.Close()
		alice := key(t, "alice")
		if err := m.Start(alice, "", Options{}); err != nil {
			t.Fatal(err)
		}
		follow(t, m, alice)
		w.end(m, alice, backend.Event{Server: backend.Server{State: backend.Stopped}})
		if got := m.Get(alice); got.State != Stopped {
			t.Errorf("state is %s, want stopped", got.State)
		}
	})
}

func TestSyncAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t)
		defer m.Close()
		alice, bob, dora := key(t, "alice"), key(t, "bob"), key(t, "dora")
		w.units[alice] = backend.Server{Key: alice, State: backend.Running, Address: backend.UnixSocket("/sock/alice", 5001),
			TokenHash: ident.HashToken("secret")}
		w.units[bob] = backend.Server{Key: bob, State: backend.Starting, Address: backend.UnixSocket("/sock/bob", 5001)}
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
		w.end(m, bob, backend.Event{Server: backend.Server{State: backend.Failed}, Why: backend.Why{Message: "it ended"}})
		synctest.Wait()
		if got := m.Get(bob).State; got != Failed {
			t.Errorf("bob's server is %s after its unit failed, want failed", got)
		}
		if got := m.Get(dora).State; got != Stopped {
			t.Errorf("dora's server is %s, want stopped", got)
		}
		delete(w.units, alice) // it ended while nobody listened
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
