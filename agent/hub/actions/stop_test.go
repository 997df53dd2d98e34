package actions

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// short is a wait that a stop outlasts.
const short = time.Millisecond

// TestRemoveSlowServer removes a server whose stop takes longer than the request waits: its persistent container goes
// when the stop has ended, and only then does the server. A server of the same name cannot be started meanwhile.
func TestRemoveSlowServer(t *testing.T) {
	b := newBench(t)
	alice, x := b.as(t, "alice"), key(t, "alice:x")
	b.fleet.states["alice:x"], b.fleet.persistent["alice:x"] = servers.Ready, true
	b.fleet.stopping = make(chan struct{})
	if p, err := b.RemoveServer(t.Context(), alice, x, true, short); p != Continues || err != nil {
		t.Fatalf("removed: %v, %v", p, err)
	}
	if _, known, err := b.saved(t.Context(), x); !known || err != nil || len(b.fleet.resets) > 0 {
		t.Errorf("while it stops it is saved: %v, %v; reset: %v", known, err, b.fleet.resets)
	}
	if p, err := b.RemoveServer(t.Context(), alice, x, true, short); p != Continues || err != nil {
		t.Errorf("removed twice: %v, %v", p, err)
	}
	if got := outcome(b.Start(t.Context(), alice, StartRequest{Key: x})); got != "conflict stopping" {
		t.Errorf("started while it is removed: %s", got)
	}
	close(b.fleet.stopping)
	b.background.Wait()
	if _, known, err := b.saved(t.Context(), x); known || err != nil {
		t.Errorf("after its stop it is saved: %v, %v", known, err)
	}
	if diff := cmp.Diff([]string{"alice:x"}, b.fleet.resets); diff != "" {
		t.Errorf("resets (-want +got):\n%s", diff)
	}
	want := []string{"INFO event=server-deleted by=alice by_kind=user outcome=continues request=r1 user=alice server=x",
		"INFO event=server-deleted by=alice by_kind=user outcome=done request=r1 user=alice server=x"}
	if diff := cmp.Diff(want, b.journal.all()); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	if got := outcome(b.Start(t.Context(), alice, StartRequest{Key: x})); got != "ok" {
		t.Errorf("a new server of the name: %s", got)
	}
}

// TestRemoveFailsLater checks that nothing is removed of a server that does not stop, or whose persistent container
// stays; and that it can be tried again.
func TestRemoveFailsLater(t *testing.T) {
	b := newBench(t)
	alice, x := b.as(t, "alice"), key(t, "alice:x")
	b.fleet.states["alice:x"], b.fleet.resetErr = servers.Ready, errors.New("disk full")
	b.fleet.stopping = make(chan struct{})
	if p, err := b.RemoveServer(t.Context(), alice, x, true, short); p != Continues || err != nil {
		t.Fatalf("removed: %v, %v", p, err)
	}
	close(b.fleet.stopping)
	b.background.Wait()
	lines := b.journal.all()
	if !strings.Contains(lines[len(lines)-1], "outcome=failed error=disk full") {
		t.Errorf("the journal ends with %s", lines[len(lines)-1])
	}
	if _, known, err := b.saved(t.Context(), x); !known || err != nil {
		t.Errorf("it is saved: %v, %v", known, err)
	}
	b.fleet.resetErr = nil
	if p, err := b.RemoveServer(t.Context(), alice, x, true, short); p != Done || err != nil {
		t.Errorf("once more: %v, %v", p, err)
	}
}

// TestRemoveSlowFails checks that nothing is removed when the stop of a slow server fails at last.
func TestRemoveSlowFails(t *testing.T) {
	b := newBench(t)
	x := key(t, "alice:x")
	b.fleet.states["alice:x"], b.fleet.persistent["alice:x"] = servers.Ready, true
	b.fleet.stopErr = context.DeadlineExceeded // the launcher's own
	if _, err := b.RemoveServer(t.Context(), b.as(t, "alice"), x, true, time.Hour); !errors.Is(err, b.fleet.stopErr) {
		t.Errorf("a stop that fails: %v", err)
	}
	if err := b.removeStopping(t.Context(), x); !errors.Is(err, b.fleet.stopErr) {
		t.Errorf("a stop that fails in the background: %v", err)
	}
	if _, known, err := b.saved(t.Context(), x); !known || err != nil || !b.fleet.persistent["alice:x"] {
		t.Errorf("it is saved: %v, %v, and its container is there: %v", known, err, b.fleet.persistent)
	}
}

