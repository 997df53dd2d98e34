package actions

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
)

// TestCreateServer goes through the refusals.
func TestCreateServer(t *testing.T) {
	tests := map[string]struct {
		key, name string
		most      int
		want      string
	}{
		"a new one":              {"alice:y", "Y", 2, "ok"},
		"one that is saved":      {"alice:x", "", 2, "conflict server-exists"},
		"the default one":        {"alice", "", 2, "conflict default-server"},
		"where none can be":      {"alice:y", "", 0, "invalid named-servers-off"},
		"one too many":           {"alice:y", "", 1, "limit too-many-servers"},
		"with an odd name":       {"alice:y", "\x00", 2, "invalid unshowable display_name"},
		"of a user nobody knows": {"carol:y", "", 2, "not found no-user"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(c *Config) { c.NamedServers = tt.most })
			err := b.CreateServer(t.Context(), b.as(t, "dora"), key(t, tt.key), tt.name, map[string]any{"profile": "p"})
			if got := outcome(err); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if len(b.locks.held) > 0 || len(b.fleet.starts) > 0 {
				t.Errorf("locks are held: %v, or it was started: %v", b.locks.held, b.fleet.starts)
			}
			if tt.want != "ok" {
				return
			}
			rec, known, err := b.saved(t.Context(), key(t, tt.key))
			if got := fmt.Sprint(rec.DisplayName, rec.UserOptions); !known || err != nil || got != "Ymap[profile:p]" {
				t.Errorf("saved %v %s, %v", known, got, err)
			}
		})
	}
}

// TestCreateRemoved checks that a server is not made again while it is removed.
func TestCreateRemoved(t *testing.T) {
	b := newBench(t)
	if _, err := b.locks.take(t.Context(), key(t, "alice:y"), true); err != nil {
		t.Fatal(err)
	}
	if got := outcome(b.CreateServer(t.Context(), b.as(t, "alice"), key(t, "alice:y"), "", nil)); got !=
		"conflict stopping" {
		t.Error(got)
	}
}

