package gpus

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// asked is a launcher that counts, and answers what a test says.
type asked struct {
	mu     sync.Mutex
	n      int
	answer func(ctx context.Context, n int) (backend.GPUs, error)
}

func (a *asked) GPUs(ctx context.Context) (backend.GPUs, error) {
	a.mu.Lock()
	a.n++
	n := a.n
	a.mu.Unlock()
	return a.answer(ctx, n)
}

func (a *asked) times() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}

func key(t *testing.T, user string) ident.Key {
	t.Helper()
	k, err := ident.ParseKey(user, "")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newDesk(t *testing.T, cfg Config) *Desk {
	t.Helper()
	if cfg.UserName == nil {
		cfg.UserName = func(context.Context, uint32) (string, error) { return "", errors.New("none") }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestAskedSeldom simulates time and checks when the launcher is asked, what is returned, and what is logged.
func TestAskedSeldom(t *testing.T) {
	alice, now := key(t, "alice"), time.Unix(1e9, 0)
	a := &asked{answer: func(_ context.Context, n int) (backend.GPUs, error) {
		if n == 2 || n == 3 {
			return backend.GPUs{}, errors.New("no launcher")
		}
		return backend.GPUs{Devices: []backend.Device{{Name: "x/y=0",
			Holders: []backend.Holder{{Key: alice}}}}}, nil
	}}
	var log bytes.Buffer
	d := newDesk(t, Config{Backend: a, Now: func() time.Time { return now },
		Log: slog.New(slog.NewTextHandler(&log, nil))})
	if d.Any() {
		t.Error("there are devices before the launcher was asked")
	}
	for i, step := range []struct {
		after time.Duration
		asked int
		held  int
		err   bool
	}{
		{0, 1, 1, false}, {time.Second, 1, 1, false},
		{time.Second, 2, 0, true}, {time.Second, 2, 0, true}, {2 * time.Second, 3, 0, true},
		{2 * time.Second, 4, 1, false}, {-time.Hour, 5, 1, false}, // a clock that was set back
	} {
		now = now.Add(step.after)
		_, err := d.GPUs(t.Context())
		if held := len(d.Held(t.Context(), alice)); a.times() != step.asked || held != step.held ||
			(err != nil) != step.err || !d.Any() {
			t.Errorf("step %d: asked %d times, alice holds %d, error %v, any %v", i, a.times(), held, err, d.Any())
		}
	}
	if n := strings.Count(log.String(), "gpus-unknown"); n != 1 {
		t.Errorf("the log tells %d times:\n%s", n, log.String())
	}
}

// TestTogether has many ask at once, one of whom does not wait for the answer.
func TestTogether(t *testing.T) {
	let := make(chan struct{})
	a := &asked{answer: func(ctx context.Context, _ int) (backend.GPUs, error) {
		<-let
		return backend.GPUs{Broken: []backend.BrokenSpec{{File: "f"}}}, ctx.Err()
	}}
	d := newDesk(t, Config{Backend: a})
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := d.GPUs(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("who has left is told %v", err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if g, err := d.GPUs(t.Context()); err != nil || len(g.Broken) != 1 {
				t.Errorf("told %v, %v", g, err)
			}
		})
	}
	close(let)
	all.Wait()
	if a.times() != 1 || !d.Any() {
		t.Errorf("asked %d times, any: %v", a.times(), d.Any())
	}
}

// TestSilentLauncher checks that nobody waits forever, not even for a launcher that ignores its deadline.
func TestSilentLauncher(t *testing.T) {
	for name, want := range map[string]error{"obedient": context.DeadlineExceeded, "deaf": errSilent} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			end := t.Context() // over when the test is
			a := &asked{answer: func(ctx context.Context, _ int) (backend.GPUs, error) {
				if name == "deaf" {
					ctx = end
				}
				<-ctx.Done()
				return backend.GPUs{}, ctx.Err()
			}}
			d := newDesk(t, Config{Backend: a})
			begun := time.Now()
			if _, err := d.GPUs(t.Context()); !errors.Is(err, want) || time.Since(begun) > wait+slack+5*time.Second {
				t.Errorf("after %v: %v", time.Since(begun), err)
			}
			begun = time.Now()
			if _, err := d.GPUs(t.Context()); !errors.Is(err, want) || time.Since(begun) > wait/2 {
				t.Errorf("the second one, after %v: %v", time.Since(begun), err)
			}
		})
	}
}

