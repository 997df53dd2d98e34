package servers

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// gpuHost is a world whose launcher lends devices of the profile "gpu".
type gpuHost struct {
	*world
	n int // devices

	gm     sync.Mutex // guards all below
	holder map[ident.Key]bool
	asked  int // calls of Start
	limit  int // how many the launcher lends though more are free; 0 for all
	saved  []LinePlace
	leases []time.Duration
	failed error // of GPUs
}

func newGPUHost(t *testing.T, n int) (*gpuHost, *Manager) {
	t.Helper()
	w, m := newWorld(t)
	g := &gpuHost{world: w, n: n, holder: map[ident.Key]bool{}}
	m.cfg.Backend, m.cfg.Devices, m.cfg.Memory = g, g, g
	return g, m
}

func (g *gpuHost) Start(ctx context.Context, r backend.StartRequest) error {
	g.gm.Lock()
	g.asked++
	taken := !r.WithoutGPUs && r.Profile == "gpu" && (len(g.holder) >= g.n || g.limit > 0 && len(g.holder) >= g.limit)
	if !taken && !r.WithoutGPUs && r.Profile == "gpu" {
		g.holder[r.Key] = true
	}
	g.gm.Unlock()
	if taken {
		return &backend.Error{Code: backend.DevicesTaken, Message: "all GPUs are held"}
	}
	if err := g.world.Start(ctx, r); err != nil {
		return err
	}
	g.gm.Lock()
	defer g.gm.Unlock()
	if g.holder[r.Key] {
		g.mu.Lock()
		u := g.units[r.Key]
		u.Profile, u.Devices = r.Profile, []string{"nvidia.com/gpu=0"}
		g.units[r.Key] = u
		g.mu.Unlock()
	}
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

func (g *gpuHost) SaveLine(_ context.Context, line []LinePlace) error {
	g.gm.Lock()
	defer g.gm.Unlock()
	g.saved = line
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

// line returns who is written down.
func (g *gpuHost) line() string {
	g.gm.Lock()
	defer g.gm.Unlock()
	var all []string
	for _, p := range g.saved {
		all = append(all, p.Key.String()+"/"+p.Profile)
	}
	return strings.Join(all, " ")
}

// play runs a test with a line that moves on.
func play(t *testing.T, n int, test func(t *testing.T, g *gpuHost, m *Manager, start func(user string))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g, m := newGPUHost(t, n)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { m.Advance(ctx) })
		defer wg.Wait()
		defer cancel()
		defer m.Close()
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

func TestLineMovesOn(t *testing.T) {
	play(t, 1, func(t *testing.T, g *gpuHost, m *Manager, start func(string)) {
		start("alice")
		start("bob")
		start("carol")
		state(t, m, "alice", Ready)
		state(t, m, "bob", Queued)
		state(t, m, "carol", Queued)
		if w, ok := m.Waits(key(t, "carol")); !ok || w.Place != 2 || w.Of != 2 || w.Estimate != 5*time.Hour ||
			len(w.Devices) != 1 || w.Devices[0].Holders[0].Key != key(t, "alice") {
			t.Errorf("carol waits as %+v, %v", w, ok)
		}
		if _, ok := m.Waits(key(t, "alice")); ok {
			t.Error("alice waits")
		}
		if g.line() != "bob/gpu carol/gpu" {
			t.Errorf("written down is %q", g.line())
		}
		if err := m.Stop(t.Context(), key(t, "alice")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		state(t, m, "bob", Ready)
		state(t, m, "carol", Queued)
		if g.line() != "carol/gpu" || len(g.leases) != 1 {
			t.Errorf("written down are %q and %d leases", g.line(), len(g.leases))
		}
		// carol has enough of it.
		if err := m.Stop(t.Context(), key(t, "carol")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		state(t, m, "carol", Stopped)
		if g.line() != "" || m.Waiting() != 0 {
			t.Errorf("written down is %q", g.line())
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
			t.Error("a server in the line is started again")
		}
		if err := m.Start(key(t, "bob"), "gpu", Options{WithoutGPUs: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		state(t, m, "bob", Ready)
		last := g.requests[len(g.requests)-1]
		if !last.WithoutGPUs || last.Profile != "gpu" || g.line() != "" {
			t.Errorf("asked for %+v, line %q", last, g.line())
		}
	})
}

// TestRestore brings the line back after a restart of the hub.
func TestRestore(t *testing.T) {
	play(t, 1, func(t *testing.T, g *gpuHost, m *Manager, start func(string)) {
		start("alice")
		asked := time.Now().Add(-time.Hour)
		m.Restore([]LinePlace{{key(t, "bob"), "gpu", asked.Add(time.Minute)}, {key(t, "carol"), "gpu", asked},
			{key(t, "alice"), "gpu", asked}})
		time.Sleep(time.Second)
		state(t, m, "alice", Ready)
		if w, _ := m.Waits(key(t, "carol")); w.Place != 1 || !w.Asked.Equal(asked) {
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

// TestLimited has a launcher that lends less than there is: it is not asked again and
// again, and others go on.
func TestLimited(t *testing.T) {
	play(t, 2, func(t *testing.T, g *gpuHost, m *Manager, start func(string)) {
		g.limit = 1
		start("alice")
		start("bob")
		time.Sleep(2 * time.Minute)
		state(t, m, "bob", Queued)
		g.gm.Lock()
		if g.asked > 4 { // alice's and bob's, one try from the line, and one more where the view's time turns
			t.Errorf("the launcher was asked %d times", g.asked)
		}
		g.limit = 0
		g.gm.Unlock()
		time.Sleep(limitedFor)
		state(t, m, "bob", Ready)
	})
}

// TestStoppedWhileAsked stops a server whose start is about to be put into the line.
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
		if m.Waiting() != 0 || g.line() != "" {
			t.Error("it waits")
		}
	})
}

// TestFollowTheLine listens to a start in the line.
func TestFollowTheLine(t *testing.T) {
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
		for _, want := range []string{"Waiting for a GPU: all are in use", "Waiting for a GPU: 1st of 1 in line",
			"Server ready at"} {
			if !strings.Contains(text, want) {
				t.Errorf("it was not told %q:\n%s", want, text)
			}
		}
	})
}

// TestStartedByAnother has another process of the hub start the server first.
func TestStartedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(t)
		defer m.Close()
		alice := key(t, "alice")
		w.startErr = &backend.Error{Code: backend.AlreadyExists, Message: "it exists already"}
		w.onStart = func(backend.StartRequest) {
			w.units[alice] = backend.Server{Key: alice, State: backend.Starting, Address: backend.UnixSocket("/sock/alice", 5001)}
		}
		if err := m.Start(alice, "", Options{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		state(t, m, "alice", Starting)
		m.Handle(backend.Event{Server: backend.Server{Key: alice, State: backend.Running, Address: backend.UnixSocket("/sock/alice", 5001)}})
		time.Sleep(time.Second)
		state(t, m, "alice", Ready)
		// A unit that is none of the hub's stays in the way.
		bob := key(t, "bob")
		w.mu.Lock()
		w.onStart = nil
		w.mu.Unlock()
		if err := m.Start(bob, "", Options{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		state(t, m, "bob", Failed)
	})
}