// TestChangeServer goes through changes and their refusals, renames among them.
func TestChangeServer(t *testing.T) {
	display := func(s string) ServerChange { return ServerChange{DisplayName: &s} }
	named := func(t *testing.T, s string) ServerChange {
		name := key(t, "alice:"+s).Server
		return ServerChange{Name: &name}
	}
	state := func(name string, s servers.State) func(b *bench) {
		return func(b *bench) { b.fleet.states[name] = s }
	}
	persistent := func(name string) func(b *bench) { return func(b *bench) { b.fleet.persistent[name] = true } }
	off := func(b *bench) { b.cfg.NamedServers = 0 }
	tests := map[string]struct {
		key    string
		setup  func(b *bench)
		change func(t *testing.T) ServerChange
		want   string
		saved  string // "key display name options" of the server after it
	}{
		"display name": {"alice:x", nil, func(*testing.T) ServerChange { return display("X") }, "ok",
			"alice:x X map[profile:old]"},
		"the same name": {"alice:x", nil, func(t *testing.T) ServerChange { return named(t, "x") }, "ok",
			"alice:x x map[profile:old]"},
		"no display name": {"alice:x", nil, func(*testing.T) ServerChange { return display("") }, "ok",
			"alice:x x map[profile:old]"},
		"odd display name": {"alice:x", nil, func(*testing.T) ServerChange { return display("\n") },
			"invalid unshowable display_name", "alice:x x map[profile:old]"},
		"options": {"alice:x", nil, func(*testing.T) ServerChange {
			return ServerChange{Options: map[string]any{"a": "b"}}
		}, "ok", "alice:x x map[a:b]"},
		"the default one, never started": {"alice", nil, func(*testing.T) ServerChange { return display("D") }, "ok",
			"alice D map[]"},
		"none":   {"alice:y", nil, func(*testing.T) ServerChange { return display("D") }, "not found no-server", ""},
		"nobody": {"carol", nil, func(*testing.T) ServerChange { return display("D") }, "not found no-user", ""},
		"one that runs": {"alice:x", state("alice:x", servers.Ready),
			func(*testing.T) ServerChange { return display("D") },
			"conflict running", "alice:x x map[profile:old]"},
		"one that is queued": {"alice:x", state("alice:x", servers.Queued),
			func(*testing.T) ServerChange { return display("D") }, "conflict starting", "alice:x x map[profile:old]"},
		"where none can be": {"alice:x", off, func(*testing.T) ServerChange { return display("D") },
			"invalid named-servers-off", "alice:x x map[profile:old]"},

		"rename": {"alice:x", nil, func(t *testing.T) ServerChange { return named(t, "y") }, "ok",
			"alice:y y map[profile:old]"},
		"rename with a display name": {"alice:x", nil, func(t *testing.T) ServerChange {
			c := display("D")
			c.Name, c.Options = named(t, "y").Name, map[string]any{"a": "b"}
			return c
		}, "ok", "alice:y D map[a:b]"},
		"rename to the default one": {"alice:x", nil, func(t *testing.T) ServerChange { return named(t, "") },
			"invalid default-server", "alice:x x map[profile:old]"},
		"rename the default one": {"alice", nil, func(t *testing.T) ServerChange { return named(t, "y") },
			"invalid default-server", ""},
		"rename of none": {"alice:z", nil, func(t *testing.T) ServerChange { return named(t, "y") },
			"not found no-server", ""},
		"rename where none can be": {"alice:x", off, func(t *testing.T) ServerChange { return named(t, "y") },
			"invalid named-servers-off", "alice:x x map[profile:old]"},
		"rename one that runs": {"alice:x", state("alice:x", servers.Ready),
			func(t *testing.T) ServerChange { return named(t, "y") }, "conflict running", "alice:x x map[profile:old]"},
		"rename to one that is saved": {"alice:x", func(b *bench) {
			_ = b.db.UpsertServer(context.Background(), store.Server{Key: at("alice:y")})
		}, func(t *testing.T) ServerChange { return named(t, "y") }, "conflict server-exists",
			"alice:x x map[profile:old]"},
		"rename to one that runs": {"alice:x", state("alice:y", servers.Ready),
			func(t *testing.T) ServerChange { return named(t, "y") }, "conflict server-exists",
			"alice:x x map[profile:old]"},
		"rename with a persistent container": {"alice:x", persistent("alice:x"),
			func(t *testing.T) ServerChange { return named(t, "y") }, "conflict persistent",
			"alice:x x map[profile:old]"},
		"rename to a name with a persistent container": {"alice:x", persistent("alice:y"),
			func(t *testing.T) ServerChange { return named(t, "y") }, "conflict persistent",
			"alice:x x map[profile:old]"},
		"rename while nobody knows": {"alice:x", func(b *bench) { b.fleet.persistErr = errors.New("silent") },
			func(t *testing.T) ServerChange { return named(t, "y") }, "error", "alice:x x map[profile:old]"},
		"rename while it is removed": {"alice:x", func(b *bench) {
			_, _ = b.locks.take(context.Background(), at("alice:x"), true)
		}, func(t *testing.T) ServerChange { return named(t, "y") }, "conflict stopping", "alice:x x map[profile:old]"},
		"rename to one that is removed": {"alice:x", func(b *bench) {
			_, _ = b.locks.take(context.Background(), at("alice:y"), true)
		}, func(t *testing.T) ServerChange { return named(t, "y") }, "conflict stopping", "alice:x x map[profile:old]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if tt.setup != nil {
				tt.setup(b)
			}
			before := len(b.locks.held)
			change := tt.change(t)
			if got := outcome(b.ChangeServer(t.Context(), b.as(t, "dora"), key(t, tt.key), change)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if len(b.locks.held) != before {
				t.Errorf("locks are held: %v", b.locks.held)
			}
			k := key(t, tt.key)
			if change.Name != nil && tt.want == "ok" {
				k.Server = *change.Name
			}
			saved := ""
			if rec, known, err := b.saved(t.Context(), k); err != nil {
				t.Fatal(err)
			} else if known {
				saved = fmt.Sprint(rec.Key, " ", rec.DisplayName, " ", rec.UserOptions)
			}
			if saved != tt.saved {
				t.Errorf("saved %q, want %q", saved, tt.saved)
			}
		})
	}
}

// TestRenameTakesShares checks that those with whom a server was shared keep it under its new name.
func TestRenameTakesShares(t *testing.T) {
	b := newBench(t)
	x, y := key(t, "alice:x"), key(t, "alice:y")
	if err := b.ChangeServer(t.Context(), b.as(t, "alice"), x, ServerChange{Name: &y.Server}); err != nil {
		t.Fatal(err)
	}
	bob := b.as(t, "bob")
	if bob.MayServer(x, "access:servers") || !bob.MayServer(y, "access:servers") {
		t.Errorf("bob may open %v", bob.Scopes().Sorted())
	}
	code, err := b.ExchangeCode(t.Context(), b.as(t, "dora"), "secret")
	if err != nil || code.Key != y {
		t.Errorf("the code shares %v, %v", code.Key, err)
	}
}

