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
	// limited says that the launcher has refused it although devices were free, as it does
	// when a group has all that it may: it holds up nobody until something changes.
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

// inOrder returns the line as it moves on. Who holds fewer servers with devices comes first,
// those of their that wait before included; then who asked first. So nobody who has much
// keeps others from having something.
func inOrder(entries []entry, devices []backend.Device) []entry {
	line := slices.Clone(entries)
	byTime := func(a, b entry) int {
		return cmp.Or(a.asked.Compare(b.asked), strings.Compare(a.key.String(), b.key.String()))
	}
	slices.SortFunc(line, byTime)
	holds := map[ident.User]int{}
	for key := range holders(devices) {
		holds[key.User]++
	}
	rank := map[ident.Key]int{}
	for _, e := range line {
		rank[e.key] = holds[e.key.User]
		holds[e.key.User]++
	}
	slices.SortStableFunc(line, func(a, b entry) int {
		return cmp.Or(cmp.Compare(rank[a.key], rank[b.key]),
			byTime(a, b))
	})
	return line
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

// plan says who of the line, which is in order, can be started now. Whoever must wait keeps
// the free devices that he can use from those behind them, or who needs two would wait for
// ever. called are those whose turn has come already.
func plan(line, called []entry, devices []backend.Device) (start []ident.Key) {
	left := map[string]int{} // places, by device
	for _, d := range devices {
		switch {
		case !d.Free():
		case d.Places == 0:
			left[d.Name] = len(line) + len(called)
		default:
			left[d.Name] = int(d.Places) - len(d.Holders)
		}
	}
	have := holders(devices)
	for _, e := range called {
		if !have[e.key] {
			take(e, devices, left)
		}
	}
	for _, e := range line {
		if !e.limited && take(e, devices, left) {
			start = append(start, e.key)
		}
	}
	return start
}

// take takes an entry's devices out of what is left. Where they are too few it takes away
// all that the entry could use, and tells false.
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

// place returns an entry's number among those in the line that want the same devices, from 1,
// and how many they are.
func place(line []entry, at int, devices []backend.Device) (number, of int) {
	for i, e := range line {
		if i != at && !e.competes(line[at], devices) {
			continue
		}
		of++
		if i <= at {
			number++
		}
	}
	return number, of
}

// estimate says how long an entry will wait, 0 when nobody can tell. typical is how long
// devices of a kind were held before (0 unknown); ends are ends of servers that were
// announced.
func estimate(line []entry, at int, devices []backend.Device, typical func(kind string) time.Duration,
	ends map[ident.Key]time.Time, now time.Time) time.Duration {
	var free []time.Duration // until each device is free
	var usual time.Duration
	for _, d := range devices {
		if !line[at].wants(d) || d.Health != "" {
			continue
		}
		kind, _, _ := strings.Cut(d.Name, "=")
		usual = max(usual, typical(kind))
		for _, h := range d.Holders {
			left, known := untilEnd(h, typical(kind), ends, now)
			if !known {
				return 0
			}
			free = append(free, left)
		}
	}
	ahead := 0 // devices that must come free
	for i, e := range line[:at+1] {
		if i == at || e.competes(line[at], devices) {
			ahead += e.count
		}
	}
	if len(free) == 0 || ahead == 0 {
		return 0
	}
	slices.Sort(free)
	if ahead > len(free) && usual == 0 {
		return 0
	}
	rounds := time.Duration((ahead - 1) / len(free))
	return free[(ahead-1)%len(free)] + rounds*usual
}

// untilEnd guesses how long a server goes on holding its devices. One that has had them for
// longer than is usual is taken to keep them a quarter of that time more.
func untilEnd(h backend.Holder, usual time.Duration, ends map[ident.Key]time.Time,
	now time.Time) (left time.Duration, known bool) {
	end, announced := ends[h.Key]
	if usual > 0 {
		left, known = max(usual-now.Sub(h.Since), usual/4), true
	}
	if announced && (!known || end.Sub(now) < left) {
		left, known = max(end.Sub(now), 0), true
	}
	return left, known
}

// Ordinal writes a place in the line for people: 1st, 2nd, 11th.
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
