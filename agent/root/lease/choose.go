package lease

import (
	"cmp"
	"math"
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/policy"
)

// allocation is one request with all that it depends on.
type allocation struct {
	Request
	rules policy.GPUs
	all   []Device
	held  []Lease
}

func (a allocation) suiting() []Device {
	return slices.DeleteFunc(slices.Clone(a.all), func(d Device) bool { return !d.Suits(a.Wish) })
}

// persistent returns exactly the devices of the persistent container.
func (a allocation) persistent() ([]gpu.Device, error) {
	var list []Device
	for _, name := range a.Devices {
		i := slices.IndexFunc(a.all, func(d Device) bool { return slices.Contains(names(d.Device), name) })
		if i < 0 {
			return nil, refuse(Missing, "the persistent container of server %s has %s, which this host no longer "+
				"has", a.Key, name).withHint(toReset)
		}
		if !slices.ContainsFunc(list, func(d Device) bool { return d.Name == a.all[i].Name }) {
			list = append(list, a.all[i])
		}
	}
	return a.from(list, len(list))
}

// open returns every device that is open to all; none is no error.
func (a allocation) open() ([]gpu.Device, error) {
	list, err := a.permitted(a.suiting())
	if err != nil {
		return nil, err
	}
	var chosen []gpu.Device
	for _, d := range list {
		if d.Facts.Health == "" && a.free(d) {
			chosen = append(chosen, d.Device)
		}
	}
	return chosen, nil
}

// from chooses so many of the devices. It checks what would hold on an empty host first and what holds now last, so
// that the first obstacle is the reason of the refusal.
func (a allocation) from(list []Device, count int) ([]gpu.Device, error) {
	if pick(list, count, unlimited) == nil {
		return nil, a.missing(list, count)
	}
	mine, err := a.permitted(list)
	if err != nil {
		return nil, err
	}
	if pick(mine, count, unlimited) == nil {
		return nil, a.notPermitted(list)
	}
	working := slices.DeleteFunc(slices.Clone(mine), func(d Device) bool { return d.Facts.Health != "" })
	if pick(working, count, unlimited) == nil {
		return nil, a.unhealthy(mine, count)
	}
	budget, err := a.budget(working, count)
	if err != nil {
		return nil, err
	}
	free := slices.DeleteFunc(slices.Clone(working), func(d Device) bool { return !a.free(d) })
	a.sort(free)
	chosen := pick(free, count, budget)
	if chosen == nil {
		return nil, a.taken(working, count)
	}
	return chosen, nil
}

// budget returns how many devices that count for limits the server may get. Limits that forbid it whoever holds what
// come first, since no wait would help.
func (a allocation) budget(list []Device, count int) (int, error) {
	limits, err := a.limits()
	if err != nil {
		return 0, err
	}
	for _, l := range limits {
		if pick(list, count, l.max) == nil {
			return 0, a.limited(l, false)
		}
	}
	budget := unlimited
	for _, l := range limits {
		if pick(list, count, l.room()) == nil {
			return 0, a.limited(l, true)
		}
		budget = min(budget, l.room())
	}
	return budget, nil
}

// permitted returns the devices without those for members of other groups.
func (a allocation) permitted(list []Device) ([]Device, error) {
	var mine []Device
	for _, d := range list {
		ok := len(d.Rule.UnixGroups) == 0
		for _, g := range d.Rule.UnixGroups {
			in, err := a.InGroup(a.Key.User, g)
			if err != nil {
				return nil, err
			}
			ok = ok || in
		}
		if ok {
			mine = append(mine, d)
		}
	}
	return mine, nil
}

// free reports whether one more server may hold the device.
func (a allocation) free(d Device) bool {
	capacity := d.Rule.Capacity()
	if capacity > 0 && len(a.holders(d)) >= int(capacity) {
		return false
	}
	return len(a.inTheWay(d)) == 0
}

func (a allocation) holders(d Device) (some []Lease) {
	for _, l := range a.held {
		if l.Holds(d.Device) {
			some = append(some, l)
		}
	}
	return some
}

// inTheWay returns the leases of other devices that share hardware with this one. Two open devices may share hardware.
func (a allocation) inTheWay(d Device) (some []Lease) {
	for _, l := range a.held {
		if slices.ContainsFunc(l.Devices, func(h gpu.Device) bool {
			return !same(h, d.Device) && h.Overlaps(d.Device) && !(a.isOpen(h) && d.Rule.Sharing == policy.Open)
		}) {
			some = append(some, l)
		}
	}
	return some
}

// isOpen reports whether a held device counts for no limit. The host may no longer have it.
func (a allocation) isOpen(h gpu.Device) bool {
	if i := slices.IndexFunc(a.all, func(d Device) bool { return same(h, d.Device) }); i >= 0 {
		return a.all[i].Rule.Sharing == policy.Open
	}
	return a.rules.Rule(names(h)...).Sharing == policy.Open
}

// sort puts first what is to be lent first: a device that is not open, then what the fewest hold, then what has the
// least memory, so that the largest are left for those who need them.
func (a allocation) sort(list []Device) {
	slices.SortStableFunc(list, func(d, e Device) int {
		return cmp.Or(cmp.Compare(cost(e), cost(d)), cmp.Compare(len(a.holders(d)), len(a.holders(e))),
			cmp.Compare(d.Facts.Memory, e.Facts.Memory))
	})
}

// unlimited is a budget that is never used up.
const unlimited = math.MaxInt

// pick returns the first so many devices of a list of which no two share hardware and no more than the budget count for
// limits; nil if there are none. It tries others where the first in the list leave too few: a whole GPU shares hardware
// with all its instances.
func pick(list []Device, count, budget int) []gpu.Device {
	if count == 0 {
		return []gpu.Device{}
	}
	for i, d := range list {
		if !enough(list[i:], count, budget) {
			return nil
		}
		left := budget - cost(d)
		if left < 0 {
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(list[i+1:]), func(e Device) bool { return d.Overlaps(e.Device) })
		if more := pick(rest, count-1, left); more != nil {
			return append([]gpu.Device{d.Device}, more...)
		}
	}
	return nil
}

// enough reports whether there can be so many in a list at all.
func enough(list []Device, count, budget int) bool {
	counted := 0
	for _, d := range list {
		counted += cost(d)
	}
	return len(list)-counted+min(counted, max(budget, 0)) >= count
}

// cost is what a device takes of a limit.
func cost(d Device) int {
	if d.Rule.Sharing == policy.Open {
		return 0
	}
	return 1
}
