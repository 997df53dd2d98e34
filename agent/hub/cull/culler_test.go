package cull

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// host is servers that a test makes busy, silent or broken.
type host struct {
	mu       sync.Mutex
	table    map[ident.Key]servers.Server
	stopped  map[ident.Key]time.Duration // after the test's begin
	begin    time.Time
	report   Report
	askErr   error
	asked    int
	cores    float64 // of the processor in use
	cpu      bool    // whether the CPU time is known
	stopErr  error
	policy   Policy
	policErr error
}

func (h *host) List() []servers.Server {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []servers.Server
	for _, s := range h.table {
		all = append(all, s)
	}
	return all
}

func (h *host) Stop(_ context.Context, key ident.Key) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopErr != nil {
		return h.stopErr
	}
	h.stopped[key] = time.Since(h.begin)
	delete(h.table, key)
	return nil
}

func (h *host) Ask(context.Context, ident.Key) (Report, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	return h.report, h.askErr
}

func (h *host) cpuTime(context.Context, ident.Key) (time.Duration, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Duration(h.cores * float64(time.Since(h.begin))), h.cpu
}

// set changes the host under its lock.
func (h *host) set(change func(*host)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(h)
}

func key(t *testing.T, user string) ident.Key {
	t.Helper()
	k, err := ident.ParseKey(user, "")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// wish postpones the end; the request must succeed.
func wish(t *testing.T, c *Culler, user string) {
	t.Helper()
	if err := c.Postpone(key(t, user)); err != nil {
		t.Errorf("postpone: %v", err)
	}
}

// run starts a Culler over a host with alice's server, which polls each minute.
func run(t *testing.T, more func(*host, *Config)) (h *host, c *Culler, log *bytes.Buffer, end func()) {
	t.Helper()
	now := time.Now()
	alice := key(t, "alice")
	h = &host{begin: now, stopped: map[ident.Key]time.Duration{}, cpu: true,
		table:  map[ident.Key]servers.Server{alice: {Key: alice, State: servers.Ready, Started: now}},
		policy: Policy{Idle: time.Hour, Notice: 10 * time.Minute}}
	log = &bytes.Buffer{}
	cfg := Config{Servers: h, Ask: h, Every: time.Minute, CPUTime: h.cpuTime, BusyCPU: 0.05,
		Log:    slog.New(slog.NewTextHandler(log, nil)),
		Policy: func(context.Context, ident.User) (Policy, error) { return h.policy, h.policErr }}
	if more != nil {
		more(h, &cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	return h, c, log, func() { cancel(); <-done }
}

func TestLives(t *testing.T) {
	tests := map[string]struct {
		prepare func(*host, *Config)
		live    func(t *testing.T, h *host, c *Culler) // begins with the server's start
		want    time.Duration                          // of the stop; 0: none within a day
	}{
		"idle":      {want: time.Hour},
		"no notice": {prepare: func(h *host, _ *Config) { h.policy.Notice = 0 }, want: time.Hour},
		"reported": {live: func(t *testing.T, h *host, _ *Culler) {
			time.Sleep(20 * time.Minute)
			h.set(func(h *host) {
				s := h.table[key(t, "alice")]
				s.LastActivity = time.Now()
				h.table[s.Key] = s
			})
		}, want: 80 * time.Minute},
		"active by its own word, not yet reported": {live: func(_ *testing.T, h *host, _ *Culler) {
			time.Sleep(40 * time.Minute)
			h.set(func(h *host) { h.report.LastActivity = time.Now() })
		}, want: 100 * time.Minute},
		"a silent cell": {prepare: func(h *host, _ *Config) { h.report.Busy = true }},
		"a silent cell that ends": {prepare: func(h *host, _ *Config) { h.report.Busy = true },
			live: func(_ *testing.T, h *host, _ *Culler) {
				time.Sleep(3 * time.Hour)
				h.set(func(h *host) { h.report = Report{LastActivity: time.Now()} })
			}, want: 4 * time.Hour},
		"computes, and says it is idle": {prepare: func(h *host, _ *Config) { h.cores = 1 }},
		"ticks over":                    {prepare: func(h *host, _ *Config) { h.cores = 0.02 }, want: time.Hour},
		"unknown use of the processor":  {prepare: func(h *host, _ *Config) { h.cpu = false }, want: time.Hour},
		"use of the processor is off": {prepare: func(h *host, c *Config) { h.cores, c.BusyCPU = 1, 0 },
			want: time.Hour},
		"cannot be asked": {prepare: func(h *host, _ *Config) { h.askErr = errors.New("refused") }},
		"cannot be asked, too old": {prepare: func(h *host, _ *Config) {
			h.askErr, h.policy.MaxAge = errors.New("refused"), 2*time.Hour
		}, want: 4 * time.Hour},
		"busy and too old": {prepare: func(h *host, _ *Config) { h.report.Busy, h.policy.MaxAge = true, 2*time.Hour }},
		"busy and too old, told so": {prepare: func(h *host, _ *Config) {
			h.report.Busy, h.policy.MaxAge, h.policy.MaxAgeBusy = true, 2*time.Hour, true
		}, want: 2 * time.Hour},
		"no rule": {prepare: func(h *host, _ *Config) { h.policErr = errors.New("the directory is down") }},
		"postponed": {live: func(t *testing.T, _ *host, c *Culler) {
			time.Sleep(55*time.Minute + time.Second)
			if _, ok := c.Notice(key(t, "alice")); !ok {
				t.Error("there is no notice")
			}
			wish(t, c, "alice")
			if _, ok := c.Notice(key(t, "alice")); ok {
				t.Error("the notice stands though it was postponed")
			}
		}, want: 116 * time.Minute},
		"postponed, but too old": {prepare: func(h *host, _ *Config) {
			h.policy = Policy{MaxAge: time.Hour,
				Notice: 10 * time.Minute}
		},
			live: func(t *testing.T, _ *host, c *Culler) {
				time.Sleep(55*time.Minute + time.Second)
				wish(t, c, "alice")
			}, want: time.Hour},
		"traffic, never reported": {prepare: func(h *host, c *Config) {
			c.Traffic = func(ident.Key) time.Time { return h.begin.Add(30 * time.Minute) }
		}, want: 90 * time.Minute},
		"traffic, but reported": {prepare: func(h *host, c *Config) {
			for k, s := range h.table {
				s.LastActivity = h.begin.Add(time.Second)
				h.table[k] = s
			}
			c.Traffic = func(ident.Key) time.Time { return time.Now() }
		}, want: 61 * time.Minute},
		"started again": {live: func(t *testing.T, h *host, _ *Culler) {
			time.Sleep(55 * time.Minute)
			h.set(func(h *host) {
				k := key(t, "alice")
				h.table[k] = servers.Server{Key: k, State: servers.Ready, Started: time.Now()}
			})
		}, want: 115 * time.Minute},
		"not ready": {prepare: func(h *host, _ *Config) {
			for k, s := range h.table {
				s.State = servers.Waiting
				h.table[k] = s
			}
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, c, log, end := run(t, tt.prepare)
				defer end()
				if tt.live != nil {
					tt.live(t, h, c)
				}
				time.Sleep(time.Until(h.begin.Add(24 * time.Hour)))
				synctest.Wait()
				h.mu.Lock()
				defer h.mu.Unlock()
				if got := h.stopped[key(t, "alice")]; got != tt.want {
					t.Errorf("stopped after %v, want %v; log:\n%s", got, tt.want, log)
				}
			})
		})
	}
}

func TestNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reasons := make(chan string, 1)
		h, c, log, end := run(t, func(_ *host, c *Config) { c.OnCull = func(r string) { reasons <- r } })
		alice := key(t, "alice")
		time.Sleep(49*time.Minute + time.Second)
		h.set(func(h *host) {
			if n, ok := c.Notice(alice); ok || h.asked != 0 {
				t.Errorf("early: notice %v, asked %d times", n, h.asked)
			}
		})
		time.Sleep(time.Minute)
		if n, ok := c.Notice(alice); !ok || n != (Notice{At: h.begin.Add(time.Hour), Reason: ReasonIdle}) {
			t.Errorf("notice %+v, %v", n, ok)
		}
		h.set(func(h *host) { h.stopErr = errors.New("the launcher is down") })
		time.Sleep(10 * time.Minute)
		h.set(func(h *host) { h.stopErr = nil })
		time.Sleep(2 * time.Minute)
		if r := <-reasons; r != ReasonIdle {
			t.Errorf("counted for %q", r)
		}
		if n, ok := c.Notice(alice); ok {
			t.Errorf("the notice outlives the server: %v", n)
		}
		end()
		for event, want := range map[string]int{"event=server-cull-notice user=alice server=\"\" " +
			"reason=idle": 1, "event=server-cull-failed": 1,
			"event=server-culled user=alice server=\"\" reason=idle": 1, "WARN": 1} {
			if n := strings.Count(log.String(), event); n != want {
				t.Errorf("%d times in the log, want %d: %s\n%s", n, want, event, log)
			}
		}
	})
}

