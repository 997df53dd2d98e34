package policy

import (
	"path"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/settings"
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

func gpuKeys() []settings.Key[draft] {
	return []settings.Key[draft]{
		settings.Define("gpus.max_per_user", number(), func(d *draft,
			_ settings.Entry) *uint64 {
			return &d.GPUs.MaxPerUser
		},
			settings.Words{Default: `"infinity"`, Doc: "How many devices one member may hold at a time, over all " +
				"servers. Open devices do not count."}),
		inDevice("match", cdiPatterns(), func(r *GPURule) *[]string { return &r.Match },
			settings.Words{Example: `["nvidia.com/gpu=0"]`, Doc: "Patterns of qualified names, such as " +
				"`nvidia.com/gpu=*`, in which * stands for anything but /. Any name of a device counts. Required."}),
		inDevice("sharing", settings.OneOf(Exclusive, Shared, Open), func(r *GPURule) *Sharing { return &r.Sharing },
			settings.Words{Default: `"exclusive"`, Example: `"shared"`,
				Doc: "`\"exclusive\"` lends a device to one server at a time, `\"shared\"` to as many as it has " +
					"places, `\"open\"` to every one."}),
		inDevice("places", places(), func(r *GPURule) *uint32 { return &r.Places },
			settings.Words{Example: `4`, Doc: "How many servers may hold a shared device at a time. Servers that " +
				"share a device share its memory, too."}),
		inDevice("unix_groups", unixGroups(), func(r *GPURule) *[]string { return &r.UnixGroups },
			settings.Words{Default: `[]`, Example: `["gpu"]`,
				Doc: "Unix groups one of which is needed to get the device; empty: everyone may."}),
		inGroup("max_per_user", number(), func(g *GPUGroup) *uint64 { return &g.MaxPerUser },
			settings.Words{Example: `1`, Doc: "How many devices each of them may hold at a time, instead of that of " +
				"[gpus]. Of several groups of a member the most generous counts."}),
		inGroup("max", number(), func(g *GPUGroup) *uint64 { return &g.Max },
			settings.Words{Example: `2`, Doc: "How many devices all of them together may hold at a time."}),
	}
}

func inDevice[T any](name string, k settings.Kind[T], field func(*GPURule) *T, w settings.Words) settings.Key[draft] {
	return settings.Define("gpus.device[]."+name, k,
		func(d *draft, at settings.Entry) *T { return field(&d.GPUs.Devices[at.Index]) }, w)
}

func inGroup[T any](name string, k settings.Kind[T], field func(*GPUGroup) *T, w settings.Words) settings.Key[draft] {
	return settings.Define("gpus.group.*."+name, k,
		func(d *draft, at settings.Entry) *T { return field(d.groups[at.Name]) }, w)
}
