package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend/fake"
	"github.com/gifford-lab/gifford-hub/agent/hub/probe"
	"github.com/gifford-lab/gifford-hub/agent/hub/proxy"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestQueuedAtTheBackend starts more servers than a cluster has room for: they wait there for as long as it takes, move
// up, and run when their turn comes.
func TestQueuedAtTheBackend(t *testing.T) {
	inWorld(t, fake.Config{Slots: 1, Lag: 10 * time.Millisecond}, func(t *testing.T, w *world, m *Manager) {
		for _, user := range []string{"alice", "bob", "carol"} {
			if err := m.Start(key(t, user), "big", Options{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		state(t, m, "alice", Ready)
		var told []string
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = m.Follow(t.Context(), key(t, "carol"), func(p Progress) error {
				told = append(told, fmt.Sprint(p.Queued, " ", p.Message))
				return nil
			})
		})
		time.Sleep(24 * time.Hour) // far beyond every time-out
		state(t, m, "bob", Queued)
		state(t, m, "carol", Queued)
		q, ok := m.Queue(key(t, "carol"))
		if !ok || q.Position != 2 || q.Of != 2 || q.Estimate != 2*time.Hour || q.Reason != "waits for a free host" ||
			time.Since(q.Since) < 24*time.Hour {
			t.Errorf("carol waits as %+v, %v", q, ok)
		}
		if err := m.Start(key(t, "bob"), "big", Options{WithoutGPUs: true}); !errors.Is(err, ErrActive) {
			t.Errorf("a server that the backend has queued is started again: %v", err)
		}
		if err := m.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		state(t, m, "carol", Queued)
		// bob has enough of it; alice's end makes room for carol.
		if err := m.Stop(t.Context(), key(t, "bob")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		state(t, m, "bob", Stopped)
		if _, err := w.Get(t.Context(), key(t, "bob")); !backend.Is(err, backend.NotFound) {
			t.Errorf("the backend still has bob's server: %v", err)
		}
		if err := m.Stop(t.Context(), key(t, "alice")); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		state(t, m, "carol", Ready)
		text := strings.Join(told, "\n")
		for _, want := range []string{"true Queued: waits for a free host: 2nd of 2 in the queue",
			"true Queued: waits for a free host: 1st of 1 in the queue", "false Server ready at"} {
			if !strings.Contains(text, want) {
				t.Errorf("carol was not told %q:\n%s", want, text)
			}
		}
	})
}

// TestQueuedServerFails cancels a server at the backend while it waits there.
func TestQueuedServerFails(t *testing.T) {
	inWorld(t, fake.Config{Slots: 1}, func(t *testing.T, w *world, m *Manager) {
		for _, user := range []string{"alice", "bob"} {
			if err := m.Start(key(t, user), "", Options{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		state(t, m, "bob", Queued)
		w.End(key(t, "bob"), backend.Failed, backend.Why{Message: "an administrator cancelled it", Hint: "ask them"})
		time.Sleep(time.Second)
		got := m.Get(key(t, "bob"))
		if got.State != Failed || got.Failure.Why != (backend.Why{Message: "an administrator cancelled it",
			Hint: "ask them"}) {
			t.Errorf("bob's server is %s with failure %+v", got.State, got.Failure)
		}
		if err := m.Start(key(t, "bob"), "", Options{}); err != nil {
			t.Error(err)
		}
	})
}

// TestQueuedOverRestart brings queued servers back after a restart of the hub, and takes what has become of them.
func TestQueuedOverRestart(t *testing.T) {
	inWorld(t, fake.Config{}, func(t *testing.T, w *world, m *Manager) {
		alice, bob := key(t, "alice"), key(t, "bob")
		for _, k := range []ident.Key{alice, bob} {
			w.Put(backend.Server{Key: k, State: backend.Queued, Reason: "waits",
				Queue: backend.Queue{Position: 3, Of: 4}})
		}
		if err := m.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if q, ok := m.Queue(alice); !ok || q.Position != 3 || q.Since.IsZero() || m.Count(Queued) != 2 {
			t.Errorf("alice waits as %+v, %v", q, ok)
		}
		w.Update(alice, func(s *backend.Server) { s.State = backend.Starting })
		time.Sleep(time.Second)
		state(t, m, "alice", Starting)
		w.Update(alice, func(s *backend.Server) {
			s.State, s.Where, s.Ends = backend.Running, "node1, job 17", time.Now().Add(time.Hour)
		})
		time.Sleep(time.Second)
		if got := m.Get(alice); got.State != Ready || got.Where != "node1, job 17" || got.Ends.IsZero() {
			t.Errorf("alice's server is %+v", got)
		}
		w.Lose(bob)
		if err := m.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := m.Get(bob); got.State != Failed || !strings.Contains(got.Failure.Message, "ended by itself") ||
			got.Failure.Hint != "ask" {
			t.Errorf("bob's server is %s with %+v after it was gone", got.State, got.Failure)
		}
		if err := m.Stop(t.Context(), alice); err != nil {
			t.Error(err)
		}
		if got := m.Get(alice); got.Where != "" || !got.Ends.IsZero() {
			t.Errorf("a stopped server is %+v", got)
		}
	})
}

// everybody lets everybody through.
type everybody struct{}

func (everybody) Admit(http.ResponseWriter, *http.Request, ident.Key) *proxy.Leave {
	return &proxy.Leave{Owner: true, Holds: func(context.Context) bool { return true }}
}

// TestRemote routes requests to a server at a TCP address, which only the real proxy and prober dial.
func TestRemote(t *testing.T) {
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "from the node: "+r.URL.Path)
	}))
	defer node.Close()
	b := fake.New(fake.Config{Slots: 1, Address: func(ident.Key) backend.Address {
		return backend.TCP(strings.TrimPrefix(node.URL, "http://"))
	}})
	defer b.Close()
	log := slog.New(slog.DiscardHandler)
	p, err := proxy.New(proxy.Config{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{}
	m, err := New(Config{Backend: b, Router: p, Prober: probe.Prober{}, Output: w, Env: EnvConfig{BaseURL: "/"},
		StartTimeout: time.Minute, HTTPTimeout: time.Minute, StopTimeout: time.Minute, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go b.Watch(ctx, m.Handle, func() {})
	alice := key(t, "alice")
	if err := m.Start(alice, "", Options{}); err != nil {
		t.Fatal(err)
	}
	if last := follow(t, m, alice); !last.Ready {
		t.Fatalf("last step is %+v", last)
	}
	front := httptest.NewServer(p.Handler(everybody{}, proxy.Answers{}))
	defer front.Close()
	resp, err := http.Get(front.URL + "/user/alice/lab")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "from the node: /user/alice/lab" {
		t.Errorf("the proxy answers %d %q", resp.StatusCode, body)
	}
}

// TestEventsOfOneServer counts what an event costs beside 500 servers: nothing is asked, and the work does not grow.
func TestEventsOfOneServer(t *testing.T) {
	inWorld(t, fake.Config{}, func(t *testing.T, w *world, m *Manager) {
		for i := range 500 {
			k := key(t, fmt.Sprintf("user%d", i))
			w.Put(backend.Server{Key: k, State: backend.Running, TokenHash: k.String(),
				Address: backend.UnixSocket("/sock/"+k.String(), 5001)})
		}
		if err := m.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		g := &gpuHost{world: w, holder: map[ident.Key]bool{}}
		m.cfg.Devices, m.cfg.Memory = g, g
		advance, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { m.Advance(advance, nil) })
		defer wg.Wait()
		defer cancel()
		one := key(t, "user7")
		w.Calls()
		w.Update(one, func(s *backend.Server) { s.State = backend.Stopping })
		w.End(one, backend.Stopped, backend.Why{})
		time.Sleep(time.Second)
		state(t, m, "user7", Stopped)
		w.Put(backend.Server{Key: one, State: backend.Starting, TokenHash: "another run"})
		w.Update(one, func(*backend.Server) {})
		w.Update(one, func(s *backend.Server) { s.State = backend.Running })
		time.Sleep(time.Second)
		state(t, m, "user7", Ready)
		w.End(one, backend.Failed, backend.Why{Message: "it broke"})
		time.Sleep(time.Second)
		state(t, m, "user7", Failed)
		if calls := w.Calls(); len(calls) != 0 {
			t.Errorf("after events of one server the backend was called: %v", calls)
		}
		// A start of the hub's own asks for what it started, and for nothing else.
		if err := m.Start(one, "", Options{}); err != nil {
			t.Fatal(err)
		}
		follow(t, m, one)
		if err := m.Stop(t.Context(), one); err != nil {
			t.Fatal(err)
		}
		if calls := w.Calls(); calls["start"] != 1 || calls["get"] > 1 || calls["stop"] != 1 || len(calls) > 3 {
			t.Errorf("a start and a stop called the backend: %v", calls)
		}
	})
}

// TestWorkOfAnEvent checks that what an event makes does not grow with the servers, such as by a copy of all of them.
func TestWorkOfAnEvent(t *testing.T) {
	allocations := func(n int) float64 {
		m, err := New(Config{Backend: fake.New(fake.Config{}), Router: quiet{}, Prober: quiet{}, Output: quiet{},
			StartTimeout: 1, HTTPTimeout: 1, StopTimeout: 1, Log: slog.New(slog.DiscardHandler),
			OnTransition: func(Server, State) {}})
		if err != nil {
			t.Fatal(err)
		}
		var one ident.Key
		for i := range n {
			one = key(t, fmt.Sprintf("user%d", i))
			m.Handle(backend.Event{Server: backend.Server{Key: one, State: backend.Stopping}})
		}
		return testing.AllocsPerRun(200, func() {
			m.Handle(backend.Event{Server: backend.Server{Key: one, State: backend.Stopped}})
			m.Handle(backend.Event{Server: backend.Server{Key: one, State: backend.Stopping}})
		})
	}
	if few, many := allocations(10), allocations(500); many > few+2 {
		t.Errorf("an event makes %v allocations beside 10 servers and %v beside 500", few, many)
	}
}

type quiet struct{}

func (quiet) SetRoute(ident.Key, backend.Address)                              {}
func (quiet) DeleteRoute(ident.Key)                                            {}
func (quiet) Probe(context.Context, backend.Address, string) error             { return errors.New("no") }
func (quiet) Follow(context.Context, ident.Key, time.Time, func(string)) error { return nil }
func (quiet) Tail(context.Context, ident.Key, time.Time, int) ([]string, bool, error) {
	return nil, true, nil
}
