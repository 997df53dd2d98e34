package lease

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
)

var (
	seed  = flag.Uint64("seed", 20261123, "of the random hosts")
	hosts = flag.Int("hosts", 400, "how many random hosts live a life")
)

// TestProperty lets random hosts live: servers start and end, specifications and health
// change. After each start it checks, by rules that are written once more here, that no
// hardware has two holders that may not share it, that limits hold, and that a refusal was
// right.
func TestProperty(t *testing.T) {
	given, refused := 0, map[Code]int{}
	for i := range *hosts {
		w := newWorld(t, *seed+uint64(i))
		for range 60 {
			w.step(refused)
			if t.Failed() {
				t.Fatalf("host of -seed %d -hosts 1", *seed+uint64(i))
			}
		}
		given += w.given
		w.endAll()
	}
	t.Logf("seed %d: %d times devices were given, refused %v", *seed, given, refused)
	if given < 10**hosts || refused[Taken] < *hosts || refused[Limit] < *hosts || refused[Missing] < *hosts {
		t.Errorf("the hosts are too dull to show anything")
	}
}

// world is a random host.
type world struct {
	t       *testing.T
	r       *rand.Rand
	inv     gpu.Inventory
	state   gpu.State
	rules   policy.GPUs
	held    []Lease
	members map[string][]string
	given   int
	serial  int
}

var users = []string{"alice", "bob", "carol", "dave"}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 1)), members: map[string][]string{}}
	w.rules = policy.GPUs{MaxPerUser: policy.Infinity, Devices: []policy.GPURule{
		{Match: []string{"v.org/shared=*"}, Sharing: policy.Shared, Places: uint32(1 + w.r.IntN(3))},
		{Match: []string{"v.org/open=*"}, Sharing: policy.Open},
	}}
	if w.r.IntN(3) == 0 {
		w.rules.Devices[0].UnixGroups = []string{"g0"}
	}
	if w.r.IntN(2) == 0 {
		w.rules.MaxPerUser = uint64(1 + w.r.IntN(3))
	}
	for i := range w.r.IntN(3) {
		g := policy.GPUGroup{Name: fmt.Sprint("g", i), MaxPerUser: uint64(w.r.IntN(3)), Max: uint64(w.r.IntN(4))}
		w.rules.Groups = append(w.rules.Groups, g)
	}
	for i := range 2 {
		for _, u := range users {
			if w.r.IntN(2) == 0 {
				w.members[u] = append(w.members[u], fmt.Sprint("g", i))
			}
		}
	}
	for i := range 3 + w.r.IntN(6) {
		kind := []string{"v.org/whole", "v.org/whole", "v.org/shared", "v.org/open"}[w.r.IntN(4)]
		d := gpu.Device{Name: fmt.Sprintf("%s=%d", kind, i), Kind: kind}
		for n := range 6 {
			if w.r.IntN(6) == 0 {
				d.Nodes = append(d.Nodes, fmt.Sprint("/dev/n", n))
			}
		}
		// Specifications that describe the same nodes twice are one device: agent/gpu sees to it.
		if !slices.ContainsFunc(w.inv.Devices, func(e gpu.Device) bool {
			return len(d.Nodes) > 0 &&
				slices.Equal(d.Nodes, e.Nodes)
		}) {
			w.inv.Devices = append(w.inv.Devices, d)
		}
	}
	return w
}

func (w *world) inGroup(user ident.User, group string) (bool, error) {
	return slices.Contains(w.members[user.String()], group), nil
}

func (w *world) step(refused map[Code]int) {
	switch n := w.r.IntN(10); {
	case n < 6:
		w.start(refused)
	case n < 8 && len(w.held) > 0: // a server ends or crashes
		i := w.r.IntN(len(w.held))
		w.held = slices.Delete(w.held, i, i+1)
	case n == 8:
		w.rename()
	default:
		w.state.Devices = nil
		for _, d := range w.inv.Devices {
			f := gpu.Facts{UUID: d.Name[len(d.Kind)+1:], Memory: uint64(w.r.IntN(4))}
			if w.r.IntN(14) == 0 {
				f.Health = "sick"
			}
			w.state.Devices = append(w.state.Devices, f)
		}
	}
}

