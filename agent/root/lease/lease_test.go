package lease

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
)

func key(t *testing.T, s string) ident.Key {
	t.Helper()
	user, server, _ := strings.Cut(s, ":")
	k, err := ident.ParseKey(user, server)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// inGroup: alice and bob are students, bob and carol are of the staff.
func inGroup(user ident.User, group string) (bool, error) {
	members := map[string]string{"students": "alice bob", "staff": "bob carol"}
	if user.String() == "away" {
		return false, errors.New("no answer")
	}
	return slices.Contains(strings.Fields(members[group]), user.String()), nil
}

// bench is a host with two small and two large GPUs, of which the last is divided, one that
// is shared and one that is open.
func bench(rules policy.GPUs) ([]Device, policy.GPUs) {
	device := func(name string, memory uint64, nodes ...string) (gpu.Device, gpu.Facts) {
		kind, _, _ := strings.Cut(name, "=")
		return gpu.Device{Name: name, Kind: kind, Nodes: nodes},
			gpu.Facts{Node: nodes[0], Model: fmt.Sprintf("GPU %dG", memory), Memory: memory << 30}
	}
	rules.Devices = append(rules.Devices,
		policy.GPURule{Match: []string{"a.org/shared=*"}, Sharing: policy.Shared, Places: 2},
		policy.GPURule{Match: []string{"a.org/open=*"}, Sharing: policy.Open})
	if rules.MaxPerUser == 0 {
		rules.MaxPerUser = policy.Infinity
	}
	var inv gpu.Inventory
	facts := map[string]gpu.Facts{}
	for _, d := range []struct {
		name   string
		memory uint64
		nodes  []string
	}{
		{"a.org/gpu=0", 80, []string{"/dev/g0"}}, {"a.org/gpu=1", 16, []string{"/dev/g1"}},
		{"a.org/gpu=2", 16, []string{"/dev/g2"}},
		{"a.org/gpu=3", 80, []string{"/dev/g3", "/dev/h3"}}, {"a.org/gpu=3:0", 40, []string{"/dev/g3", "/dev/i30"}},
		{"a.org/gpu=3:1", 40, []string{"/dev/h3", "/dev/i31"}},
		{"a.org/shared=0", 24, []string{"/dev/s0"}}, {"a.org/open=0", 8, []string{"/dev/o0"}},
	} {
		dev, f := device(d.name, d.memory, d.nodes...)
		inv.Devices = append(inv.Devices, dev)
		facts[d.name] = f
	}
	inv.Devices[0].Aliases = []string{"a.org/gpu=GPU-00"}
	all := Devices(inv, gpu.State{}, rules)
	for i := range all {
		all[i].Facts = facts[all[i].Name]
	}
	return all, rules
}

func TestChoose(t *testing.T) {
	group := func(name string, perUser, all uint64) policy.GPUs {
		return policy.GPUs{Groups: []policy.GPUGroup{{Name: name, MaxPerUser: perUser, Max: all}}}
	}
	any1, gpu1 := policy.GPUWish{Count: 1, Kind: "a.org/*"}, policy.GPUWish{Count: 1, Kind: "a.org/gpu"}
	tests := map[string]struct {
		wish  policy.GPUWish
		rules policy.GPUs
		held  string // "user[:server] device,device; …"
		sick  string // the device that is out of order
		has   string // devices of the persistent container; "-" for one without
		who   string // alice if empty
		want  string // devices, or the code and part of the message
	}{
		"nothing":      {want: ""},
		"least memory": {wish: any1, want: "a.org/gpu=1"},
		"open is left": {wish: policy.GPUWish{Count: 1, Kind: "a.org/*"},
			held: "bob a.org/gpu=0,a.org/gpu=1,a.org/gpu=2,a.org/gpu=3; bob:x a.org/shared=0; carol a.org/shared=0",
			want: "a.org/open=0"},
		"least of kind": {wish: gpu1, want: "a.org/gpu=1"},
		"next":          {wish: gpu1, held: "bob a.org/gpu=1", want: "a.org/gpu=2"},
		"enough memory": {wish: policy.GPUWish{Count: 1, Memory: 41 << 30}, want: "a.org/gpu=0"},
		"instance":      {wish: policy.GPUWish{Count: 1, Memory: 40 << 30}, want: "a.org/gpu=3:0"},
		"whole is in use": {wish: policy.GPUWish{Count: 1, Memory: 30 << 30}, held: "bob a.org/gpu=3",
			want: "a.org/gpu=0"},
		"instance in use": {wish: policy.GPUWish{Count: 2, Memory: 41 << 30}, held: "bob a.org/gpu=3:1",
			want: "taken: too few are free (1): a.org/gpu=3 is held by bob"},
		"other instance": {wish: policy.GPUWish{Count: 1, Kind: "a.org/gpu=*:*"}, held: "bob a.org/gpu=3:0",
			want: "a.org/gpu=3:1"},
		"not both": {wish: policy.GPUWish{Count: 5, Kind: "a.org/gpu"},
			want: "a.org/gpu=1 a.org/gpu=2 a.org/gpu=3:0 a.org/gpu=3:1 a.org/gpu=0"},
		"never so many": {wish: policy.GPUWish{Count: 6, Kind: "a.org/gpu"},
			want: "missing: needs, 6 devices of kind a.org/gpu: it has a.org/gpu=0, "},
		"by model": {wish: policy.GPUWish{Count: 1, Model: "gpu 24*"}, want: "a.org/shared=0"},
		"no such kind": {wish: policy.GPUWish{Count: 1, Kind: "b.org/gpu"},
			want: "missing: it has none\nhint: gifford-hub gpus"},
		"all": {wish: policy.GPUWish{Count: policy.AllGPUs}, held: "bob a.org/open=0",
			want: "a.org/open=0"},
		"all of none": {wish: policy.GPUWish{Count: policy.AllGPUs, Kind: "b.org/gpu"}, want: ""},
		"shared, one holder": {wish: policy.GPUWish{Count: 1, Kind: "a.org/shared"}, held: "bob a.org/shared=0",
			want: "a.org/shared=0"},
		"shared, full": {wish: policy.GPUWish{Count: 1, Kind: "a.org/shared"},
			held: "bob a.org/shared=0; bob:x a.org/shared=0", want: "taken: a.org/shared=0 is held by bob, bob:x"},
		"shared, once": {wish: policy.GPUWish{Count: 2, Kind: "a.org/shared"}, want: "missing: 2 devices"},
		"fewest holders": {wish: policy.GPUWish{Count: 1, Memory: 20 << 30}, held: "bob a.org/shared=0",
			want: "a.org/gpu=3:0"},
		"by its alias": {wish: policy.GPUWish{Count: 1, Kind: "a.org/gpu=0"}, held: "bob a.org/gpu=GPU-00",
			want: "taken: a.org/gpu=0 is held by bob"},
		"renamed": {wish: policy.GPUWish{Count: 1, Kind: "a.org/gpu=1"},
			held: "bob a.org/gpu=GPU-11@/dev/g1", want: "taken: a.org/gpu=1 is held by bob"},
		"gone": {wish: policy.GPUWish{Count: 1, Kind: "a.org/gpu=1"}, held: "bob a.org/gpu=9@/dev/g9",
			want: "a.org/gpu=1"},
		"gone, same hardware": {wish: policy.GPUWish{Count: 1, Kind: "a.org/gpu=3"}, held: "bob b.org/x=9@/dev/h3",
			want: "taken: a.org/gpu=3 is held by bob"},
		"sick": {wish: policy.GPUWish{Count: 1, Kind: "a.org/gpu=1"}, sick: "a.org/gpu=1",
			want: "missing: out of power"},
		"another is well":   {wish: gpu1, sick: "a.org/gpu=1", want: "a.org/gpu=2"},
		"all that are well": {wish: policy.GPUWish{Count: policy.AllGPUs}, sick: "a.org/open=0", want: ""},
		"user's limit": {wish: gpu1, rules: policy.GPUs{MaxPerUser: 1}, held: "alice:x a.org/gpu=0",
			want: "limit: alice may hold 1 device at a time and holds 1 already\nhint: stop alice:x first"},
		"other's limit": {wish: gpu1, rules: policy.GPUs{MaxPerUser: 1}, held: "bob:x a.org/gpu=0",
			want: "a.org/gpu=1"},
		"never allowed": {wish: policy.GPUWish{Count: 2, Kind: "a.org/gpu"}, rules: policy.GPUs{MaxPerUser: 1},
			want: "limit: alice may hold 1 device at a time, and profile \"p\" needs more"},
		"open is free": {wish: any1, rules: policy.GPUs{MaxPerUser: 1}, held: "alice:x a.org/gpu=0",
			want: "a.org/open=0"},
		"open does not count": {wish: gpu1, rules: policy.GPUs{MaxPerUser: 1}, held: "alice:x a.org/open=0",
			want: "a.org/gpu=1"},
		"group's limit": {wish: gpu1, rules: group("students", 1, 0), held: "alice:x a.org/gpu=0",
			want: "limit: alice may hold 1"},
		"group is generous": {wish: policy.GPUWish{Count: 2, Kind: "a.org/gpu"},
			rules: policy.GPUs{MaxPerUser: 1, Groups: []policy.GPUGroup{{Name: "staff", MaxPerUser: 2},
				{Name: "students", MaxPerUser: 1}}}, who: "bob", want: "a.org/gpu=1 a.org/gpu=2"},
		"other group": {wish: gpu1, rules: group("staff", 1, 1), held: "alice:x a.org/gpu=0",
			want: "a.org/gpu=1"},
		"group's total": {wish: gpu1, rules: group("students", 0, 1), held: "bob:x a.org/gpu=0",
			want: "taken: members of the Unix group students together may hold 1 device at a time; they are held by " +
				"bob:x"},
		"others' total": {wish: gpu1, rules: group("students", 0, 1), held: "carol a.org/gpu=0",
			want: "a.org/gpu=1"},
		"group never": {wish: policy.GPUWish{Count: 2, Kind: "a.org/gpu"}, rules: group("students", 0, 1),
			want: "limit: together may hold 1 device at a time, and profile"},
		"holder is unknown": {wish: gpu1, rules: group("students", 0, 1), held: "away a.org/gpu=0",
			want: "no answer"},
		"not for her": {wish: policy.GPUWish{Count: 1, Kind: "a.org/gpu=1"},
			rules: policy.GPUs{Devices: []policy.GPURule{{Match: []string{"*/gpu=1"}, Sharing: policy.Exclusive,
				UnixGroups: []string{"staff"}}}}, want: "limit: alice may not have the devices that profile \"p\" " +
				"needs: not in the Unix group staff"},
		"for them": {wish: policy.GPUWish{Count: 1, Kind: "a.org/gpu=1"},
			rules: policy.GPUs{Devices: []policy.GPURule{{Match: []string{"*/gpu=1"}, Sharing: policy.Exclusive,
				UnixGroups: []string{"staff"}}}}, who: "carol", want: "a.org/gpu=1"},
		"persistent":          {wish: gpu1, has: "a.org/gpu=2", want: "a.org/gpu=2"},
		"persistent by alias": {wish: gpu1, has: "a.org/gpu=GPU-00", want: "a.org/gpu=0"},
		"persistent without":  {wish: gpu1, has: "-", want: ""},
		"persistent, taken": {wish: gpu1, has: "a.org/gpu=2", held: "bob a.org/gpu=2",
			want: "taken: the persistent container of server alice are not free: a.org/gpu=2 is held by bob"},
		"persistent, gone": {wish: gpu1, has: "a.org/gpu=7",
			want: "missing: the persistent container of server alice has a.org/gpu=7, which this host no longer " +
				"has\nhint: reset"},
		"persistent, sick": {wish: gpu1, has: "a.org/gpu=2", sick: "a.org/gpu=2",
			want: "missing: out of power\nhint: reset"},
		"persistent, now one": {wish: gpu1, has: "a.org/gpu=3 a.org/gpu=3:0", want: "missing: no longer apart"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			devices, rules := bench(tt.rules)
			for i := range devices {
				if devices[i].Name == tt.sick {
					devices[i].Facts.Health = "out of power"
				}
			}
			if tt.who == "" {
				tt.who = "alice"
			}
			r := Request{Key: key(t, tt.who), Profile: "p", Wish: tt.wish, Persistent: tt.has != "", InGroup: inGroup}
			if tt.has != "-" {
				r.Devices = strings.Fields(tt.has)
			}
			got, err := Choose(r, rules, devices, leases(t, devices, tt.held))
			check(t, tt.want, got, err)
		})
	}
}

