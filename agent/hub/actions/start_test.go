package actions

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestStart goes through what a start asks for, in which state, and what comes of it.
func TestStart(t *testing.T) {
	long := strings.Repeat("x", 256)
	none := func(c *Config) { c.NamedServers = 0 }
	unbound := func(c *Config) { c.NamedServers = -1 }
	one := func(c *Config) { c.NamedServers = 1 }
	tests := map[string]struct {
		by     string
		state  servers.State
		config func(*Config)
		req    StartRequest
		key    string
		want   string
		starts string
		saved  string // display name, profile and options after it; "" for not saved
	}{
		"the last options": {"alice", "", nil, StartRequest{}, "alice:x", "ok", "alice:x old",
			"x old map[profile:old]"},
		"other options": {"alice", "", nil, StartRequest{Options: map[string]any{"profile": "new", "a": "b"}},
			"alice:x",
			"ok", "alice:x new", "x new map[a:b profile:new]"},
		"no options": {"alice", "", nil, StartRequest{Options: map[string]any{}}, "alice:x", "ok", "alice:x ",
			"x  map[]"},
		"null options": {"alice", "", nil, StartRequest{Options: map[string]any{"profile": nil, "without_gpus": nil}},
			"alice:x", "ok", "alice:x ", "x  map[profile:<nil> without_gpus:<nil>]"},
		"without devices": {"alice", "", nil, StartRequest{Options: map[string]any{"without_gpus": true}}, "alice:x",
			"ok",
			"alice:x  without", "x  map[without_gpus:true]"},
		"a choice": {"alice", "", nil, StartRequest{Choice: &Choice{Profile: "new", WithoutGPUs: true}}, "alice:x",
			"ok",
			"alice:x new without", "x new map[profile:new]"},
		"the policy's choice": {"alice", "", nil, StartRequest{Choice: &Choice{}}, "alice:x", "ok", "alice:x ",
			"x  map[profile:old]"},
		"a choice for a new server": {"alice", "", nil, StartRequest{Choice: &Choice{Profile: "new"}}, "alice:y", "ok",
			"alice:y new", "y new map[profile:new]"},
		"the default server": {"alice", "", none, StartRequest{}, "alice", "ok", "alice ", "  map[]"},
		"with a name": {"alice", "", nil, StartRequest{DisplayName: "Ü x"}, "alice:y", "ok", "alice:y ",
			"Ü x  map[]"},
		"another's, by an administrator": {"dora", "", nil, StartRequest{}, "alice:x", "ok", "alice:x old",
			"x old map[profile:old]"},
		"by the operator": {"root", "", none, StartRequest{Choice: &Choice{Profile: "big"}}, "carol:z", "ok",
			"carol:z big", ""},
		"by the operator with options": {"root", "", unbound, StartRequest{Options: map[string]any{"profile": "big"}},
			"carol:z", "ok", "carol:z big", "z big map[profile:big]"},
		"failed before": {"alice", servers.Failed, nil, StartRequest{}, "alice:x", "ok", "alice:x old",
			"x old map[profile:old]"},

		"profile of another type": {"alice", "", nil, StartRequest{Options: map[string]any{"profile": 7}}, "alice:x",
			"invalid bad-option user_options.profile", "", "x  map[profile:old]"},
		"without_gpus of another type": {"alice", "", nil, StartRequest{Options: map[string]any{"without_gpus": "yes"}},
			"alice:x", "invalid bad-option user_options.without_gpus", "", "x  map[profile:old]"},
		"a name that is too long": {"alice", "", nil, StartRequest{DisplayName: long}, "alice:y",
			"invalid too-long display_name", "", ""},
		"a name as long as can be": {"alice", "", nil, StartRequest{DisplayName: long[1:]}, "alice:y", "ok", "alice:y ",
			long[1:] + "  map[]"},
		"a name of two lines": {"alice", "", nil, StartRequest{DisplayName: "a\nb"}, "alice:y",
			"invalid unshowable display_name", "", ""},
		"a name that turns the line": {"alice", "", nil, StartRequest{DisplayName: "a\u202eb"}, "alice:y",
			"invalid unshowable display_name", "", ""},
		"a name that is not UTF-8": {"alice", "", nil, StartRequest{DisplayName: "a\xff"}, "alice:y",
			"invalid unshowable display_name", "", ""},
		"nobody's": {"dora", "", nil, StartRequest{}, "carol", "not found no-user", "", ""},
		"a named one where there is none": {"alice", "", none, StartRequest{}, "alice:x", "invalid named-servers-off",
			"",
			"x  map[profile:old]"},
		"one too many": {"alice", "", one, StartRequest{}, "alice:y", "limit too-many-servers", "", ""},
		"a saved one where there are too many": {"alice", "", one, StartRequest{}, "alice:x", "ok", "alice:x old",
			"x old map[profile:old]"},
		"without a bound": {"alice", "", unbound, StartRequest{}, "alice:y", "ok", "alice:y ", "y  map[]"},

		"a ready one": {"alice", servers.Ready, nil, StartRequest{}, "alice:x", "conflict running", "",
			"x  map[profile:old]"},
		"one that is starting": {"alice", servers.Starting, nil, StartRequest{}, "alice:x", "conflict starting", "",
			"x  map[profile:old]"},
		"one that is stopping": {"alice", servers.Stopping, nil, StartRequest{}, "alice:x", "conflict stopping", "",
			"x  map[profile:old]"},
		"a queued one": {"alice", servers.Queued, nil, StartRequest{}, "alice:x", "conflict starting", "",
			"x  map[profile:old]"},
		"a queued one without devices": {"alice", servers.Queued, nil,
			StartRequest{Options: map[string]any{"profile": "p", "without_gpus": true}}, "alice:x", "ok",
			"alice:x p without", "x p map[profile:p without_gpus:true]"},
		"a queued one by a choice without devices": {"alice", servers.Queued, nil,
			StartRequest{Choice: &Choice{Profile: "p", WithoutGPUs: true}}, "alice:x", "ok", "alice:x p without",
			"x p map[profile:p]"},
		"a queued one by a choice with devices": {"alice", servers.Queued, nil,
			StartRequest{Options: map[string]any{"without_gpus": true}, Choice: &Choice{Profile: "p"}}, "alice:x",
			"conflict starting", "", "x  map[profile:old]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.config == nil {
				tt.config = func(*Config) {}
			}
			b := newBench(t, tt.config)
			tt.req.Key = key(t, tt.key)
			if tt.state != "" {
				b.fleet.states[tt.key] = tt.state
			}
			if got := outcome(b.Start(t.Context(), b.as(t, tt.by), tt.req)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if got := strings.Join(b.fleet.starts, ", "); got != tt.starts {
				t.Errorf("started %q, want %q", got, tt.starts)
			}
			saved := ""
			if rec, known, err := b.saved(t.Context(), tt.req.Key); err != nil {
				t.Fatal(err)
			} else if known {
				saved = fmt.Sprint(rec.DisplayName, " ", rec.Profile, " ", rec.UserOptions)
			}
			if saved != tt.saved {
				t.Errorf("saved %q, want %q", saved, tt.saved)
			}
		})
	}
}

