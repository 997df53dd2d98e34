package cull

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func TestDecideAfterTheLoss(t *testing.T) {
	const h, m = time.Hour, time.Minute
	left := func(o Observation) Observation { o.Leaves = after(3 * h); return o }
	idle := Policy{Idle: 2 * h, Notice: 10 * m}
	gpu := Policy{GPUIdle: h, GPURestart: true, Notice: 10 * m}
	for name, tt := range map[string]struct {
		policy Policy
		seen   Observation
		now    time.Time
		want   Decision
	}{
		"announced at once": {Policy{}, left(Observation{Busy: Yes}), after(2 * h),
			Decision{Announce, after(3 * h), ReasonAccessLost}},
		"exempt or not": {Policy{Exempt: true}, left(Observation{}), after(3*h - 1),
			Decision{Announce, after(3 * h), ReasonAccessLost}},
		"its end": {Policy{Exempt: true}, left(Observation{Busy: Yes, Announced: after(3 * h),
			Reason: ReasonAccessLost}),
			after(3 * h), Decision{Cull, after(3 * h), ReasonAccessLost}},
		"an end that an earlier process announced": {Policy{}, left(Observation{}), after(9 * h),
			Decision{Cull, after(3 * h), ReasonAccessLost}},
		"idle before": {idle, left(Observation{Busy: No, Announced: after(2 * h), Reason: ReasonIdle}), after(2 * h),
			Decision{Cull, after(2 * h), ReasonIdle}},
		"idle later": {Policy{Idle: 4 * h, Notice: 2 * h}, left(Observation{Busy: No}), after(2 * h),
			Decision{Announce, after(3 * h), ReasonAccessLost}},
		"no start without its GPU": {gpu, left(Observation{Busy: No, HoldsGPU: true, Announced: after(h),
			Reason: ReasonGPU}), after(2 * h), Decision{Announce, after(3 * h), ReasonAccessLost}},
		"back": {Policy{}, Observation{Announced: after(3 * h), Reason: ReasonAccessLost}, after(3 * h), Decision{}},
		"back, and idle: announced for the whole notice": {idle, Observation{Busy: No, Announced: after(3 * h),
			Reason: ReasonAccessLost}, after(3 * h), Decision{Announce, after(3*h + 10*m), ReasonIdle}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Decide(tt.now, tt.policy, tt.seen)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// gone is what is known of alice.
type gone struct {
	h     *host
	since time.Time
	err   error
	sure  bool
	asked int
}

func (g *gone) LostSince(context.Context, ident.User) (time.Time, error) {
	g.h.mu.Lock()
	defer g.h.mu.Unlock()
	return g.since, g.err
}

func (g *gone) ConfirmLost(context.Context, ident.User) bool {
	g.h.mu.Lock()
	defer g.h.mu.Unlock()
	g.asked++
	return g.sure
}

// leaving starts a Culler without rules over a host with alice's server, which works.
func leaving(t *testing.T, more func(*host, *Config)) (h *host, g *gone, c *Culler, log interface{ String() string },
	end func()) {
	t.Helper()
	h, c, log, end = run(t, func(h *host, c *Config) {
		h.report.Busy, h.cores, h.policy = true, 1, Policy{Exempt: true}
		g = &gone{h: h, sure: true}
		c.Departures, c.Leaving, c.Every = g, time.Hour, 10*time.Minute
		if more != nil {
			more(h, c)
		}
	})
	return h, g, c, log, end
}

// TestAfterTheLoss checks when the working server of somebody who left ends: Leaving after the loss, not after the
// restart of the hub, and only if that they may not be here is certain then.
func TestAfterTheLoss(t *testing.T) {
	const h, m = time.Hour, time.Minute
	lose := func(c *Culler, g *gone, ago time.Duration) {
		g.h.set(func(*host) { g.since = time.Now().Add(-ago) })
		c.Wake()
	}
	for name, tt := range map[string]struct {
		more func(*host, *Config)
		live func(c *Culler, g *gone)
		want time.Duration // of the stop; 0: none within a day
	}{
		"present":    {nil, func(*Culler, *gone) {}, 0},
		"the period": {nil, func(c *Culler, g *gone) { time.Sleep(15 * m); lose(c, g, 0) }, 75 * m},
		"at once": {func(_ *host, c *Config) { c.Leaving = 0 },
			func(c *Culler, g *gone) { time.Sleep(15 * m); lose(c, g, 0) }, 15 * m},
		"a new process goes on":               {nil, func(c *Culler, g *gone) { lose(c, g, 40*m) }, 20 * m},
		"a new process, and the time is over": {nil, func(c *Culler, g *gone) { lose(c, g, 9*h) }, 1},
		"found again by a new process": {func(h *host, _ *Config) {
			alice := key(t, "alice")
			h.table[alice] = servers.Server{Key: alice, State: servers.Waiting}
		}, func(c *Culler, g *gone) {
			lose(c, g, 9*h)
			time.Sleep(25 * time.Second)
			g.h.set(func(h *host) {
				alice := key(t, "alice")
				h.table[alice] = servers.Server{Key: alice, State: servers.Ready, Started: g.h.begin}
			})
		}, 30 * time.Second},
		"back in time": {nil, func(c *Culler, g *gone) {
			lose(c, g, 0)
			time.Sleep(59 * m)
			g.h.set(func(*host) { g.since = time.Time{} })
			c.Wake()
		}, 0},
		"not certain for hours": {nil, func(c *Culler, g *gone) {
			g.h.set(func(*host) { g.sure = false })
			lose(c, g, 0)
			time.Sleep(5*h + m)
			g.h.set(func(*host) { g.sure = true })
		}, 5*h + 10*m},
		"not readable for hours": {nil, func(c *Culler, g *gone) {
			lose(c, g, 0)
			g.h.set(func(*host) { g.err = errors.New("disk full") })
			time.Sleep(5*h + m)
			g.h.set(func(*host) { g.err = nil })
		}, 5*h + 10*m},
		"without a rule": {func(h *host, _ *Config) { h.policErr = errors.New("no answer") },
			func(c *Culler, g *gone) { lose(c, g, 0) }, h},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, g, c, _, end := leaving(t, tt.more)
				tt.live(c, g)
				time.Sleep(24 * time.Hour)
				end()
				got, stopped := h.stopped[key(t, "alice")]
				if stopped != (tt.want > 0) || got.Round(time.Second) != tt.want.Round(time.Second) {
					t.Errorf("stopped: %v, after %v, want %v", stopped, got, tt.want)
				}
				if h.asked > 0 {
					t.Error("asked a server that can believe no token")
				}
			})
		})
	}
}

