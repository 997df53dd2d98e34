package lease

import (
	"fmt"
	"slices"
	"strings"
)

// missing says that the host lacks what the profile asks for.
func (a allocation) missing(list []Device, count int) error {
	if a.Persistent {
		return refuse(Missing, "the persistent container of server %s has %s, which are no longer apart from each "+
			"other", a.Key, nameAll(list)).withHint(toReset)
	}
	has, step := "it has none", "gifford-hub gpus"
	if len(list) > 0 {
		has = "it has " + nameAll(list)
	}
	if a.unknown() {
		has += "; of others the memory or model is not known"
		step = "systemctl status gifford-gpus"
	}
	return refuse(Missing, "this host lacks what profile %q needs, %s: %s", a.Profile, a.wish(count), has).
		withHint(step)
}

// unknown reports whether devices are left out because their memory or model is not known.
func (a allocation) unknown() bool {
	anyOfKind := a.Wish
	anyOfKind.Memory, anyOfKind.Model = 0, ""
	return slices.ContainsFunc(a.all, func(d Device) bool {
		return d.Suits(anyOfKind) && (a.Wish.Memory > 0 && d.Facts.Memory == 0 || a.Wish.Model != "" &&
			d.Facts.Model == "")
	})
}

func (a allocation) notPermitted(list []Device) error {
	var groups []string
	for _, d := range list {
		for _, g := range d.Rule.UnixGroups {
			if !slices.Contains(groups, g) {
				groups = append(groups, g)
			}
		}
	}
	slices.Sort(groups)
	return refuse(Limit, "%s may not have the devices that profile %q needs: not in the Unix group %s", a.Key.User,
		a.Profile, strings.Join(groups, ", "))
}

func (a allocation) unhealthy(list []Device, count int) error {
	var bad []string
	for _, d := range list {
		if d.Facts.Health != "" {
			bad = append(bad, fmt.Sprintf("%s: %s", d.Name, d.Facts.Health))
		}
	}
	what := fmt.Sprintf("too few of the devices that profile %q needs are in order", a.Profile)
	step := "ask your administrator"
	if a.Persistent {
		what = fmt.Sprintf("devices of the persistent container of server %s are out of order", a.Key)
		step = toReset + "; it gets other devices then"
	}
	return refuse(Missing, "%s (it needs %d): %s", what, count, shortened(bad)).withHint(step)
}

// limited says that a limit forbids it: for good, or until servers end.
func (a allocation) limited(l limit, later bool) error {
	switch {
	case !later && l.group == "":
		return refuse(Limit, "%s may hold %s at a time, and profile %q needs more", a.Key.User, number(l.max),
			a.Profile)
	case !later:
		return refuse(Limit, "the members of the Unix group %s together may hold %s at a time, and profile %q needs "+
			"more", l.group, number(l.max), a.Profile)
	case l.group == "":
		return refuse(Limit, "%s may hold %s at a time and holds %d already", a.Key.User, number(l.max),
			l.held).withHint("stop " + servers(l.holders, " or ") + " first")
	}
	return refuse(Taken, "the members of the Unix group %s together may hold %s at a time; they are held by %s",
		l.group, number(l.max), servers(l.holders, ", "))
}

// taken says who holds what the profile could have.
func (a allocation) taken(list []Device, count int) error {
	var held []string
	for _, d := range list {
		by := a.holders(d)
		if a.free(d) {
			continue
		} else if capacity := d.Rule.Capacity(); capacity == 0 || len(by) < int(capacity) {
			by = a.inTheWay(d)
		}
		held = append(held, d.Name+" is held by "+servers(by, ", "))
	}
	free := "none is free"
	if n := len(list) - len(held); n > 0 {
		free = fmt.Sprintf("too few are free (%d)", n)
	}
	if a.Persistent {
		return refuse(Taken, "the devices of the persistent container of server %s are not free: %s", a.Key,
			shortened(held))
	}
	return refuse(Taken, "profile %q needs %s, of which %s: %s", a.Profile, a.wish(count), free, shortened(held))
}

// wish says what the profile asks for.
func (a allocation) wish(count int) string {
	words := number(count)
	if a.Wish.Kind != "" {
		words += " of kind " + a.Wish.Kind
	}
	if a.Wish.Model != "" {
		words += " of model " + a.Wish.Model
	}
	if a.Wish.Memory != 0 {
		words += fmt.Sprintf(" with at least %.4g GiB of memory", float64(a.Wish.Memory)/(1<<30))
	}
	return words
}

func number(n int) string {
	if n == 1 {
		return "1 device"
	}
	return fmt.Sprintf("%d devices", n)
}

// maxListed is how many things a message names; the rest are on the page of GPUs.
const maxListed = 8

func shortened(words []string) string {
	if more := len(words) - maxListed; more > 0 {
		words = append(slices.Clone(words[:maxListed]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, "; ")
}

func nameAll(list []Device) string {
	var all []string
	for _, d := range list {
		all = append(all, d.Name)
	}
	return strings.ReplaceAll(shortened(all), ";", ",")
}

// servers names the servers of leases, each once.
func servers(all []Lease, between string) string {
	var keys []string
	for _, l := range all {
		if key := l.Key.String(); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	if len(keys) > maxListed {
		keys = append(keys[:maxListed], "others")
	}
	return strings.Join(keys, between)
}
