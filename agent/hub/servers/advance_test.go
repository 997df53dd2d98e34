package servers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend/fake"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// gpuHost is a world whose backend lends devices of the profile "gpu".
type gpuHost struct {
	*world
	n int // devices

	gm     sync.Mutex // guards all below
	holder map[ident.Key]bool
	asked  int // starts that were requested
	limit  int // how many the backend lends though more are free; 0 for all
	saved  []QueueEntry
	leases []time.Duration
	failed error // of GPUs
}

// lend is the backend's rule for a start.
func (g *gpuHost) lend(r backend.StartRequest, s *backend.Server) error {
	g.gm.Lock()
	defer g.gm.Unlock()
	g.asked++
	if r.WithoutGPUs || r.Profile != "gpu" {
		return nil
	}
	if len(g.holder) >= g.n || g.limit > 0 && len(g.holder) >= g.limit {
		return &backend.Error{Code: backend.DevicesTaken, Message: "all GPUs are held"}
	}
	g.holder[r.Key], s.Devices = true, []string{"nvidia.com/gpu=0"}
	return nil
}

func (g *gpuHost) Stop(ctx context.Context, key ident.Key) error {
	g.gm.Lock()
	delete(g.holder, key)
	g.gm.Unlock()
	return g.world.Stop(ctx, key)
}

func (g *gpuHost) GPUs(context.Context) (all backend.GPUs, err error) {
	g.gm.Lock()
	defer g.gm.Unlock()
	var keys []ident.Key
	for k := range g.holder {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b ident.Key) int { return strings.Compare(a.String(), b.String()) })
	for i := range g.n {
		d := backend.Device{Name: "nvidia.com/gpu=" + string(rune('0'+i)), Sharing: backend.Exclusive, Places: 1,
			Profiles: []string{"gpu"}}
		if i < len(keys) {
			d.Holders = []backend.Holder{{Key: keys[i], Profile: "gpu", Since: time.Now().Add(-time.Hour)}}
		}
		all.Devices = append(all.Devices, d)
	}
	return all, g.failed
}

func (g *gpuHost) Profiles(context.Context) ([]backend.Profile, error) {
	return []backend.Profile{{Name: "lab", Default: true}, {Name: "gpu", GPUs: 1}}, nil
}

func (g *gpuHost) SaveQueue(_ context.Context, queue []QueueEntry) error {
	g.gm.Lock()
	defer g.gm.Unlock()
	g.saved = queue
	return nil
}

func (g *gpuHost) AddLease(_ context.Context, kind string, held time.Duration, _ time.Time) error {
	g.gm.Lock()
	defer g.gm.Unlock()
	g.leases = append(g.leases, held)
	return nil
}

func (g *gpuHost) TypicalLease(context.Context, string) (time.Duration, error) {
	return 3 * time.Hour, nil
}

// queue returns who is saved.
func (g *gpuHost) queue() string {
	g.gm.Lock()
	defer g.gm.Unlock()
	var all []string
	for _, p := range g.saved {
		all = append(all, p.Key.String()+"/"+p.Profile)
	}
	return strings.Join(all, " ")
}