// rename writes a specification again, by other names, while servers hold its devices.
func (w *world) rename() {
	d := &w.inv.Devices[w.r.IntN(len(w.inv.Devices))]
	if len(d.Nodes) > 0 {
		w.serial++
		d.Aliases = nil
		if w.r.IntN(2) == 0 {
			d.Aliases = []string{d.Name}
		}
		d.Name = fmt.Sprintf("%s=new%d", d.Kind, w.serial)
	}
}

func (w *world) start(refused map[Code]int) {
	w.serial++
	key, err := ident.ParseKey(users[w.r.IntN(len(users))], fmt.Sprint("s", w.serial))
	if err != nil {
		w.t.Fatal(err)
	}
	r := Request{Key: key, Profile: "p", Wish: policy.GPUWish{Count: []int{policy.AllGPUs, 0, 1, 1, 1, 1, 2, 2,
		3}[w.r.IntN(9)], Memory: uint64(w.r.IntN(5) / 3)}, InGroup: w.inGroup}
	if w.r.IntN(3) == 0 {
		r.Wish.Kind = []string{"v.org/whole", "v.org/shared", "v.org/open"}[w.r.IntN(3)]
	}
	devices := Devices(w.inv, w.state, w.rules)
	got, err := Choose(r, w.rules, devices, w.held)
	var e *Error
	switch {
	case errors.As(err, &e):
		refused[e.Code]++
		w.checkRefusal(r, devices, e)
	case err != nil:
		w.t.Fatal(err)
	default:
		w.checkLease(r, devices, got)
		if len(got) > 0 {
			w.given++
			w.held = append(w.held, Lease{Key: key, Profile: "p", Devices: got})
		}
	}
}

// checkLease checks a lease that was given before it counts.
func (w *world) checkLease(r Request, devices []Device, got []gpu.Device) {
	if r.Wish.Count >= 0 && len(got) != r.Wish.Count {
		w.t.Fatalf("%d devices instead of %d", len(got), r.Wish.Count)
	}
	var chosen []Device
	for _, g := range got {
		i := slices.IndexFunc(devices, func(d Device) bool { return d.Name == g.Name })
		if i < 0 {
			w.t.Fatalf("there is no device %s", g.Name)
		}
		chosen = append(chosen, devices[i])
	}
	if why := w.wrong(r, chosen, w.held, w.held, true); why != "" {
		w.t.Errorf("%s got %v while others hold %v: %s", r.Key, got, w.held, why)
	}
}

// wrong says why a server may not have just these devices. holders are those of devices,
// counted those whose devices count for limits.
func (w *world) wrong(r Request, chosen []Device, holders, counted []Lease, limits bool) string {
	cost := 0
	for i, d := range chosen {
		if d.Facts.Health != "" || d.Facts.Memory < r.Wish.Memory || r.Wish.Kind != "" && r.Wish.Kind != d.Kind {
			return d.Name + " does not suit"
		}
		if len(d.Rule.UnixGroups) > 0 && !slices.Contains(w.members[r.Key.User.String()], "g0") {
			return d.Name + " is for others"
		}
		if d.Kind != "v.org/open" {
			cost++
		}
		for _, e := range chosen[:i] {
			if touches(d.Device, e.Device) && !(r.Wish.Count < 0) {
				return d.Name + " and " + e.Name + " are the same hardware"
			}
		}
		if why := w.busy(d, holders); why != "" {
			return why
		}
	}
	if limits && w.overLimit(r.Key.User.String(), cost, counted) {
		return "it is over a limit"
	}
	return ""
}