// leases reads "user[:server] device,device; …", in which a device of no specification has
// its node after @.
func leases(t *testing.T, devices []Device, text string) (all []Lease) {
	t.Helper()
	for line := range strings.SplitSeq(text, ";") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		l := Lease{Key: key(t, words[0])}
		for name := range strings.SplitSeq(words[1], ",") {
			name, node, _ := strings.Cut(name, "@")
			d := gpu.Device{Name: name, Nodes: []string{node}}
			if i := slices.IndexFunc(devices, func(d Device) bool {
				return slices.Contains(names(d.Device),
					name)
			}); i >= 0 {
				d.Nodes = devices[i].Nodes
			}
			l.Devices = append(l.Devices, d)
		}
		all = append(all, l)
	}
	return all
}

func check(t *testing.T, want string, got []gpu.Device, err error) {
	t.Helper()
	if err == nil {
		var names []string
		for _, d := range got {
			names = append(names, d.Name)
		}
		if diff := cmp.Diff(want, strings.Join(names, " ")); diff != "" {
			t.Errorf("want(-) got(+):\n%s", diff)
		}
		return
	}
	code, words, coded := strings.Cut(want, ": ")
	if !coded {
		words = want
	}
	var e *Error
	if errors.As(err, &e) != coded || coded && string(e.Code) != code || !strings.Contains(hint.Text(err), words) ||
		want == "" {
		t.Errorf("error is %v, want %q", err, want)
	}
}

