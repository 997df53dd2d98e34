package policy

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// AllGPUs is GPUWish.Count of a profile that gets every device that is open to all.
const AllGPUs = -1

// Sharing says how many servers may hold a device at a time.
type Sharing string

// The ways in which a device is lent.
const (
	Exclusive Sharing = "exclusive" // to one
	Shared    Sharing = "shared"    // to as many as there are places
	Open      Sharing = "open"      // to all; it counts for no limit
)

// GPUs is what holds for the devices of CDI specifications.
type GPUs struct {
	MaxPerUser uint64     // devices of one member at a time, or Infinity
	Devices    []GPURule  // the first that matches counts
	Groups     []GPUGroup // by name
}

// GPURule says how the devices that it matches are lent.
type GPURule struct {
	Match      []string // patterns (path.Match) of qualified CDI names
	Sharing    Sharing
	Places     uint32   // how many servers may hold a shared one; 0 for others
	UnixGroups []string // one of them is needed to get one; none set: everyone may
}

// GPUGroup limits what the members of a Unix group hold.
type GPUGroup struct {
	Name       string
	MaxPerUser uint64 // of one member, instead of GPUs.MaxPerUser; 0 where nothing is said
	Max        uint64 // of all members together; 0 where nothing is said
}

// GPUWish is which devices a server of a profile gets.
type GPUWish struct {
	Count  int    // AllGPUs: every open one, none where there is none
	Kind   string // a kind such as "nvidia.com/gpu", or a pattern of qualified names; "" for any
	Memory uint64 // bytes that a device must have at least
	Model  string // pattern of the vendor's name of the device; "" for any
}

// Rule returns the rule for a device with these qualified names.
func (g GPUs) Rule(names ...string) GPURule {
	for _, r := range g.Devices {
		if slices.ContainsFunc(names, r.matches) {
			return r
		}
	}
	return GPURule{Sharing: Exclusive}
}

func (r GPURule) matches(name string) bool {
	return slices.ContainsFunc(r.Match, func(pattern string) bool { return matches(pattern, name) })
}

// Capacity reports how many servers may hold a device at a time; 0 for any number.
func (r GPURule) Capacity() uint32 {
	switch r.Sharing {
	case Open:
		return 0
	case Shared:
		return r.Places
	}
	return 1
}

// Suits reports whether a device is what the wish asks for. A memory or model that is not
// known suits no wish that names one.
func (w GPUWish) Suits(kind string, names []string, memory uint64, model string) bool {
	ofKind := func(name string) bool { return matches(w.Kind, name) }
	switch {
	case w.Kind != "" && !ofKind(kind) && !slices.ContainsFunc(names, ofKind):
		return false
	case w.Model != "" && !matches(plain(w.Model), plain(model)):
		return false
	}
	return memory >= w.Memory
}

// plain makes models comparable: case does not count, and "/" is no separator in them.
func plain(model string) string { return strings.ReplaceAll(strings.ToLower(model), "/", "|") }

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil // the file's patterns have been checked
}

func (g gpus) gpus() GPUs {
	all := GPUs{MaxPerUser: g.MaxPerUser.uint64}
	for _, d := range g.Device {
		r := GPURule{Sharing: Sharing(d.Sharing.string), Places: d.Places, UnixGroups: groups(d.UnixGroups)}
		if r.Sharing == "" {
			r.Sharing = Exclusive
		}
		for _, p := range d.Match {
			r.Match = append(r.Match, p.string)
		}
		all.Devices = append(all.Devices, r)
	}
	for _, name := range slices.Sorted(maps.Keys(g.Group)) {
		all.Groups = append(all.Groups, GPUGroup{name, g.Group[name].MaxPerUser.uint64, g.Group[name].Max.uint64})
	}
	return all
}

// checkGPUs finds what no single value shows.
func (p *Policy) checkGPUs(add func(key, format string, args ...any), addRule func(n int, format string, args ...any)) {
	for i, r := range p.GPUs.Devices {
		switch {
		case len(r.Match) == 0:
			addRule(i, "each [[gpus.device]] needs match, %s", expected["match"])
		case r.Sharing == Shared && r.Places == 0:
			addRule(i, "sharing = \"shared\" needs places, %s", expected["places"])
		case r.Sharing != Shared && r.Places != 0:
			addRule(i, "places counts with sharing = \"shared\" alone")
		}
	}
	for _, g := range p.GPUs.Groups {
		if key := "gpus.group." + g.Name; !validGroup(g.Name) {
			add(key, "expected the name of a Unix group, found %.60q", g.Name)
		} else if g.MaxPerUser == 0 && g.Max == 0 {
			add(key, "it limits nothing; it needs max_per_user or max")
		}
	}
	for _, q := range p.Profiles {
		if q.GPUs.Memory == Infinity {
			add("profile."+q.Name+".gpu_memory", "expected %s", expected["gpu_memory"])
		}
	}
}

// checkWishes finds profiles that say which devices but not how many. What all profiles
// take from [defaults] is no mistake of one of them.
func (f file) checkWishes(p *Policy, name string, data []byte) (ps Problems) {
	defaults := f.Defaults.profile("").GPUs
	for _, q := range p.Profiles {
		if q.GPUs.Count == 0 && (q.GPUs.Kind != defaults.Kind || q.GPUs.Memory != defaults.Memory ||
			q.GPUs.Model != defaults.Model) {
			key := "profile." + q.Name
			ps = append(ps, Problem{name, lineOf(data, key), key,
				"gpu_kind, gpu_memory and gpu_model say which devices; how many is missing: gpus, " + expected["gpus"]})
		}
	}
	return ps
}