// play runs a test with a queue that moves on.
func play(t *testing.T, n int, test func(t *testing.T, g *gpuHost, m *Manager, start func(user string))) {
	t.Helper()
	inWorld(t, fake.Config{}, func(t *testing.T, w *world, m *Manager) {
		g := &gpuHost{world: w, n: n, holder: map[ident.Key]bool{}}
		m.cfg.Backend, m.cfg.Devices, m.cfg.Memory = g, g, g
		w.Change(func(c *fake.Config) { c.Refuse = g.lend })
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { m.Advance(ctx, nil) })
		defer wg.Wait()
		defer cancel()
		test(t, g, m, func(user string) {
			t.Helper()
			if err := m.Start(key(t, user), "gpu", Options{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		})
	})
}

func state(t *testing.T, m *Manager, user string, want State) {
	t.Helper()
	if got := m.Get(key(t, user)).State; got != want {
		t.Errorf("%s's server is %s, want %s", user, got, want)
	}
}

func TestQueueMovesOn(t *testing.T) {
	play(t, 1, func(t *testing.T, g *gpuHost, m *Manager, start func(string)) {
		start("alice")
		start("bob")
		start("carol")
		state(t, m, "alice", Ready)
		state(t, m, "bob", Queued)
		state(t, m, "carol", Queued)
		if w, ok := m.Queue(key(t, "carol")); !ok || w.Position != 2 || w.Of != 2 || w.Estimate != 5*time.Hour ||
			len(w.Devices) != 1 || w.Devices[0].Holders[0].Key != key(t, "alice") {
			t.Errorf("carol waits as %+v, %v", w, ok)
		}
		if _, ok := m.Queue(key(t, "alice")); ok {
			t.Error("alice waits")
		}
		if g.queue() != "bob/gpu carol/gpu" {
			t.Errorf("saved is %q", g.queue())
		}
		if err := m.Stop(t.Context(), key(t, "alice")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		state(t, m, "bob", Ready)
		state(t, m, "carol", Queued)
		if g.queue() != "carol/gpu" || len(g.leases) != 1 {
			t.Errorf("saved are %q and %d leases", g.queue(), len(g.leases))
		}
		// carol gives up.
		if err := m.Stop(t.Context(), key(t, "carol")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		state(t, m, "carol", Stopped)
		if g.queue() != "" || m.queueLength() != 0 {
			t.Errorf("saved is %q", g.queue())
		}
	})
}

// TestNobodyOvertakes starts one more when a device comes free at the same moment.
func TestNobodyOvertakes(t *testing.T) {
	play(t, 1, func(t *testing.T, g *gpuHost, m *Manager, start func(string)) {
		start("alice")
		start("bob")
		g.gm.Lock()
		delete(g.holder, key(t, "alice")) // nobody has told the hub yet
		g.gm.Unlock()
		start("carol")
		state(t, m, "bob", Ready)
		state(t, m, "carol", Queued)
	})
}

func TestWithoutGPUs(t *testing.T) {
	play(t, 1, func(t *testing.T, g *gpuHost, m *Manager, start func(string)) {
		start("alice")
		start("bob")
		if err := m.Start(key(t, "bob"), "gpu", Options{}); err == nil {
			t.Error("a server in the queue is started again")
		}
		if err := m.Start(key(t, "bob"), "gpu", Options{WithoutGPUs: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		state(t, m, "bob", Ready)
		requests := g.Requests()
		last := requests[len(requests)-1]
		if !last.WithoutGPUs || last.Profile != "gpu" || g.queue() != "" {
			t.Errorf("asked for %+v, queue %q", last, g.queue())
		}
	})
}

// TestRestore brings the queue back after a restart of the hub.
func TestRestore(t *testing.T) {
	play(t, 1, func(t *testing.T, g *gpuHost, m *Manager, start func(string)) {
		start("alice")
		asked := time.Now().Add(-time.Hour)
		m.Restore([]QueueEntry{{key(t, "bob"), "gpu", asked.Add(time.Minute)}, {key(t, "carol"), "gpu", asked},
			{key(t, "alice"), "gpu", asked}})
		time.Sleep(time.Second)
		state(t, m, "alice", Ready)
		if w, _ := m.Queue(key(t, "carol")); w.Position != 1 || !w.Since.Equal(asked) {
			t.Errorf("carol waits as %+v", w)
		}
		if err := m.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		state(t, m, "carol", Queued)
		if err := m.Stop(t.Context(), key(t, "alice")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		state(t, m, "carol", Ready)
		state(t, m, "bob", Queued)
	})
}

// TestLimited has a backend that lends less than it has. It is not asked again and again, and others continue.
func TestLimited(t *testing.T) {
	play(t, 2, func(t *testing.T, g *gpuHost, m *Manager, start func(string)) {
		g.limit = 1
		start("alice")
		start("bob")
		time.Sleep(2 * time.Minute)
		state(t, m, "bob", Queued)
		g.gm.Lock()
		if g.asked > 4 { // alice's and bob's, one try from the queue, and one more where the fingerprint's time turns
			t.Errorf("the backend was asked %d times", g.asked)
		}
		g.limit = 0
		g.gm.Unlock()
		time.Sleep(limitedFor)
		state(t, m, "bob", Ready)
	})
}

// TestStoppedWhileAsked stops a server whose start is about to be put into the queue.
func TestStoppedWhileAsked(t *testing.T) {
	play(t, 0, func(t *testing.T, g *gpuHost, m *Manager, _ func(string)) {
		if err := m.Start(key(t, "alice"), "gpu", Options{}); err != nil {
			t.Fatal(err)
		}
		if err := m.Stop(t.Context(), key(t, "alice")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		state(t, m, "alice", Stopped)
		if m.queueLength() != 0 || g.queue() != "" {
			t.Error("it waits")
		}
	})
}

// TestFollowTheQueue listens to a start in the queue.
func TestFollowTheQueue(t *testing.T) {
	play(t, 1, func(t *testing.T, g *gpuHost, m *Manager, start func(string)) {
		start("alice")
		start("bob")
		var told []string
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = m.Follow(t.Context(), key(t, "bob"), func(p Progress) error {
				told = append(told, p.Message)
				return nil
			})
		})
		time.Sleep(time.Second)
		if err := m.Stop(t.Context(), key(t, "alice")); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		text := strings.Join(told, "\n")
		for _, want := range []string{"Waiting for a GPU: all are in use", "Waiting for a GPU: 1st of 1 in the queue",
			"Server ready at"} {
			if !strings.Contains(text, want) {
				t.Errorf("it was not told %q:\n%s", want, text)
			}
		}
	})
}

// TestStartedByAnother has another process of the hub start the server first.
func TestStartedByAnother(t *testing.T) {
	inWorld(t, fake.Config{}, func(t *testing.T, w *world, m *Manager) {
		alice, bob := key(t, "alice"), key(t, "bob")
		theirs := backend.Server{Key: alice, State: backend.Starting, TokenHash: "theirs",
			Address: backend.UnixSocket("/sock/alice", 5001)}
		w.Put(theirs)
		if err := m.Start(alice, "", Options{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		state(t, m, "alice", Starting)
		if calls := w.Calls(); calls["list"] != 0 || calls["get"] != 1 {
			t.Errorf("the backend was called %v, want one get", calls)
		}
		w.Update(alice, func(s *backend.Server) { s.State = backend.Running })
		time.Sleep(time.Second)
		state(t, m, "alice", Ready)
		// A server that is not the hub's stays in the way.
		w.refuse(&backend.Error{Code: backend.AlreadyExists, Message: "it exists already"})
		if err := m.Start(bob, "", Options{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		state(t, m, "bob", Failed)
	})
}

// TestMemoryFails checks that failed saves are repeated later, and that unknown leases and devices block nobody.
func TestMemoryFails(t *testing.T) {
	play(t, 1, func(t *testing.T, g *gpuHost, m *Manager, start func(string)) {
		broken := &brokenMemory{gpuHost: g, err: errors.New("disk full")}
		m.cfg.Memory = broken
		start("alice")
		start("bob")
		state(t, m, "bob", Queued)
		if q, _ := m.Queue(key(t, "bob")); q.Estimate != 0 || q.Position != 1 {
			t.Errorf("bob waits as %+v without known leases", q)
		}
		broken.set(nil)
		time.Sleep(queueEvery)
		if g.queue() != "bob/gpu" {
			t.Errorf("saved is %q", g.queue())
		}
		g.gm.Lock()
		g.failed = errors.New("no answer")
		g.gm.Unlock()
		if err := m.Stop(t.Context(), key(t, "alice")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		state(t, m, "bob", Queued) // the free devices are unknown
		g.gm.Lock()
		g.failed = nil
		g.gm.Unlock()
		time.Sleep(queueEvery + time.Second)
		state(t, m, "bob", Ready)
	})
}

type brokenMemory struct {
	*gpuHost
	mu  sync.Mutex
	err error
}

func (b *brokenMemory) set(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *brokenMemory) get() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

func (b *brokenMemory) SaveQueue(ctx context.Context, queue []QueueEntry) error {
	return errors.Join(b.get(), b.saveIf(ctx, queue))
}

func (b *brokenMemory) saveIf(ctx context.Context, queue []QueueEntry) error {
	if b.get() != nil {
		return nil
	}
	return b.gpuHost.SaveQueue(ctx, queue)
}

func (b *brokenMemory) AddLease(context.Context, string, time.Duration, time.Time) error {
	return b.get()
}

func (b *brokenMemory) TypicalLease(context.Context, string) (time.Duration, error) {
	return 0, b.get()
}