// TestTheLossIsAnnounced checks the notice and the events of a loss, and of the way back.
func TestTheLossIsAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, g, c, log, end := leaving(t, nil)
		alice, begun := key(t, "alice"), time.Now()
		h.set(func(*host) { g.since = begun })
		c.Wake()
		synctest.Wait()
		n, ok := c.Notice(alice)
		if want := (Notice{At: begun.Add(time.Hour), Reason: ReasonAccessLost}); !ok || n != want || n.MayPostpone() {
			t.Errorf("notice %+v, want %+v", n, want)
		}
		wish(t, c, "alice")
		if n, ok := c.Notice(alice); !ok || n.Reason != ReasonAccessLost {
			t.Errorf("postponed: %+v", n)
		}
		h.set(func(*host) { g.since = time.Time{} })
		c.Wake()
		synctest.Wait()
		if n, ok := c.Notice(alice); ok {
			t.Errorf("still announced: %+v", n)
		}
		end()
		for _, want := range []string{"event=server-cull-notice user=alice server=\"\" reason=access-lost",
			"event=server-cull-withdrawn user=alice server=\"\" reason=access-lost"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("no %q in the log:\n%s", want, log)
			}
		}
	})
}

// TestQueuedStartIsCancelled checks that nothing starts later for somebody who left meanwhile.
func TestQueuedStartIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, g, c, _, end := leaving(t, func(h *host, c *Config) {
			alice := key(t, "alice")
			h.table[alice] = servers.Server{Key: alice, State: servers.Queued}
			c.Log = slog.New(slog.DiscardHandler)
		})
		c.Wake()
		synctest.Wait()
		if len(h.stopped) > 0 {
			t.Error("cancelled the start of somebody who may be here")
		}
		h.set(func(*host) { g.since = time.Now() })
		c.Wake()
		synctest.Wait()
		if len(h.stopped) != 1 {
			t.Errorf("cancelled %v", h.stopped)
		}
		end()
	})
}