// TestGroupsUnknown checks that each rule that asks for a group ends the request when nobody can answer: a member is
// never let in, nor a limit passed, for want of an answer.
func TestGroupsUnknown(t *testing.T) {
	lost := errors.New("no answer")
	rule := func(match string, sharing policy.Sharing) policy.GPUs {
		return policy.GPUs{Devices: []policy.GPURule{{Match: []string{match}, Sharing: sharing, Places: 2,
			UnixGroups: []string{"staff"}}}}
	}
	limit := policy.GPUs{Groups: []policy.GPUGroup{{Name: "staff", MaxPerUser: 1, Max: 2}}}
	gpu1 := policy.GPUWish{Count: 1, Kind: "a.org/gpu=1"}
	tests := map[string]struct {
		rules policy.GPUs
		r     Request
		held  string
		only  string // the user about whom nothing is known; all if empty
	}{
		"who may have a device": {rules: rule("*/gpu=1", policy.Exclusive), r: Request{Wish: gpu1}},
		"an open device": {rules: rule("*/other=*", policy.Open),
			r: Request{Wish: policy.GPUWish{Count: policy.AllGPUs}}},
		"persistent": {rules: rule("*/gpu=1", policy.Exclusive),
			r: Request{Persistent: true, Devices: []string{"a.org/gpu=1"}}},
		"the member's limit": {rules: limit, r: Request{Wish: gpu1}},
		"a holder":           {rules: limit, r: Request{Wish: gpu1}, held: "bob a.org/gpu=0", only: "bob"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			devices, rules := bench(tt.rules)
			if name == "an open device" {
				devices = append(devices, Device{Device: gpu.Device{Name: "a.org/other=0", Kind: "a.org/other"},
					Rule: tt.rules.Devices[0]})
			}
			tt.r.Key = key(t, "alice")
			tt.r.InGroup = func(u ident.User, _ string) (bool, error) {
				if tt.only == "" || tt.only == u.String() {
					return true, lost // the answer beside an error counts for nothing
				}
				return true, nil
			}
			if got, err := Choose(tt.r, rules, devices, leases(t, devices, tt.held)); !errors.Is(err, lost) ||
				got != nil {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// TestHeldButGone checks which devices that the host no longer has count for a limit: all that were not open.
func TestHeldButGone(t *testing.T) {
	rules := policy.GPUs{MaxPerUser: 1, Devices: []policy.GPURule{{Match: []string{"a.org/everybodys=*"},
		Sharing: policy.Open}}}
	wish := policy.GPUWish{Count: 1, Kind: "a.org/gpu=1"}
	for held, want := range map[string]string{
		"alice:x a.org/everybodys=7@/dev/e7": "a.org/gpu=1",
		"alice:x a.org/gone=7@/dev/e7":       "limit: alice may hold 1 device at a time and holds 1 already",
		"alice:x a.org/gpu=0":                "limit: alice may hold 1 device at a time and holds 1 already",
	} {
		devices, rules := bench(rules)
		got, err := Choose(Request{Key: key(t, "alice"), Profile: "p", Wish: wish, InGroup: inGroup}, rules, devices,
			leases(t, devices, held))
		check(t, want, got, err)
	}
}

// TestFirstIsOpen checks the limit where the held device is the first of the host.
func TestFirstIsOpen(t *testing.T) {
	open := Device{Device: gpu.Device{Name: "a.org/open=0", Kind: "a.org/open", Nodes: []string{"/dev/o"}},
		Rule: policy.GPURule{Sharing: policy.Open}}
	other := Device{Device: gpu.Device{Name: "a.org/gpu=1", Kind: "a.org/gpu", Nodes: []string{"/dev/g"}},
		Rule: policy.GPURule{Sharing: policy.Exclusive}}
	devices := []Device{open, other}
	got, err := Choose(Request{Key: key(t, "alice"), Wish: policy.GPUWish{Count: 1, Kind: "a.org/gpu"}},
		policy.GPUs{MaxPerUser: 1}, devices, leases(t, devices, "alice:x a.org/open=0"))
	check(t, "a.org/gpu=1", got, err)
}

func TestAtMost(t *testing.T) {
	for n, want := range map[uint64]int{0: 0, 3: 3, 1 << 31: 1 << 31, 1<<31 + 1: unlimited,
		policy.Infinity: unlimited} {
		if got := atMost(n); got != want {
			t.Errorf("%d: %d, want %d", n, got, want)
		}
	}
}

// TestTwoGroups checks that a refusal names each group once.
func TestTwoGroups(t *testing.T) {
	devices, rules := bench(policy.GPUs{Devices: []policy.GPURule{{Match: []string{"*/gpu=*"},
		Sharing:    policy.Exclusive,
		UnixGroups: []string{"staff", "guests"}}}})
	got, err := Choose(Request{Key: key(t, "alice"), Profile: "p", Wish: policy.GPUWish{Count: 1, Kind: "a.org/gpu"},
		InGroup: inGroup}, rules, devices, nil)
	check(t, "limit: not in the Unix group guests, staff", got, err)
}

// TestUnknownFacts checks that a wish for memory on a host whose tool says nothing is told why.
func TestUnknownFacts(t *testing.T) {
	devices, rules := bench(policy.GPUs{})
	for i := range devices {
		devices[i].Facts = gpu.Facts{}
	}
	_, err := Choose(Request{Key: key(t, "alice"), Profile: "p", Wish: policy.GPUWish{Count: 1, Memory: 1}}, rules,
		devices, nil)
	if err == nil || !strings.Contains(err.Error(), "is not known") ||
		hint.Of(err) != "systemctl status gifford-gpus" {
		t.Errorf("error is %v", err)
	}
}
