package servers

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// named reads "alice" or "alice:x".
func named(t testing.TB, text string) ident.Key {
	t.Helper()
	user, name, _ := strings.Cut(text, ":")
	k, err := ident.ParseKey(user, name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// device reads "NAME PLACES PROFILE,… HOLDER,…".
func device(t testing.TB, text string) backend.Device {
	t.Helper()
	f := strings.Fields(text)
	d := backend.Device{Name: "nvidia.com/gpu=" + f[0], Sharing: backend.Exclusive, Places: 1,
		Profiles: strings.Split(f[2], ",")}
	switch f[1] {
	case "open":
		d.Sharing, d.Places = backend.Open, 0
	case "bad":
		d.Health = "it has fallen off the bus"
	case "1":
	default:
		d.Sharing = backend.Shared
		if _, err := fmt.Sscan(f[1], &d.Places); err != nil {
			t.Fatal(err)
		}
	}
	if len(f) > 3 {
		for i, h := range strings.Split(f[3], ",") {
			d.Holders = append(d.Holders, backend.Holder{Key: named(t, h),
				Since: noon.Add(-time.Duration(i+1) * time.Hour)})
		}
	}
	return d
}

// waiting reads "KEY PROFILE COUNT [limited]"; they asked one minute after the other.
func waiting(t testing.TB, texts ...string) (queue []entry) {
	t.Helper()
	for i, text := range texts {
		f := strings.Fields(text)
		e := entry{key: named(t, f[0]), profile: f[1], asked: noon.Add(time.Duration(i) * time.Minute),
			limited: len(f) > 3}
		if _, err := fmt.Sscan(f[2], &e.count); err != nil {
			t.Fatal(err)
		}
		queue = append(queue, e)
	}
	return queue
}

func names(keys []ident.Key) string {
	var all []string
	for _, k := range keys {
		all = append(all, k.String())
	}
	return strings.Join(all, " ")
}

func TestPlan(t *testing.T) {
	tests := map[string]struct {
		devices, queue, called []string
		order, start           string
	}{
		"nobody": {devices: []string{"0 1 gpu"}},
		"one free": {[]string{"0 1 gpu", "1 1 gpu carol"}, []string{"alice gpu 1", "bob gpu 1"}, nil,
			"alice bob", "alice"},
		"both free": {[]string{"0 1 gpu", "1 1 gpu"}, []string{"alice gpu 1", "bob gpu 1"}, nil, "alice bob",
			"alice bob"},
		"who holds waits": {[]string{"0 1 gpu", "1 1 gpu alice"}, []string{"alice:x gpu 1", "bob gpu 1"}, nil,
			"bob alice:x", "bob"},
		"one each first": {[]string{"0 1 gpu"}, []string{"alice gpu 1", "alice:x gpu 1", "bob gpu 1"}, nil,
			"alice bob alice:x", "alice"},
		"two are kept free": {[]string{"0 1 gpu", "1 1 gpu carol"}, []string{"alice gpu 2", "bob gpu 1"}, nil,
			"alice bob", ""},
		"others' are not": {[]string{"0 1 gpu carol", "1 1 small"}, []string{"alice gpu 1", "bob small 1"}, nil,
			"alice bob", "bob"},
		"places": {[]string{"0 3 gpu carol"}, []string{"alice gpu 1", "bob gpu 1", "dora gpu 1"}, nil,
			"alice bob dora", "alice bob"},
		"unwell":             {[]string{"0 bad gpu"}, []string{"alice gpu 1"}, nil, "alice", ""},
		"open is not waited": {[]string{"0 open gpu"}, []string{"alice gpu 1"}, nil, "alice", ""},
		"open does not count": {[]string{"0 1 gpu", "1 open gpu alice"}, []string{"alice:x gpu 1", "bob gpu 1"}, nil,
			"alice:x bob", "alice:x"},
		"a limit holds nobody": {[]string{"0 1 gpu"}, []string{"alice gpu 1 limited", "bob gpu 1"}, nil,
			"alice bob", "bob"},
		"called before": {[]string{"0 1 gpu", "1 1 gpu"}, []string{"bob gpu 1", "carol gpu 1"},
			[]string{"alice gpu 1"}, "bob carol", "bob"},
		"called and seen": {[]string{"0 1 gpu alice", "1 1 gpu"}, []string{"bob gpu 1"}, []string{"alice gpu 1"}, "bob",
			"bob"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var devices []backend.Device
			for _, d := range tt.devices {
				devices = append(devices, device(t, d))
			}
			queue := inOrder(waiting(t, tt.queue...), devices)
			var order []ident.Key
			for _, e := range queue {
				order = append(order, e.key)
			}
			if names(order) != tt.order {
				t.Errorf("the order is %q, want %q", names(order), tt.order)
			}
			if got := names(plan(queue, waiting(t, tt.called...), devices)); got != tt.start {
				t.Errorf("it starts %q, want %q", got, tt.start)
			}
		})
	}
}

// TestPlanProperties plays random lines to their end: no device is planned twice, nobody
// takes a device that one before them could use while that one waits, and everybody who
// can be served at all is served some day.
func TestPlanProperties(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 5))
		devices := []backend.Device{device(t, "0 1 gpu,small"), device(t, "1 1 gpu"), device(t, "2 2 small,shared")}
		profiles := map[string]int{"gpu": 1 + random.IntN(2), "small": 1, "shared": 1}
		var queue []entry
		for i := range 12 {
			profile := []string{"gpu", "small", "shared"}[random.IntN(3)]
			key := named(t, fmt.Sprintf("u%d:s%d", random.IntN(4), i))
			queue = append(queue, entry{key: key, profile: profile, count: profiles[profile],
				asked: noon.Add(time.Duration(random.IntN(5)) * time.Minute)})
		}
		for round := 0; len(queue) > 0; round++ {
			if round > 100 {
				t.Fatalf("seed %d: %d wait for ever: %v", seed, len(queue), queue)
			}
			queue = inOrder(queue, devices)
			started := plan(queue, nil, devices)
			checkOvertaking(t, seed, queue, started, devices)
			for _, key := range started {
				at := slices.IndexFunc(queue, func(e entry) bool { return e.key == key })
				hold(t, seed, queue[at], devices)
				queue = slices.Delete(queue, at, at+1)
			}
			release(random, devices)
		}
	}
}