// TestTroubleIsSaidOnce checks that a server that cannot be asked, or whose rule is unknown, does not fill the journal.
func TestTroubleIsSaidOnce(t *testing.T) {
	tests := map[string]func(*host){
		"event=server-cull-unknown": func(h *host) { h.askErr = errors.New("refused") },
		"event=server-cull-unruled": func(h *host) { h.policErr = errors.New("the directory is down") },
	}
	for event, spoil := range tests {
		t.Run(event, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, _, log, end := run(t, func(h *host, _ *Config) { spoil(h) })
				time.Sleep(3 * time.Hour)
				end()
				if n := strings.Count(log.String(), event); n != 1 || strings.Count(log.String(), "\n") != 1 {
					t.Errorf("said %d times:\n%s", n, log)
				}
			})
		})
	}
}

// TestTouch checks that a postponed end is recorded.
func TestTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var touched []string
		_, c, _, end := run(t, func(_ *host, c *Config) {
			c.Touch = func(k ident.Key, at time.Time) { touched = append(touched, k.String()+time.Since(at).String()) }
		})
		defer end()
		wish(t, c, "alice")
		wish(t, c, "bob") // whose server does not run
		if diff := cmp.Diff([]string{"alice0s", "bob0s"}, touched); diff != "" {
			t.Errorf("touched (-want +got):\n%s", diff)
		}
	})
}

func TestSample(t *testing.T) {
	at := func(s time.Duration) time.Time { return t0.Add(s * time.Second) }
	used := time.Second
	tests := map[string]struct {
		before sample
		at     time.Time
		used   time.Duration
		want   sample
	}{
		"first":    {sample{}, at(0), used, sample{at(0), used, Unknown}},
		"too soon": {sample{at(0), used, No}, at(9), used + 9*time.Second, sample{at(0), used, No}},
		"busy": {sample{at(0), used, No}, at(10), used + 500*time.Millisecond,
			sample{at(10), used + 500*time.Millisecond, Yes}},
		"idle": {sample{at(0), used, Yes}, at(10), used + 499*time.Millisecond,
			sample{at(10), used + 499*time.Millisecond, No}},
		"began again": {sample{at(0), used, Yes}, at(10), 0, sample{at(10), 0, Unknown}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.before.next(tt.at, tt.used, 0.05),
				cmp.AllowUnexported(sample{})); diff != "" {
				t.Errorf("sample (-want +got):\n%s", diff)
			}
		})
	}
}