func TestHarmless(t *testing.T) {
	long := strings.Repeat("ü", 5000)
	given := backend.GPUs{ToolError: "two\nlines\x1b[2J",
		Broken: []backend.BrokenSpec{{File: "/etc/cdi/a\u202egnp", Error: long}},
		Devices: []backend.Device{{Name: "x/y=0", Model: "\xffH\x00100 <b>", Health: " \t ",
			Now:  backend.Load{Known: true, Busy: math.NaN()},
			Hour: backend.Load{Busy: -1}, Busiest: backend.Load{Busy: 7},
			Strangers: []backend.Process{{PID: 1, Command: "\x1b]0;x\apython\r\n", Unit: long}}}}}
	want := backend.GPUs{ToolError: "two lines", Broken: []backend.BrokenSpec{{File: "/etc/cdi/agnp",
		Error: strings.Repeat("ü", maxText-1) + "…"}},
		Devices: []backend.Device{{Name: "x/y=0", Model: "\uFFFDH100 <b>", Now: backend.Load{Known: true},
			Busiest: backend.Load{Busy: 1},
			Strangers: []backend.Process{{PID: 1, Command: "python",
				Unit: strings.Repeat("ü", maxWord-1) + "…"}}}}}
	if diff := cmp.Diff(want, harmless(given)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if given.Devices[0].Strangers[0].PID != 1 || given.Devices[0].Strangers[0].Unit != long {
		t.Error("what was given has changed")
	}
}

func TestUser(t *testing.T) {
	now, n := time.Unix(1e9, 0), 0
	d := newDesk(t, Config{Backend: &asked{}, Now: func() time.Time { return now },
		UserName: func(_ context.Context, uid uint32) (string, error) {
			n++
			if uid == 7 {
				return "bob\x1b", nil
			}
			return "", errors.New("no such account")
		}})
	for _, tt := range []struct {
		uid   uint32
		after time.Duration
		want  string
		asked int
	}{{7, 0, "bob", 1}, {7, time.Minute, "bob", 1}, {8, 0, "uid 8", 2}, {7, userFresh, "bob", 3}} {
		now = now.Add(tt.after)
		if got := d.User(t.Context(), tt.uid); got != tt.want || n != tt.asked {
			t.Errorf("uid %d: %q after %d questions", tt.uid, got, n)
		}
	}
}

func TestWords(t *testing.T) {
	two := make([]backend.Holder, 2)
	for name, tt := range map[string]struct{ got, want string }{
		"exclusive": {Lent(backend.Device{Sharing: backend.Exclusive, Places: 1}), "one server"},
		"shared": {Lent(backend.Device{Sharing: backend.Shared, Places: 4, Holders: two}),
			"2 of 4 places taken"},
		"open":       {Lent(backend.Device{Sharing: backend.Open, Holders: two}), "open to all"},
		"a new word": {Lent(backend.Device{Sharing: "by\x1bturns"}), "byturns"},
		"too much":   {Size(math.MaxUint64), "9.2 EB"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", name, tt.got, tt.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("was made of nothing")
	}
}

func TestWhole(t *testing.T) {
	for share, want := range map[float64]int{0: 0, .0001: 1, .005: 1, .07: 7, .9999: 99, 1: 100, 1.5: 150} {
		if got := Whole(share); got != want {
			t.Errorf("%v is %d %%, want %d", share, got, want)
		}
	}
}