// checkOvertaking wants that who starts leaves enough for everybody before them who waits
// for want of devices that both can use.
func checkOvertaking(t *testing.T, seed uint64, queue []entry, started []ident.Key, devices []backend.Device) {
	t.Helper()
	for i, e := range queue {
		if slices.Contains(started, e.key) {
			continue
		}
		for _, behind := range queue[i+1:] {
			if !slices.Contains(started, behind.key) {
				continue
			}
			// Then every device that was free for both must be no longer free for them: there are others.
			own := 0
			for _, d := range devices {
				if d.Free() && behind.wants(d) && !e.wants(d) {
					own++
				}
			}
			if own < behind.count {
				t.Fatalf("seed %d: %s overtakes %s", seed, behind.key, e.key)
			}
		}
	}
}

// hold gives devices as the launcher would.
func hold(t *testing.T, seed uint64, e entry, devices []backend.Device) {
	t.Helper()
	got := 0
	for i := range devices {
		if got < e.count && devices[i].Free() && e.wants(devices[i]) {
			devices[i].Holders = append(devices[i].Holders, backend.Holder{Key: e.key})
			got++
		}
	}
	if got < e.count {
		t.Fatalf("seed %d: %s was planned and finds %d of %d devices", seed, e.key, got, e.count)
	}
}

// release ends a random server.
func release(random *rand.Rand, devices []backend.Device) {
	all := holders(devices)
	if len(all) == 0 {
		return
	}
	keys := make([]ident.Key, 0, len(all))
	for k := range all {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b ident.Key) int { return strings.Compare(a.String(), b.String()) })
	gone := keys[random.IntN(len(keys))]
	for i := range devices {
		devices[i].Holders = slices.DeleteFunc(devices[i].Holders,
			func(h backend.Holder) bool { return h.Key == gone })
	}
}

func TestPosition(t *testing.T) {
	devices := []backend.Device{device(t, "0 1 gpu carol"), device(t, "1 1 small,any dora"), device(t, "2 bad any")}
	queue := inOrder(waiting(t, "alice gpu 1", "bob small 1", "erin any 1", "frank gpu 1"), devices)
	var got []string
	for i, e := range queue {
		n, of := position(queue, i, devices)
		got = append(got, fmt.Sprintf("%s %s of %d", e.key, Ordinal(n), of))
	}
	want := []string{"alice 1st of 2", "bob 1st of 2", "erin 2nd of 2", "frank 2nd of 2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for n, want := range map[int]string{1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 13: "13th",
		21: "21st", 111: "111th"} {
		if Ordinal(n) != want {
			t.Errorf("%d is the %s", n, Ordinal(n))
		}
	}
}

func TestEstimate(t *testing.T) {
	hours := func(n float64) time.Duration { return time.Duration(n * float64(time.Hour)) }
	tests := map[string]struct {
		devices, queue []string
		usual          time.Duration
		ends           map[string]time.Time
		want           time.Duration
	}{
		"nobody knows":      {[]string{"0 1 gpu bob"}, []string{"alice gpu 1"}, 0, nil, 0},
		"usual":             {[]string{"0 1 gpu bob"}, []string{"alice gpu 1"}, hours(3), nil, hours(2)},
		"longer than usual": {[]string{"0 1 gpu bob"}, []string{"alice gpu 1"}, hours(1), nil, hours(0.25)},
		"announced": {[]string{"0 1 gpu bob"}, []string{"alice gpu 1"}, 0,
			map[string]time.Time{"bob": noon.Add(time.Minute)}, time.Minute},
		"announced is sooner": {[]string{"0 1 gpu bob"}, []string{"alice gpu 1"}, hours(3),
			map[string]time.Time{"bob": noon.Add(time.Minute)}, time.Minute},
		"behind one": {[]string{"0 1 gpu bob"}, []string{"dora gpu 1", "alice gpu 1"}, hours(3), nil,
			hours(5)},
		"the next of two": {[]string{"0 1 gpu bob", "1 2 gpu carol,erin"}, []string{"dora gpu 1", "alice gpu 1"},
			hours(4), nil, hours(3)},
		"needs two": {[]string{"0 1 gpu bob", "1 2 gpu carol,erin"}, []string{"alice gpu 2"}, hours(4), nil,
			hours(3)},
		"others' queue": {[]string{"0 1 gpu bob", "1 1 small carol"}, []string{"dora small 1", "alice gpu 1"},
			hours(3), nil, hours(2)},
		"no device": {[]string{"0 bad gpu"}, []string{"alice gpu 1"}, hours(3), nil, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var devices []backend.Device
			for _, d := range tt.devices {
				devices = append(devices, device(t, d))
			}
			ends := map[ident.Key]time.Time{}
			for k, at := range tt.ends {
				ends[named(t, k)] = at
			}
			queue := waiting(t, tt.queue...)
			got := estimate(queue, len(queue)-1, devices, past{typical: func(kind string) time.Duration {
				if kind != "nvidia.com/gpu" {
					t.Errorf("asked for kind %q", kind)
				}
				return tt.usual
			}, ends: ends, now: noon})
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}