// TestRenamesCross renames two servers to each other's names at once: none waits for the other for ever.
func TestRenamesCross(t *testing.T) {
	b := newBench(t)
	alice, x, y := b.as(t, "alice"), key(t, "alice:x"), key(t, "alice:y")
	if err := b.CreateServer(t.Context(), alice, y, "", nil); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { _ = b.ChangeServer(t.Context(), alice, x, ServerChange{Name: &y.Server}) })
		wg.Go(func() { _ = b.ChangeServer(t.Context(), alice, y, ServerChange{Name: &x.Server}) })
	}
	wg.Wait()
	all, err := b.db.ServersOf(t.Context(), x.User)
	if err != nil || len(all) != 2 {
		t.Errorf("there are %d servers, %v", len(all), err)
	}
}

// TestReset goes through the states of a server.
func TestReset(t *testing.T) {
	broken := errors.New("broken")
	tests := map[string]struct {
		by, key      string
		state        servers.State
		stop         bool
		persistent   bool
		stopErr, err error
		want         string
		journal      int // entries
	}{
		"a stopped one": {"alice", "alice:x", "", false, true, nil, nil, "ok", 1},
		"one without a container": {"alice", "alice:x", "", false, false, nil, nil, "not found nothing-to-reset",
			0},
		"a ready one": {"alice", "alice:x", servers.Ready, false, true, nil, nil, "conflict running",
			0},
		"a starting one": {"alice", "alice:x", servers.Starting, false, true, nil, nil,
			"conflict starting", 0},
		"a ready one, stopped":   {"alice", "alice:x", servers.Ready, true, true, nil, nil, "ok", 1},
		"a stopped one, stopped": {"alice", "alice:x", "", true, true, nil, nil, "ok", 1},
		"a ready one without a container, stopped": {"alice", "alice:x", servers.Ready, true, false, nil, nil,
			"not found nothing-to-reset", 1},
		"one that does not stop":         {"alice", "alice:x", servers.Ready, true, true, broken, nil, "error", 1},
		"one that fails":                 {"alice", "alice:x", "", false, true, nil, broken, "error", 1},
		"none":                           {"alice", "alice:y", "", false, true, nil, nil, "not found no-server", 0},
		"an unsaved one by the operator": {"root", "carol:z", "", false, true, nil, nil, "ok", 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.fleet.persistent[tt.key], b.fleet.stopErr, b.fleet.resetErr = tt.persistent, tt.stopErr, tt.err
			if tt.state != "" {
				b.fleet.states[tt.key] = tt.state
			}
			if got := outcome(b.Reset(t.Context(), b.as(t, tt.by), key(t, tt.key), tt.stop)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if lines := b.journal.all(); len(lines) != tt.journal {
				t.Errorf("the journal has %v", lines)
			}
		})
	}
}

// TestPostpone goes through the refusals.
func TestPostpone(t *testing.T) {
	tests := map[string]struct {
		key   string
		state servers.State
		err   error
		off   bool
		want  string
	}{
		"a ready one":    {"alice:x", servers.Ready, nil, false, "ok"},
		"a stopped one":  {"alice:x", "", nil, false, "conflict not-running"},
		"a starting one": {"alice:x", servers.Starting, nil, false, "conflict not-running"},
		"none":           {"alice:y", "", nil, false, "not found no-server"},
		"once more": {"alice:x", servers.Ready, fmt.Errorf("x: %w", cull.ErrPostponedBefore), false,
			"conflict postponed"},
		"broken":          {"alice:x", servers.Ready, errors.New("broken"), false, "error"},
		"where none ends": {"alice:x", servers.Ready, nil, true, "unavailable switched-off"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.postponed = tt.err
			if tt.off {
				b.cfg.Postpone = nil
			}
			if tt.state != "" {
				b.fleet.states[tt.key] = tt.state
			}
			if got := outcome(b.Postpone(t.Context(), b.as(t, "alice"), key(t, tt.key))); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// TestOpenServer checks that only another's server leaves an entry.
func TestOpenServer(t *testing.T) {
	b := newBench(t)
	x := key(t, "alice:x")
	for _, name := range []string{"alice", "bob", "dora"} {
		if err := b.OpenServer(t.Context(), b.as(t, name), x); err != nil {
			t.Error(name, err)
		}
	}
	want := []string{"WARN event=server-opened by=bob by_kind=user outcome=done request=r1 user=alice server=x",
		"WARN event=server-opened by=dora by_kind=user outcome=done request=r1 user=alice server=x"}
	if diff := cmp.Diff(want, b.journal.all()); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}
