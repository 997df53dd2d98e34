package servers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// entry is a start that waits for devices, as the plan sees it.
type entry struct {
	key     ident.Key
	profile string // its name, never ""
	count   int    // devices that it needs
	asked   time.Time
	// limited says that the backend has refused it although devices were free, as it does when a group has all that it
	// may: it holds up nobody until something changes.
	limited bool
}

// wants reports whether an entry can use a device.
func (e entry) wants(d backend.Device) bool {
	return d.Sharing != backend.Open && slices.Contains(d.Profiles, e.profile)
}

// competes reports whether two entries can use the same device.
func (e entry) competes(f entry, devices []backend.Device) bool {
	return slices.ContainsFunc(devices, func(d backend.Device) bool { return e.wants(d) && f.wants(d) })
}

// inOrder returns the order in which the queue moves on: first whose user has fewer servers with devices, counting
// those that are before it in the queue; then who asked first. So nobody who has much keeps others from having
// something.
func inOrder(entries []entry, devices []backend.Device) []entry {
	queue := slices.Clone(entries)
	byTime := func(a, b entry) int {
		return cmp.Or(a.asked.Compare(b.asked), strings.Compare(a.key.String(), b.key.String()))
	}
	slices.SortFunc(queue, byTime)
	holds := map[ident.User]int{}
	for key := range holders(devices) {
		holds[key.User]++
	}
	rank := map[ident.Key]int{}
	for _, e := range queue {
		rank[e.key] = holds[e.key.User]
		holds[e.key.User]++
	}
	slices.SortStableFunc(queue, func(a, b entry) int {
		return cmp.Or(cmp.Compare(rank[a.key], rank[b.key]), byTime(a, b))
	})
	return queue
}

// holders returns the servers that hold devices which are not open to all.
func holders(devices []backend.Device) map[ident.Key]bool {
	all := map[ident.Key]bool{}
	for _, d := range devices {
		for _, h := range d.Holders {
			if d.Sharing != backend.Open {
				all[h.Key] = true
			}
		}
	}
	return all
}

// plan returns who of the queue, which is in order, can be started now. Free devices that an entry can use but that are
// too few for it stay free: otherwise those behind would take them, and who needs two would wait for ever. called are
// those whose turn has come already.
func plan(queue, called []entry, devices []backend.Device) (start []ident.Key) {
	left := placesLeft(devices, len(queue)+len(called))
	have := holders(devices)
	for _, e := range called {
		if !have[e.key] {
			take(e, devices, left)
		}
	}
	for _, e := range queue {
		if !e.limited && take(e, devices, left) {
			start = append(start, e.key)
		}
	}
	return start
}

// placesLeft returns how many more servers may hold each device, at most many.
func placesLeft(devices []backend.Device, many int) map[string]int {
	left := map[string]int{}
	for _, d := range devices {
		switch {
		case !d.Free():
		case d.Places == 0:
			left[d.Name] = many
		default:
			left[d.Name] = int(d.Places) - len(d.Holders)
		}
	}
	return left
}

// take takes an entry's devices out of what is left. Where they are too few it takes away all that the entry could use,
// and returns false.
func take(e entry, devices []backend.Device, left map[string]int) bool {
	var usable []string
	for _, d := range devices {
		if left[d.Name] > 0 && e.wants(d) {
			usable = append(usable, d.Name)
		}
	}
	if len(usable) < e.count {
		for _, name := range usable {
			left[name] = 0
		}
		return false
	}
	for _, name := range usable[:e.count] {
		left[name]--
	}
	return true
}

// position returns an entry's position among those in the queue that want the same devices, from 1, and how many they
// are.
func position(queue []entry, at int, devices []backend.Device) (n, of int) {
	for i, e := range queue {
		if i != at && !e.competes(queue[at], devices) {
			continue
		}
		of++
		if i <= at {
			n++
		}
	}
	return n, of
}

// past is what is known of how long devices are held.
type past struct {
	typical func(kind string) time.Duration // how long devices of a kind were held before; 0: unknown
	ends    map[ident.Key]time.Time         // ends of servers that were announced
	now     time.Time
}

// estimate returns how long an entry will wait, 0 while that is not known.
func estimate(queue []entry, at int, devices []backend.Device, p past) time.Duration {
	free, usual, known := p.untilFree(queue[at], devices)
	ahead := 0 // devices that must come free
	for i, e := range queue[:at+1] {
		if i == at || e.competes(queue[at], devices) {
			ahead += e.count
		}
	}
	if !known || len(free) == 0 || ahead == 0 || ahead > len(free) && usual == 0 {
		return 0
	}
	rounds := time.Duration((ahead - 1) / len(free))
	return free[(ahead-1)%len(free)] + rounds*usual
}

// untilFree returns how long each place of the devices that an entry wants stays taken, in order, and how long they are
// usually held. known is false when that is not known of one of them.
func (p past) untilFree(e entry, devices []backend.Device) (free []time.Duration, usual time.Duration, known bool) {
	for _, d := range devices {
		if !e.wants(d) || d.Health != "" {
			continue
		}
		kind, _, _ := strings.Cut(d.Name, "=")
		typical := p.typical(kind)
		usual = max(usual, typical)
		for _, h := range d.Holders {
			left, known := p.untilEnd(h, typical)
			if !known {
				return nil, 0, false
			}
			free = append(free, left)
		}
	}
	slices.Sort(free)
	return free, usual, true
}

// untilEnd estimates how long a server goes on holding its devices. One that has had them for longer than is usual
// counts as holding them for a quarter of that time more.
func (p past) untilEnd(h backend.Holder, usual time.Duration) (left time.Duration, known bool) {
	end, announced := p.ends[h.Key]
	if usual > 0 {
		left, known = max(usual-p.now.Sub(h.Since), usual/4), true
	}
	if announced && (!known || end.Sub(p.now) < left) {
		left, known = max(end.Sub(p.now), 0), true
	}
	return left, known
}

// Ordinal writes a position for people: 1st, 2nd, 11th.
func Ordinal(n int) string {
	suffix := "th"
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprintf("%d%s", n, suffix)
}
