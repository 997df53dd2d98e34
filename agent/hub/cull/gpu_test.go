package cull

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func TestUses(t *testing.T) {
	load := func(busy float64) backend.Load { return backend.Load{Known: true, Busy: busy} }
	alice, bob := key(t, "alice"), key(t, "bob")
	both := func(mine, theirs uint32) []backend.Holder {
		return []backend.Holder{{Key: alice, Processes: mine}, {Key: bob, Processes: theirs}}
	}
	strange := func(unit string) []backend.Process { return []backend.Process{{PID: 7, Unit: unit}} }
	const one, shared, open = backend.Exclusive, backend.Shared, backend.Open
	tests := map[string]struct {
		devices []backend.Device
		want    gpuUse
	}{
		"none": {nil, gpuUse{true, false, No, No}},
		"another's": {[]backend.Device{{Sharing: one, Now: load(1), Holders: both(0, 1)[1:]}},
			gpuUse{true, false, No, No}},
		"at rest": {[]backend.Device{{Sharing: one, Now: load(0.049), Holders: both(1, 0)[:1]}},
			gpuUse{false, true, No, No}},
		"in use": {[]backend.Device{{Sharing: one, Now: load(0.05), Holders: both(0, 0)[:1]}},
			gpuUse{false, true, Yes, Yes}},
		"unknown": {[]backend.Device{{Sharing: one, Holders: both(3, 0)[:1]}},
			gpuUse{false, true, Unknown, Unknown}},
		"one of two": {[]backend.Device{{Sharing: one, Now: load(0), Holders: both(0, 0)[:1]},
			{Sharing: one, Now: load(1), Holders: both(0, 0)[:1]}}, gpuUse{false, true, Yes, Yes}},
		"one is unknown": {[]backend.Device{{Sharing: one, Now: load(0), Holders: both(0, 0)[:1]},
			{Sharing: one, Holders: both(0, 0)[:1]}}, gpuUse{false, true, Unknown, Unknown}},
		"shared, by this": {[]backend.Device{{Sharing: shared, Now: load(1), Holders: both(1, 0)}},
			gpuUse{false, true, Yes, Yes}},
		"shared, by other": {[]backend.Device{{Sharing: shared, Now: load(1), Holders: both(0, 2)}},
			gpuUse{false, true, No, No}},
		"shared, by both": {[]backend.Device{{Sharing: shared, Now: load(1), Holders: both(1, 2)}},
			gpuUse{false, true, Yes, Yes}},
		"shared, at rest": {[]backend.Device{{Sharing: shared, Now: load(0), Holders: both(1, 2)}},
			gpuUse{false, true, No, No}},
		"shared, nobody knows by whom": {[]backend.Device{{Sharing: shared, Now: load(1), Holders: both(0, 0)}},
			gpuUse{false, true, Unknown, Unknown}},
		"shared, by a process of no known unit": {[]backend.Device{{Sharing: shared, Now: load(1), Holders: both(0, 2),
			Strangers: strange("")}},
			gpuUse{false, true, Unknown, Unknown}},
		"shared, by a stranger": {[]backend.Device{{Sharing: shared, Now: load(1), Holders: both(0, 0),
			Strangers: strange("x.service")}},
			gpuUse{false, true, No, No}},
		"open, in use": {[]backend.Device{{Sharing: open, Now: load(1), Holders: both(1, 0)}},
			gpuUse{false, false, No, Yes}},
		"open, by another, beside a leased one at rest": {[]backend.Device{{Sharing: open, Now: load(1),
			Holders: both(0, 1)}, {Sharing: one, Now: load(0), Holders: both(0, 0)[:1]}},
			gpuUse{false, true, No, No}},
		"open, in use, beside a leased one at rest": {[]backend.Device{{Sharing: open, Now: load(1),
			Holders: both(1, 1)}, {Sharing: one, Now: load(0), Holders: both(0, 0)[:1]}},
			gpuUse{false, true, No, Yes}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, useOf(backend.GPUs{Devices: tt.devices}, alice, 0.05),
				cmp.AllowUnexported(gpuUse{})); diff != "" {
				t.Errorf("use (-want +got):\n%s", diff)
			}
		})
	}
}

