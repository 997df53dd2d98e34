package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// checker finds what no single value shows.
type checker struct {
	*Policy
	file     string
	lines    settings.Lines
	defaults Profile // [defaults]
	problems settings.Problems
}

func (c *checker) check() {
	if uint64(c.SubIDs.First)+uint64(c.SubIDs.Count) > maxID {
		c.add("subids", "first + count is beyond the last id %d", uint64(maxID))
	}
	c.checkProfiles()
	c.checkDevices()
	c.checkGroups()
	c.checkMounts()
	slices.SortStableFunc(c.problems, func(a, b settings.Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
	})
}

// add notes a problem with a key, on its line or that of the section in which it would stand.
func (c *checker) add(key, format string, args ...any) {
	c.problems = append(c.problems, settings.Problem{File: c.file, Line: c.lines.Of(key), Key: key,
		Text: fmt.Sprintf(format, args...)})
}

// addTo notes a problem with the n-th section of a list, from 0.
func (c *checker) addTo(section string, n int, format string, args ...any) {
	c.problems = append(c.problems, settings.Problem{File: c.file,
		Line: c.lines.Of(section + "[" + strconv.Itoa(n) + "]"), Key: section, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) checkProfiles() {
	defaults := 0
	for _, q := range c.Profiles {
		if q.Default {
			defaults++
		}
	}
	switch {
	case len(c.Profiles) == 0:
		c.add("profile", "there is none; add a section [profile.NAME] with an image")
	case defaults != 1:
		c.add("profile", "write default = true in exactly one [profile.NAME]")
	}
	for _, q := range c.Profiles {
		if q.Image == "" {
			c.add("profile."+q.Name+".image", "it is missing; expected %s", image().Name)
		}
		c.checkWish(q)
	}
}

// checkWish finds a profile that says which devices but not how many. What all profiles take from [defaults] is no
// mistake of one of them.
func (c *checker) checkWish(q Profile) {
	d := c.defaults.GPUs
	if q.GPUs.Count == 0 && (q.GPUs.Kind != d.Kind || q.GPUs.Memory != d.Memory || q.GPUs.Model != d.Model) {
		c.add("profile."+q.Name, "gpu_kind, gpu_memory and gpu_model say which devices; how many is missing: gpus, %s",
			devices().Name)
	}
}

func (c *checker) checkDevices() {
	for i, r := range c.GPUs.Devices {
		switch {
		case len(r.Match) == 0:
			c.addTo("gpus.device", i, "each [[gpus.device]] needs match, %s", cdiPatterns().Name)
		case r.Sharing == Shared && r.Places == 0:
			c.addTo("gpus.device", i, "sharing = \"shared\" needs places, %s", places().Name)
		case r.Sharing != Shared && r.Places != 0:
			c.addTo("gpus.device", i, "places counts with sharing = \"shared\" alone")
		}
	}
}

func (c *checker) checkGroups() {
	for _, g := range c.GPUs.Groups {
		if g.MaxPerUser == 0 && g.Max == 0 {
			c.add("gpus.group."+settings.QuoteKey(g.Name), "it limits nothing; it needs max_per_user or max")
		}
	}
}

// checkMounts wants each target once in what one server can have.
func (c *checker) checkMounts() {
	everyones := c.checkList("mount", c.Mounts, nil)
	for _, q := range c.Profiles {
		c.checkList("profile."+q.Name+".mount", q.Mounts, everyones)
	}
}

// checkList checks the mounts of one section and returns their targets. others are the targets that are taken.
func (c *checker) checkList(section string, list []Mount, others map[string]bool) map[string]bool {
	targets := map[string]bool{}
	for i, m := range list {
		switch {
		case m.Source == "" || m.Target == "":
			c.addTo(section, i, "each [[%s]] needs a source and a target", section)
		case m.Create && !m.User:
			c.addTo(section, i, "create = true makes directories of members alone: the last part of the source must "+
				"be "+
				"{user}")
		case c.covers(m.Target):
			c.addTo(section, i, "the target %s would cover the home directories or the shared directory of [host]; "+
				"mount "+
				"it elsewhere", m.Target)
		case targets[m.Target] || others[m.Target]:
			c.addTo(section, i, "the target %s is that of another mount", m.Target)
		}
		targets[m.Target] = true
	}
	return targets
}

// maxID is the last uid that is not one of Linux's two invalid values ((uid_t) -1 in 16 and 32 bits).
const maxID = 1<<32 - 2
