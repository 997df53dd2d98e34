package cull

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// t0 is when the server of the tests was started.
var t0 = time.Date(2026, 3, 4, 8, 0, 0, 0, time.UTC)

func after(d time.Duration) time.Time { return t0.Add(d) }

func TestDecide(t *testing.T) {
	const h, m = time.Hour, time.Minute
	idle := Policy{Idle: h, Notice: 10 * m}
	gpu := Policy{GPUIdle: 2 * h, GPURestart: true, Notice: 10 * m}
	aged := Policy{MaxAge: 24 * h, Notice: 10 * m}
	tests := map[string]struct {
		policy Policy
		seen   Observation
		now    time.Time
		want   Decision
	}{
		"fresh":             {idle, Observation{Busy: No}, after(0), Decision{}},
		"before the notice": {idle, Observation{Busy: No}, after(50*m - 1), Decision{}},
		"notice": {idle, Observation{Busy: No}, after(50 * m),
			Decision{Announce, after(h), ReasonIdle}},
		"notice stands": {idle, Observation{Busy: No, Announced: after(h)}, after(h - 1),
			Decision{Announce, after(h), ReasonIdle}},
		"its end": {idle, Observation{Busy: No, Announced: after(h)}, after(h),
			Decision{Cull, after(h), ReasonIdle}},
		"late poll": {idle, Observation{Busy: No}, after(52 * m),
			Decision{Announce, after(62 * m), ReasonIdle}},
		"after a restart": {idle, Observation{Busy: No}, after(5 * h),
			Decision{Announce, after(5*h + 10*m), ReasonIdle}},
		"active": {idle, Observation{Busy: No, LastActivity: after(30 * m), Announced: after(h)},
			after(h), Decision{}},
		"activity of an older run": {idle, Observation{Busy: No, LastActivity: after(-h)}, after(30 * m), Decision{}},
		"active a little later": {Policy{Idle: h, Notice: 59 * m},
			Observation{Busy: No, LastActivity: after(5 * m), Announced: after(h)}, after(h),
			Decision{Announce, after(65 * m), ReasonIdle}},
		"busy":    {idle, Observation{Busy: Yes, Announced: after(h)}, after(9 * h), Decision{}},
		"unknown": {idle, Observation{Announced: after(h)}, after(9 * h), Decision{}},
		"exempt": {Policy{Idle: h, MaxAge: h, Exempt: true},
			Observation{Busy: No, Announced: after(h)}, after(9 * h), Decision{}},
		"never": {Policy{}, Observation{Busy: No, Announced: after(h)}, after(9000 * h), Decision{}},
		"without notice": {Policy{Idle: h}, Observation{Busy: No}, after(h),
			Decision{Cull, after(h), ReasonIdle}},
		"old": {aged, Observation{Busy: No, LastActivity: after(24 * h), Announced: after(24 * h)},
			after(24 * h), Decision{Cull, after(24 * h), ReasonMaxAge}},
		"old and busy": {aged, Observation{Busy: Yes, Announced: after(24 * h)}, after(99 * h), Decision{}},
		"old and busy, told so": {Policy{MaxAge: 24 * h, MaxAgeBusy: true}, Observation{Busy: Yes}, after(24 * h),
			Decision{Cull, after(24 * h), ReasonMaxAge}},
		"old and unknown": {aged, Observation{Announced: after(24 * h)}, after(47 * h), Decision{}},
		"very old and unknown": {aged, Observation{Announced: after(48 * h)}, after(48 * h),
			Decision{Cull, after(48 * h), ReasonMaxAge}},
		"idle before old": {Policy{Idle: h, MaxAge: 2 * h}, Observation{Busy: No}, after(h),
			Decision{Cull, after(h), ReasonIdle}},
		"gpu, used": {gpu, Observation{Busy: No, HoldsGPU: true, GPUUsed: after(h)}, after(2 * h),
			Decision{}},
		"gpu, never used": {gpu, Observation{Busy: No, HoldsGPU: true}, after(110 * m),
			Decision{Announce, after(2 * h), ReasonGPU}},
		"gpu, long not used": {gpu, Observation{Busy: No, HoldsGPU: true, GPUUsed: after(h)}, after(170 * m),
			Decision{Announce, after(3 * h), ReasonGPU}},
		"gpu, its end": {gpu, Observation{Busy: No, HoldsGPU: true, GPUUsed: after(h),
			Announced: after(3 * h), Reason: ReasonGPU}, after(3 * h), Decision{Restart, after(3 * h), ReasonGPU}},
		"gpu, stopped": {Policy{GPUIdle: 2 * h}, Observation{Busy: No, HoldsGPU: true}, after(2 * h),
			Decision{Cull, after(2 * h), ReasonGPU}},
		"gpu, active in a browser": {gpu, Observation{Busy: No, HoldsGPU: true, LastActivity: after(2 * h)},
			after(2 * h), Decision{Announce, after(2*h + 10*m), ReasonGPU}},
		"gpu, of an older run": {gpu, Observation{Busy: No, HoldsGPU: true, GPUUsed: after(-h)}, after(109 * m),
			Decision{}},
		"gpu and a busy kernel": {gpu, Observation{Busy: Yes, HoldsGPU: true, Announced: after(2 * h),
			Reason: ReasonGPU}, after(9 * h), Decision{}},
		"gpu, unknown use": {gpu, Observation{HoldsGPU: true, Announced: after(2 * h), Reason: ReasonGPU},
			after(9 * h), Decision{}},
		"gpu, none held": {gpu, Observation{Busy: No}, after(9 * h), Decision{}},
		"gpu, never": {Policy{GPURestart: true}, Observation{Busy: No, HoldsGPU: true}, after(9 * h),
			Decision{}},
		"gpu, exempt": {Policy{GPUIdle: h, Exempt: true}, Observation{Busy: No, HoldsGPU: true},
			after(9 * h), Decision{}},
		"gpu after idle": {Policy{Idle: h, GPUIdle: 2 * h}, Observation{Busy: No, HoldsGPU: true}, after(h),
			Decision{Cull, after(h), ReasonIdle}},
		"gpu before idle": {Policy{Idle: 2 * h, GPUIdle: h, GPURestart: true},
			Observation{Busy: No, HoldsGPU: true}, after(h), Decision{Restart, after(h), ReasonGPU}},
		"gpu and idle at once": {Policy{Idle: h, GPUIdle: h}, Observation{Busy: No, HoldsGPU: true}, after(h),
			Decision{Cull, after(h), ReasonIdle}},
		"told of gpu, now idle": {Policy{Idle: h, GPUIdle: h, GPURestart: true, Notice: 10 * m},
			Observation{Busy: No, HoldsGPU: true, GPUUsed: after(h), Announced: after(h), Reason: ReasonGPU}, after(h),
			Decision{Announce, after(70 * m), ReasonIdle}},
		"told of idle, now gpu": {Policy{Idle: h, GPUIdle: h, GPURestart: true, Notice: 10 * m},
			Observation{Busy: No, HoldsGPU: true, LastActivity: after(h), Announced: after(h), Reason: ReasonIdle},
			after(h),
			Decision{Announce, after(70 * m), ReasonGPU}},
		"old before idle": {Policy{Idle: 2 * h, MaxAge: h}, Observation{Busy: No}, after(h),
			Decision{Cull, after(h), ReasonMaxAge}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.seen.Started = t0
			if diff := cmp.Diff(tt.want, Decide(tt.now, tt.policy, tt.seen)); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDecideNever checks what must never happen, over many lives of servers whose polls,
// activity and work come at random.
func TestDecideNever(t *testing.T) {
	ends := map[string]int{}
	for seed := range uint64(4000) {
		r := rand.New(rand.NewPCG(seed, 1))
		minutes := func(n int) time.Duration { return time.Duration(r.IntN(n)) * time.Minute }
		p := Policy{Idle: minutes(90), MaxAge: minutes(400), MaxAgeBusy: r.IntN(2) == 0, Notice: minutes(30),
			Exempt:  r.IntN(10) == 0,
			GPUIdle: minutes(90), GPURestart: r.IntN(2) == 0}
		o := Observation{Started: t0, HoldsGPU: r.IntN(3) == 0}
		var told, since time.Time // the announced end, and when it was announced
		var reason string
		for now := t0; now.Before(after(24 * time.Hour)); now = now.Add(minutes(5) + time.Second) {
			if r.IntN(40) == 0 {
				o.LastActivity = now.Add(-minutes(10))
			}
			if r.IntN(40) == 0 {
				o.GPUUsed = now.Add(-minutes(10))
			}
			o.Busy, o.Announced, o.Reason = Busy(r.IntN(3)), told, reason
			if r.IntN(4) > 0 {
				o.Busy = No
			}
			d := Decide(now, p, o)
			switch {
			case d.Act == Leave:
				told, since, reason = time.Time{}, time.Time{}, ""
				continue
			case since.IsZero(), (d.Reason == ReasonGPU) != (reason == ReasonGPU):
				since = now
			case d.At.Before(told):
				t.Fatalf("seed %d: the end moved from %v to %v", seed, told, d.At)
			}
			told, reason = d.At, d.Reason
			if d.Act == Announce {
				continue
			}
			ends[d.Reason]++
			working := o.Busy == Yes || o.Busy == Unknown
			switch {
			case p.Exempt:
				t.Fatalf("seed %d: an exempt server was culled", seed)
			case d.Reason == ReasonIdle && working:
				t.Fatalf("seed %d: a server in state %v was culled for idleness", seed, o.Busy)
			case o.Busy == Yes && !p.MaxAgeBusy:
				t.Fatalf("seed %d: a busy server was culled", seed)
			case d.Reason == ReasonGPU && (working || !o.HoldsGPU || now.Sub(later(t0, o.GPUUsed)) < p.GPUIdle):
				t.Fatalf("seed %d: a server in state %v gave back a device used %v ago", seed, o.Busy,
					now.Sub(o.GPUUsed))
			case (d.Act == Restart) != (d.Reason == ReasonGPU && p.GPURestart):
				t.Fatalf("seed %d: act %v for %s", seed, d.Act, d.Reason)
			case d.Reason == ReasonIdle && now.Sub(later(t0, o.LastActivity)) < p.Idle:
				t.Fatalf("seed %d: culled %v after activity", seed, now.Sub(o.LastActivity))
			case now.Sub(since) < p.Notice && now.Sub(since) > 0, p.Notice > 0 && since.Equal(now):
				t.Fatalf("seed %d: culled %v after the first notice, want %v", seed, now.Sub(since), p.Notice)
			}
			break
		}
	}
	if ends[ReasonIdle] < 100 || ends[ReasonMaxAge] < 100 || ends[ReasonGPU] < 100 {
		t.Errorf("the lives end too seldom to tell anything: %v", ends)
	}
}

func TestPolicies(t *testing.T) {
	d := func(v time.Duration) *time.Duration { return &v }
	ps := Policies{
		Default: Policy{Idle: time.Hour, MaxAge: 24 * time.Hour, Notice: time.Minute, GPUIdle: 2 * time.Hour},
		Groups: map[string]Override{
			"students": {Idle: d(30 * time.Minute), GPUIdle: d(time.Hour)},
			"staff":    {Idle: d(8 * time.Hour), MaxAge: d(48 * time.Hour), GPUIdle: d(8 * time.Hour)},
			"always":   {MaxAge: d(0)},
			"gpu":      {Exempt: true},
		},
	}
	tests := map[string]struct {
		groups []string
		want   Policy
	}{
		"none":    {nil, ps.Default},
		"unknown": {[]string{"wheel"}, ps.Default},
		"one": {[]string{"students"}, Policy{Idle: 30 * time.Minute, MaxAge: 24 * time.Hour,
			Notice: time.Minute, GPUIdle: time.Hour}},
		"two": {[]string{"students", "staff"}, Policy{Idle: 8 * time.Hour, MaxAge: 48 * time.Hour,
			Notice: time.Minute, GPUIdle: 8 * time.Hour}},
		"other way": {[]string{"staff", "wheel", "students"},
			Policy{Idle: 8 * time.Hour, MaxAge: 48 * time.Hour, Notice: time.Minute, GPUIdle: 8 * time.Hour}},
		"unknown first": {[]string{"wheel", "students"}, Policy{Idle: 30 * time.Minute, MaxAge: 24 * time.Hour,
			Notice: time.Minute, GPUIdle: time.Hour}},
		"unknown between": {[]string{"students", "wheel", "staff"}, Policy{Idle: 8 * time.Hour, MaxAge: 48 * time.Hour,
			Notice: time.Minute, GPUIdle: 8 * time.Hour}},
		"three": {[]string{"students", "always", "staff"}, Policy{Idle: 8 * time.Hour, MaxAge: 0, Notice: time.Minute,
			GPUIdle: 8 * time.Hour}},
		"exempt last": {[]string{"students", "gpu"}, Policy{Idle: time.Hour, MaxAge: 24 * time.Hour,
			Notice: time.Minute, GPUIdle: 2 * time.Hour, Exempt: true}},
		"each by itself": {[]string{"students", "always"}, Policy{Idle: time.Hour, MaxAge: 0, Notice: time.Minute,
			GPUIdle: 2 * time.Hour}},
		"exempt": {[]string{"gpu", "students"}, Policy{Idle: time.Hour, MaxAge: 24 * time.Hour,
			Notice: time.Minute, GPUIdle: 2 * time.Hour, Exempt: true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, ps.For(tt.groups)); diff != "" {
				t.Errorf("policy (-want +got):\n%s", diff)
			}
		})
	}
}