// card is a device that alice's server holds until it is started without the device.
type card struct {
	mu      sync.Mutex
	load    backend.Load
	sharing backend.Sharing
	fails   error
	asked   int
	gone    bool
	again   []string // profiles with which the server was started again, and when
}

func (c *card) set(change func(*card)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
}

func (c *card) gpus(t *testing.T) func(context.Context) (backend.GPUs, error) {
	return func(context.Context) (backend.GPUs, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asked++
		d := backend.Device{Name: "nvidia.com/gpu=0", Sharing: c.sharing, Now: c.load}
		if !c.gone {
			d.Holders = []backend.Holder{{Key: key(t, "alice")}}
		}
		return backend.GPUs{Devices: []backend.Device{d}}, c.fails
	}
}

// drawer saves what a Culler saves in the database.
type drawer struct {
	mu   sync.Mutex
	uses map[ident.Key]store.GPUUse
}

func (d *drawer) GPUUses(context.Context) ([]store.GPUUse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.uses)), nil
}

func (d *drawer) SaveGPUUse(_ context.Context, u store.GPUUse) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.uses[u.Key] = u
	return nil
}

// withCard returns alice's server with an unused device, which is released after two hours.
func withCard(t *testing.T, c *card, more func(*host, *Config)) func(*host, *Config) {
	c.load, c.sharing = backend.Load{Known: true}, backend.Exclusive
	return func(h *host, cfg *Config) {
		h.policy = Policy{GPUIdle: 2 * time.Hour, GPURestart: true, Notice: 10 * time.Minute}
		for k, s := range h.table {
			s.Profile = "lab"
			h.table[k] = s
		}
		cfg.GPUs, cfg.BusyGPU = c.gpus(t), 0.05
		cfg.StartWithoutGPUs = func(k ident.Key, profile string) error {
			c.set(func(c *card) {
				c.gone = true
				c.again = append(c.again, k.String()+" "+profile+" "+time.Since(h.begin).String())
			})
			h.set(func(h *host) {
				h.table[k] = servers.Server{Key: k, State: servers.Ready, Profile: profile, Started: time.Now()}
			})
			return nil
		}
		if more != nil {
			more(h, cfg)
		}
	}
}