// TestRemove goes through the states in which a server is removed.
func TestRemove(t *testing.T) {
	tests := map[string]struct {
		key    string
		state  servers.State
		stop   bool
		config func(*Config)
		want   string
	}{
		"a stopped one":                  {"alice:x", "", false, nil, "ok"},
		"a running one":                  {"alice:x", servers.Ready, false, nil, "conflict running"},
		"a queued one":                   {"alice:x", servers.Queued, false, nil, "conflict starting"},
		"a running one, stopped":         {"alice:x", servers.Ready, true, nil, "ok"},
		"one that runs and is not saved": {"alice:y", servers.Ready, true, nil, "ok"},
		"the default one":                {"alice", "", true, nil, "invalid default-server"},
		"none":                           {"alice:y", "", true, nil, "not found no-server"},
		"none where none can be": {"alice:y", "", true, func(c *Config) { c.NamedServers = 0 },
			"not found named-servers-off"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.config == nil {
				tt.config = func(*Config) {}
			}
			b := newBench(t, tt.config)
			b.fleet.persistent[tt.key] = true
			if tt.state != "" {
				b.fleet.states[tt.key] = tt.state
			}
			_, err := b.RemoveServer(t.Context(), b.as(t, "alice"), key(t, tt.key), tt.stop, time.Minute)
			if got := outcome(err); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if b.fleet.persistent[tt.key] == (tt.want == "ok") {
				t.Errorf("its container is there: %v", b.fleet.persistent[tt.key])
			}
			if len(b.locks.held) > 0 {
				t.Errorf("locks are held: %v", b.locks.held)
			}
		})
	}
}

// TestRemoveStarted checks that a removal without a stop does not stop a server that was started while the removal
// waited for its turn.
func TestRemoveStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		alice, k := b.as(t, "alice"), key(t, "alice:x")
		release, err := b.locks.take(t.Context(), k, false)
		if err != nil {
			t.Fatal(err)
		}
		result := make(chan error)
		go func() {
			_, err := b.RemoveServer(t.Context(), alice, k, false, time.Minute)
			result <- err
		}()
		synctest.Wait()
		if err := b.fleet.Start(k, "p", servers.Options{}); err != nil {
			t.Fatal(err)
		}
		release()
		if got := outcome(<-result); got != "conflict starting" {
			t.Errorf("%s, want a conflict", got)
		}
		if state := b.fleet.Get(k).State; state != servers.Starting {
			t.Errorf("the server is %s", state)
		}
		if len(b.locks.held) > 0 {
			t.Errorf("locks are held: %v", b.locks.held)
		}
	})
}

// TestStop goes through how a stop can come out.
func TestStop(t *testing.T) {
	broken := errors.New("broken")
	tests := map[string]struct {
		by, key string
		state   servers.State
		slow    bool
		fails   error
		want    Progress
		refused string
		journal string // "event outcome"
	}{
		"a ready one":    {"alice", "alice:x", servers.Ready, false, nil, Done, "ok", "done"},
		"a starting one": {"alice", "alice:x", servers.Starting, false, nil, Done, "ok", "done"},
		"a stopped one":  {"alice", "alice:x", "", false, nil, WasStopped, "ok", ""},
		"a slow one":     {"alice", "alice:x", servers.Ready, true, nil, Continues, "ok", "continues"},
		"one that fails": {"alice", "alice:x", servers.Ready, false, broken, 0, "error", "failed"},
		"one that fails by its own time": {"alice", "alice:x", servers.Ready, false, context.DeadlineExceeded, 0,
			"error", "failed"},
		"none":                           {"alice", "alice:y", "", false, nil, 0, "not found no-server", ""},
		"the default one, never started": {"alice", "alice", "", false, nil, WasStopped, "ok", ""},
		"of a user whom nobody knows, by the operator": {"root", "carol:z", servers.Ready, false, nil, Done, "ok",
			"done"},
		"none of such a user, by the operator": {"root", "carol:z", "", false, nil, WasStopped, "ok", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			wait := time.Minute
			if tt.state != "" {
				b.fleet.states[tt.key] = tt.state
			}
			if b.fleet.stopErr = tt.fails; tt.slow {
				b.fleet.stopping, wait = make(chan struct{}), short
			}
			p, err := b.Stop(t.Context(), b.as(t, tt.by), key(t, tt.key), wait)
			if got := outcome(err); p != tt.want || got != tt.refused {
				t.Errorf("%v, %s; want %v, %s", p, got, tt.want, tt.refused)
			}
			lines := strings.Join(b.journal.all(), "\n")
			if tt.journal == "" && lines != "" || !strings.Contains(lines, tt.journal) {
				t.Errorf("the journal has %q", lines)
			}
		})
	}
}

// TestStopOfWhoIsGone checks that a request that ends is answered with its own error, and that the journal has the stop
// as one that continues: the manager does not give it up.
func TestStopOfWhoIsGone(t *testing.T) {
	b := newBench(t)
	b.fleet.states["alice:x"], b.fleet.stopping = servers.Ready, make(chan struct{})
	alice := b.as(t, "alice")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if p, err := b.Stop(ctx, alice, key(t, "alice:x"), 0); p != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", p, err)
	}
	if lines := strings.Join(b.journal.all(), "\n"); !strings.Contains(lines, "continues") {
		t.Errorf("the journal has %q", lines)
	}
}

// TestStopWaits checks that a stop waits as long as it was asked to.
func TestStopWaits(t *testing.T) {
	b := newBench(t)
	x := key(t, "alice:x")
	synctest.Test(t, func(t *testing.T) {
		b.fleet.states["alice:x"], b.fleet.stopping = servers.Ready, make(chan struct{})
		began := time.Now()
		if p, err := b.stop(t.Context(), x, 10*time.Second); p != Continues || err != nil {
			t.Errorf("%v, %v", p, err)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("waited %v", took)
		}
		b.fleet.stopping = nil
	})
}