// TestStartFails checks that a start that fails, or that another one has begun, is an error.
func TestStartFails(t *testing.T) {
	b := newBench(t)
	b.fleet.startErr = errors.New("the hub is stopping")
	alice, req := b.as(t, "alice"), StartRequest{Key: key(t, "alice:x")}
	if err := b.Start(t.Context(), alice, req); !errors.Is(err, b.fleet.startErr) {
		t.Error(err)
	}
	want := []string{`INFO event=server-start-requested by=alice by_kind=user outcome=failed ` +
		`error=the hub is stopping request=r1 user=alice server=x profile=old`}
	if diff := cmp.Diff(want, b.journal.all()); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	b.fleet.startErr = fmt.Errorf("server x: %w", servers.ErrActive)
	if got := outcome(b.Start(t.Context(), alice, req)); got != "conflict starting" {
		t.Errorf("a start that another has begun: %s", got)
	}
}

// TestStartsAtOnce starts many named servers at the same time: no more are saved and started than a user may have.
func TestStartsAtOnce(t *testing.T) {
	b := newBench(t, func(c *Config) { c.NamedServers = 3 })
	alice := b.as(t, "alice")
	var started atomic.Int32
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			switch got := outcome(b.Start(t.Context(), alice,
				StartRequest{Key: key(t, fmt.Sprintf("alice:s%d", i))})); got {
			case "ok":
				started.Add(1)
			case "limit too-many-servers":
			default:
				t.Error(got)
			}
		})
	}
	wg.Wait()
	all, err := b.db.ServersOf(t.Context(), user(t, "alice"))
	if err != nil || len(all) != 3 || started.Load() != 2 || len(b.fleet.starts) != 2 {
		t.Errorf("%d servers are saved, %d starts were granted, %v begun, %v", len(all), started.Load(), b.fleet.starts,
			err)
	}
}