func TestGPULives(t *testing.T) {
	hour := func(c *card) { c.load.Busy = 0.9 }
	tests := map[string]struct {
		prepare func(*host, *Config, *card)
		live    func(t *testing.T, h *host, c *Culler, d *card)
		want    time.Duration // of the stop; 0: none within a day
		again   []string
	}{
		"never used": {want: 2 * time.Hour, again: []string{"alice lab 2h0m0s"}},
		"used for a while": {live: func(_ *testing.T, _ *host, _ *Culler, d *card) {
			d.set(hour)
			time.Sleep(3 * time.Hour)
			d.set(func(c *card) { c.load.Busy = 0.01 })
		}, want: 5 * time.Hour, again: []string{"alice lab 5h0m0s"}},
		"a burst between two looks at the servers": {live: func(_ *testing.T, _ *host, _ *Culler, d *card) {
			time.Sleep(time.Hour + 15*time.Second)
			d.set(hour)
			time.Sleep(10 * time.Second)
			d.set(func(c *card) { c.load.Busy = 0 })
		}, want: 3*time.Hour + time.Minute, again: []string{"alice lab 3h1m0s"}},
		"used in time": {live: func(t *testing.T, h *host, c *Culler, d *card) {
			time.Sleep(115*time.Minute + time.Second)
			if n, _ := c.Notice(key(t, "alice")); n.Reason != ReasonGPU || !n.Restart || n.Postponed ||
				!n.Unused.Equal(h.begin) {
				t.Errorf("the notice is %+v", n)
			}
			d.set(hour)
			time.Sleep(time.Minute)
			if n, ok := c.Notice(key(t, "alice")); ok {
				t.Errorf("the notice stands though the device is used: %+v", n)
			}
		}},
		"at rest, but a kernel works":      {prepare: func(h *host, _ *Config, _ *card) { h.report.Busy = true }},
		"at rest, but the processor works": {prepare: func(h *host, _ *Config, _ *card) { h.cores = 1 }},
		"stopped": {prepare: func(h *host, _ *Config, _ *card) { h.policy.GPURestart = false },
			want: 2 * time.Hour},
		"open to all": {prepare: func(_ *host, _ *Config,
			c *card) {
			c.sharing = backend.Open
		}},
		"load unknown": {prepare: func(h *host, _ *Config, c *card) {
			c.load.Known,
				h.policy.Idle = false, time.Hour
		}},
		"launcher down": {prepare: func(h *host, _ *Config, c *card) {
			c.fails,
				h.policy.Idle = errors.New("no answer"), time.Hour
		}},
		"launcher down, but holds none": {prepare: func(h *host, _ *Config, c *card) {
			c.gone, h.policy.Idle = true,
				time.Hour
		},
			live: func(_ *testing.T, _ *host, _ *Culler, d *card) {
				time.Sleep(10 * time.Minute)
				d.set(func(c *card) { c.fails = errors.New("no answer") })
			}, want: time.Hour},
		"launcher down for a moment": {live: func(_ *testing.T, _ *host, _ *Culler, d *card) {
			time.Sleep(90*time.Minute + time.Second)
			d.set(func(c *card) { c.fails = errors.New("no answer") })
			time.Sleep(45 * time.Second)
			d.set(func(c *card) { c.fails = nil })
		}, want: 2 * time.Hour, again: []string{"alice lab 2h0m0s"}},
		"launcher down for a while": {live: func(_ *testing.T, _ *host, _ *Culler, d *card) {
			time.Sleep(90*time.Minute + time.Second)
			d.set(func(c *card) { c.fails = errors.New("no answer") })
			time.Sleep(5 * time.Minute)
			d.set(func(c *card) { c.fails = nil })
		}, want: 215 * time.Minute, again: []string{"alice lab 3h35m0s"}},
		"GPUs are not looked at": {prepare: func(_ *host, c *Config, _ *card) { c.BusyGPU = 0 }},
		"busy GPU, idle for people": {prepare: func(h *host, _ *Config, c *card) {
			c.load.Busy, h.policy.Idle = 0.5,
				time.Hour
		}},
		"postponed": {live: func(t *testing.T, h *host, c *Culler, _ *card) {
			time.Sleep(115*time.Minute + time.Second)
			wish(t, c, "alice")
			if _, ok := c.Notice(key(t, "alice")); ok {
				t.Error("the notice stands though it was postponed")
			}
			time.Sleep(112 * time.Minute)
			n, ok := c.Notice(key(t, "alice"))
			if !ok || n.MayPostpone() || !n.Unused.Equal(h.begin) {
				t.Errorf("the second notice is %+v", n)
			}
			if err := c.Postpone(key(t, "alice")); !errors.Is(err, ErrPostponedBefore) {
				t.Errorf("postponed twice: %v", err)
			}
		}, want: 236 * time.Minute, again: []string{"alice lab 3h56m0s"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				card := &card{}
				h, c, log, end := run(t, withCard(t, card, func(h *host, cfg *Config) {
					if tt.prepare != nil {
						tt.prepare(h, cfg, card)
					}
				}))
				defer end()
				if tt.live != nil {
					tt.live(t, h, c, card)
				}
				time.Sleep(time.Until(h.begin.Add(24*time.Hour + time.Second)))
				synctest.Wait()
				h.mu.Lock()
				defer h.mu.Unlock()
				if got := h.stopped[key(t, "alice")]; got != tt.want {
					t.Errorf("stopped after %v, want %v; log:\n%s", got, tt.want, log)
				}
				if diff := cmp.Diff(tt.again, card.again); diff != "" {
					t.Errorf("started again (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestGPUHubRestart checks what a new process of the hub knows of a running server.
func TestGPUHubRestart(t *testing.T) {
	tests := map[string]struct {
		down      time.Duration // between two processes of the hub
		postponed bool
		want      time.Duration // of the stop after the server's start; the hub was stopped after 116 minutes
	}{
		"reload":           {want: 128*time.Minute + time.Second}, // announced again
		"down for longer":  {down: time.Hour, want: 117*time.Minute + time.Hour + 2*time.Hour + time.Second},
		"postponed before": {postponed: true, want: 235*time.Minute + time.Second},
		"postponed before a longer outage": {postponed: true, down: time.Hour,
			want: 117*time.Minute + time.Hour + 2*time.Hour + time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				card, memory := &card{}, &drawer{uses: map[ident.Key]store.GPUUse{}}
				keep := func(_ *host, cfg *Config) { cfg.Memory = memory }
				first, c, _, end := run(t, withCard(t, card, keep))
				time.Sleep(115*time.Minute + time.Second)
				if tt.postponed {
					wish(t, c, "alice")
				}
				time.Sleep(time.Minute)
				end()
				time.Sleep(tt.down)
				h, c, _, end := run(t, withCard(t, card, keep))
				defer end()
				h.set(func(h *host) { h.begin, h.table = first.begin, first.table })
				time.Sleep(time.Until(first.begin.Add(tt.want - 2*time.Minute)))
				if n, ok := c.Notice(key(t, "alice")); !ok || n.Postponed != tt.postponed {
					t.Errorf("notice %v: %+v", ok, n)
				}
				if err := c.Postpone(key(t, "nobody")); err != nil {
					t.Error(err)
				}
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				h.mu.Lock()
				defer h.mu.Unlock()
				if got := h.stopped[key(t, "alice")]; got != tt.want {
					t.Errorf("stopped after %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// TestGPUTrouble checks what the journal says, and how often devices are read.
func TestGPUTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gpu := &card{}
		h, _, log, end := run(t, withCard(t, gpu, func(_ *host, cfg *Config) {
			cfg.StartWithoutGPUs = func(ident.Key, string) error { return errors.New("the policy is gone") }
		}))
		time.Sleep(10 * time.Minute)
		gpu.set(func(c *card) {
			if c.asked < 55 || c.asked > 65 {
				t.Errorf("asked %d times in 10 minutes", c.asked)
			}
			c.fails = errors.New("no answer")
		})
		time.Sleep(10 * time.Minute)
		gpu.set(func(c *card) { c.fails = nil })
		time.Sleep(3 * time.Hour)
		h.set(func(h *host) {
			if len(h.stopped) != 1 {
				t.Errorf("stopped: %v", h.stopped)
			}
		})
		gpu.set(func(c *card) { c.asked = 0 })
		time.Sleep(time.Hour)
		gpu.set(func(c *card) {
			if c.asked < 59 || c.asked > 61 { // the ends of the hour may coincide with readings
				t.Errorf("asked %d times in an hour in which nobody held a device", c.asked)
			}
		})
		end()
		for event, want := range map[string]int{"event=gpu-use-unknown": 1, "event=server-restart-failed": 1,
			"event=server-culled": 1,
			`msg="a server will be started again without GPU" event=server-cull-notice user=alice server="" ` +
				`reason=gpu-idle`: 1} {
			if n := strings.Count(log.String(), event); n != want {
				t.Errorf("%d times in the log, want %d: %s\n%s", n, want, event, log)
			}
		}
	})
}
