package accounting

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// t0 is when the server of the tests was started, an hour before the end of a month.
var t0 = time.Date(2026, 10, 31, 23, 0, 0, 0, time.UTC)

func key(t testing.TB, user, server string) ident.Key {
	t.Helper()
	k, err := ident.ParseKey(user, server)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var same = cmp.Options{cmpopts.EquateComparable(ident.User{}, ident.Key{}), cmpopts.EquateApprox(0, 1e-6),
	cmpopts.EquateEmpty()}

func TestNext(t *testing.T) {
	alice := key(t, "alice", "")
	after := func(d time.Duration) time.Time { return t0.Add(d) }
	last := store.Reading{Key: alice, Started: t0, At: after(10 * time.Minute), GPUs: 1, CPU: 100, Memory: 1000}
	spent := func(month string, gpu, cpu, memory, server float64) store.Spent {
		return store.Spent{User: alice.User, Month: month, GPU: gpu, CPU: cpu, Memory: memory, Server: server}
	}
	const oct, nov = "2026-10", "2026-11"
	tests := map[string]struct {
		last    *store.Reading
		seen    observation
		reading *store.Reading
		spent   []store.Spent
	}{
		"first": {nil, observation{at: after(time.Minute), gpus: 2, counters: &Counters{30 * time.Second, 500}},
			&store.Reading{At: after(time.Minute), GPUs: 2, CPU: 30, Memory: 500},
			[]store.Spent{spent(oct, 120, 30, 250*60, 60)}},
		"next": {&last, observation{at: after(11 * time.Minute), gpus: 1, counters: &Counters{130 * time.Second, 3000}},
			&store.Reading{At: after(11 * time.Minute), GPUs: 1, CPU: 130, Memory: 3000},
			[]store.Spent{spent(oct, 60, 30, 2000*60, 60)}},
		"no GPU": {&last, observation{at: after(11 * time.Minute), counters: &Counters{100 * time.Second, 1000}},
			&store.Reading{At: after(11 * time.Minute), CPU: 100, Memory: 1000},
			[]store.Spent{spent(oct, 0, 0, 1000*60, 60)}},
		"half a GPU": {&last, observation{at: after(11 * time.Minute), gpus: 0.5,
			counters: &Counters{100 * time.Second, 1000}},
			&store.Reading{At: after(11 * time.Minute), GPUs: 0.5, CPU: 100, Memory: 1000},
			[]store.Spent{spent(oct, 30, 0, 1000*60, 60)}},
		"counters gone": {&last, observation{at: after(11 * time.Minute), gpus: 1},
			&store.Reading{At: after(11 * time.Minute), GPUs: 1, CPU: 100, Memory: 1000},
			[]store.Spent{spent(oct, 60, 0, 1000*60, 60)}},
		"memory unknown": {&last, observation{at: after(11 * time.Minute), gpus: 1,
			counters: &Counters{130 * time.Second, -1}},
			&store.Reading{At: after(11 * time.Minute), GPUs: 1, CPU: 130, Memory: 1000},
			[]store.Spent{spent(oct, 60, 30, 1000*60, 60)}},
		"holders unknown": {&last, observation{at: after(11 * time.Minute), gpus: -1},
			&store.Reading{At: after(11 * time.Minute), GPUs: 1, CPU: 100, Memory: 1000},
			[]store.Spent{spent(oct, 60, 0, 1000*60, 60)}},
		"holders never known": {nil, observation{at: after(11 * time.Minute), gpus: -1,
			counters: &Counters{time.Second, 1}}, nil, nil},
		"counts again": {&last, observation{at: after(11 * time.Minute), gpus: 1,
			counters: &Counters{20 * time.Second, 1000}},
			&store.Reading{At: after(11 * time.Minute), GPUs: 1, CPU: 20, Memory: 1000},
			[]store.Spent{spent(oct, 60, 20, 1000*60, 60)}},
		"another run": {&store.Reading{Key: alice, Started: after(-time.Hour), At: after(-time.Minute), GPUs: 4,
			CPU: 900, Memory: 9}, observation{at: after(time.Minute), gpus: 1,
			counters: &Counters{20 * time.Second, 1000}},
			&store.Reading{At: after(time.Minute), GPUs: 1, CPU: 20, Memory: 1000},
			[]store.Spent{spent(oct, 60, 20, 500*60, 60)}},
		"no time passed": {&last, observation{at: after(10 * time.Minute), gpus: 1,
			counters: &Counters{200 * time.Second, 1000}}, nil, nil},
		"the clock is set back": {&last, observation{at: after(time.Minute), gpus: 1,
			counters: &Counters{200 * time.Second, 1000}}, nil, nil},
		"over the end of a month": {&last, observation{at: after(70 * time.Minute), gpus: 1,
			counters: &Counters{160 * time.Second, 1000}},
			&store.Reading{At: after(70 * time.Minute), GPUs: 1, CPU: 160, Memory: 1000},
			[]store.Spent{spent(oct, 3000, 50, 3000*1000, 3000), spent(nov, 600, 10, 600*1000, 600)}},
		"hub down for longer than a month": {&last, observation{at: time.Date(2026, 12, 1, 0, 0, 1, 0, time.UTC),
			gpus: 1},
			&store.Reading{At: time.Date(2026, 12, 1, 0, 0, 1, 0, time.UTC), GPUs: 1, CPU: 100, Memory: 1000},
			[]store.Spent{spent(oct, 3000, 0, 3000*1000, 3000), spent(nov, 30*86400, 0, 30*86400*1000, 30*86400),
				spent("2026-12", 1, 0, 1000, 1)}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.seen.key, tt.seen.started = alice, t0
			if tt.reading != nil {
				tt.reading.Key, tt.reading.Started = alice, t0
			}
			var before store.Reading
			if tt.last != nil {
				before = *tt.last
			}
			reading, spent := next(before, tt.last != nil, tt.seen)
			if diff := cmp.Diff(tt.reading, reading, same); diff != "" {
				t.Errorf("reading (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.spent, spent, same); diff != "" {
				t.Errorf("spent (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNextAddsUp checks that no second is missed or counted twice. It plays lives of servers with readings at random
// times, some without counters, and with restarts of the hub between them.
func TestNextAddsUp(t *testing.T) {
	alice := key(t, "alice", "")
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		var last store.Reading
		var sum store.Spent
		known, at, gpus := false, t0, float64(r.IntN(4))
		var cpu time.Duration
		months := map[string]float64{}
		for range 200 {
			at = at.Add(time.Duration(r.IntN(4*86400*10)) * 100 * time.Millisecond)
			cpu += time.Duration(r.IntN(1000)) * time.Second
			o := observation{key: alice, started: t0, at: at, gpus: gpus, counters: &Counters{CPU: cpu}}
			reading, spent := next(last, known, o)
			if reading == nil {
				continue
			}
			last, known = *reading, true
			for _, v := range spent {
				sum.GPU, sum.CPU, sum.Server = sum.GPU+v.GPU, sum.CPU+v.CPU, sum.Server+v.Server
				months[v.Month] += v.Server
			}
		}
		lived := last.At.Sub(t0).Seconds()
		for what, pair := range map[string][2]float64{"server": {sum.Server, lived}, "GPU": {sum.GPU, gpus * lived},
			"CPU": {sum.CPU, cpu.Seconds()}, "November": {months["2026-11"], 30 * 86400}} {
			if math.Abs(pair[0]-pair[1]) > 1e-3 {
				t.Fatalf("seed %d: %s seconds are %f, want %f", seed, what, pair[0], pair[1])
			}
		}
	}
}

func TestWriteCSV(t *testing.T) {
	alice := key(t, "alice", "").User
	var b strings.Builder
	rows := InHours([]store.Spent{{User: alice, Month: "2026-11", GPU: 5400, CPU: 3, Memory: 3600 << 30, Server: 7200}})
	rows = append(rows, Hours{User: `=cmd|' /C calc'!A0`, Month: "2026-10", GPU: 0.0004},
		Hours{User: "@x,y", Month: "+1"}, Hours{User: "-a"}, Hours{User: "\tb"})
	if err := WriteCSV(&b, rows); err != nil {
		t.Fatal(err)
	}
	want := "month,user,gpu_hours,cpu_hours,memory_gib_hours,server_hours\n" +
		"2026-11,alice,1.500,0.001,1.000,2.000\n" +
		"2026-10,'=cmd|' /C calc'!A0,0.000,0.000,0.000,0.000\n" +
		"'+1,\"'@x,y\",0.000,0.000,0.000,0.000\n" +
		",'-a,0.000,0.000,0.000,0.000\n" +
		",'\tb,0.000,0.000,0.000,0.000\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("CSV (-want +got):\n%s", diff)
	}
	if sum := Total(rows); sum.GPU != 1.5004 || sum.Server != 2 {
		t.Errorf("total %+v", sum)
	}
}