// TestSameServerAtOnce starts one server many times at once: it is started once.
func TestSameServerAtOnce(t *testing.T) {
	b := newBench(t)
	alice := b.as(t, "alice")
	var started atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got := outcome(b.Start(t.Context(), alice, StartRequest{Key: key(t, "alice:x")})); got == "ok" {
				started.Add(1)
			} else if got != "conflict starting" {
				t.Error(got)
			}
		})
	}
	wg.Wait()
	if started.Load() != 1 || len(b.fleet.starts) != 1 {
		t.Errorf("%d starts were granted, begun %v", started.Load(), b.fleet.starts)
	}
	if len(b.locks.held) > 0 {
		t.Errorf("locks are held at the end: %v", b.locks.held)
	}
}

// TestLock checks that nobody waits for a lock longer than their context lasts.
func TestLock(t *testing.T) {
	l := locks{held: map[ident.Key]*hold{}}
	k := key(t, "alice:x")
	release, err := l.take(t.Context(), k, false)
	if err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := l.take(ended, k, false); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait without time: %v", err)
	}
	if again, err := l.take(t.Context(), key(t, "alice:y"), true); err != nil {
		t.Error(err)
	} else {
		again()
	}
	taken := make(chan error, 1)
	go func() {
		again, err := l.take(t.Context(), k, true)
		if err == nil {
			again()
		}
		taken <- err
	}()
	release()
	if err := <-taken; err != nil {
		t.Error(err)
	}
}

// TestNobodyStartsForWhoLeft checks that no server starts for somebody who may not use the hub any more, whoever asks,
// and that another failure is no refusal.
func TestNobodyStartsForWhoLeft(t *testing.T) {
	alice := user(t, "alice")
	for name, tt := range map[string]struct {
		gone error
		want string
	}{
		"present":   {nil, "ok"},
		"left":      {&login.Denied{Reason: login.NotInGroup, User: alice, Detail: "cgs"}, "may-not-enter"},
		"not known": {errors.New("disk full"), "disk full"},
	} {
		for _, by := range []string{"alice", "dora", "root"} {
			t.Run(name+", by "+by, func(t *testing.T) {
				b := newBench(t)
				b.gone = map[string]error{"alice": tt.gone}
				err := b.Start(t.Context(), b.as(t, by), StartRequest{Key: ident.Key{User: alice}, Choice: &Choice{}})
				var refused *Refusal
				switch {
				case errors.As(err, &refused) && string(refused.Reason) == tt.want:
					if want := "for alice: alice is in no group that may use"; !strings.Contains(err.Error(), want) {
						t.Errorf("the words are %q", err)
					}
				case err == nil && tt.want == "ok", refused == nil && err != nil && err.Error() == tt.want:
				default:
					t.Errorf("Start: %v, want %s", err, tt.want)
				}
			})
		}
	}
}