func touches(d, e gpu.Device) bool {
	return d.Name == e.Name || slices.Contains(d.Aliases, e.Name) ||
		slices.ContainsFunc(d.Nodes, func(n string) bool { return slices.Contains(e.Nodes, n) })
}

func (w *world) busy(d Device, holders []Lease) string {
	same := 0
	for _, l := range holders {
		for _, h := range l.Devices {
			is := h.Name == d.Name || slices.Contains(d.Aliases, h.Name) || len(d.Nodes) > 0 &&
				slices.Equal(d.Nodes, h.Nodes)
			switch {
			case is:
				same++
			case touches(d.Device, h) && (d.Kind != "v.org/open" || h.Kind != "v.org/open"):
				return d.Name + " shares hardware with " + h.Name + " of " + l.Key.String()
			}
		}
	}
	if d.Kind == "v.org/whole" && same > 0 || d.Kind == "v.org/shared" && same >= int(w.rules.Devices[0].Places) {
		return d.Name + " has no place left"
	}
	return ""
}

func (w *world) overLimit(user string, cost int, counted []Lease) bool {
	holds := func(of func(string) bool) (n int) {
		for _, l := range counted {
			for _, h := range l.Devices {
				if h.Kind != "v.org/open" && of(l.Key.User.String()) {
					n++
				}
			}
		}
		return n
	}
	most, generous := w.rules.MaxPerUser, uint64(0)
	for _, g := range w.rules.Groups {
		in := func(u string) bool { return slices.Contains(w.members[u], g.Name) }
		if !in(user) {
			continue
		}
		generous = max(generous, g.MaxPerUser)
		if g.Max > 0 && cost > 0 && uint64(holds(in)+cost) > g.Max {
			return true
		}
	}
	if generous > 0 {
		most = generous
	}
	return cost > 0 && uint64(holds(func(u string) bool { return u == user })+cost) > most
}

// checkRefusal tries every set of devices.
func (w *world) checkRefusal(r Request, devices []Device, e *Error) {
	possible := func(holders, counted []Lease, limits bool) bool {
		for set := range 1 << len(devices) {
			var chosen []Device
			for i, d := range devices {
				if set>>i&1 == 1 {
					chosen = append(chosen, d)
				}
			}
			if len(chosen) == r.Wish.Count && w.wrong(r, chosen, holders, counted, limits) == "" {
				return true
			}
		}
		return false
	}
	var own []Lease
	for _, l := range w.held {
		if l.Key.User == r.Key.User {
			own = append(own, l)
		}
	}
	switch {
	case r.Wish.Count <= 0:
		w.t.Errorf("%d devices are refused: %v", r.Wish.Count, e)
	case possible(w.held, w.held, true):
		w.t.Errorf("refused though there are devices: %v; held: %v", e, w.held)
	case e.Code == Taken && !possible(nil, nil, true):
		w.t.Errorf("never possible, but told to wait: %v", e)
	case e.Code == Missing && possible(nil, nil, false):
		w.t.Errorf("the host has them: %v", e)
	case e.Code == Limit && possible(nil, own, true):
		w.t.Errorf("no limit is in the way: %v", e)
	}
}

// endAll ends every server and checks that all is free again.
func (w *world) endAll() {
	w.held = nil
	for _, d := range Devices(w.inv, gpu.State{}, w.rules) {
		for _, u := range users {
			key, err := ident.ParseKey(u, "")
			if err != nil {
				w.t.Fatal(err)
			}
			r := Request{Key: key, Profile: "p", Wish: policy.GPUWish{Count: 1, Kind: d.Name}, InGroup: w.inGroup}
			if _, err := Choose(r, w.rules, Devices(w.inv, gpu.State{}, w.rules), nil); err != nil &&
				len(d.Rule.UnixGroups) == 0 {
				w.t.Errorf("%s is lost: %v", d.Name, err)
			}
		}
	}
}
