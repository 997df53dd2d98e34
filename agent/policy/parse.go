package policy

import (
	"cmp"
	"maps"
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// draft is what the table of keys fills.
type draft struct {
	Policy
	defaults Profile
	profiles map[string]*Profile
	groups   map[string]*GPUGroup
}

// Parse reads launcher.toml; file is its path, for messages. The error is settings.Problems.
func Parse(file string, data []byte) (*Policy, error) {
	d := draft{profiles: map[string]*Profile{}, groups: map[string]*GPUGroup{}}
	t := table()
	if err := t.Defaults(&d); err != nil {
		return nil, settings.Problems{{File: file, Text: err.Error()}}
	}
	read := t.Read(&d, file, data)
	if len(read.Problems) > 0 {
		return nil, read.Problems
	}
	p := d.policy()
	c := checker{Policy: p, file: file, lines: read.Lines, defaults: d.defaults}
	if c.check(); len(c.problems) > 0 {
		return nil, c.problems
	}
	return p, nil
}

// policy puts the sections with names in order and fills in what depends on other keys.
func (d *draft) policy() *Policy {
	p := d.Policy
	for _, name := range slices.Sorted(maps.Keys(d.groups)) {
		p.GPUs.Groups = append(p.GPUs.Groups, *d.groups[name])
	}
	for i, m := range p.Mounts {
		p.Mounts[i].User = m.ofMembers()
	}
	for _, name := range slices.Sorted(maps.Keys(d.profiles)) {
		p.Profiles = append(p.Profiles, d.profiles[name].completed())
	}
	if len(p.Profiles) == 1 {
		p.Profiles[0].Default = true
	}
	slices.SortStableFunc(p.Profiles, func(a, b Profile) int { return cmp.Compare(rank(a), rank(b)) })
	return &p
}

func rank(p Profile) int {
	if p.Default {
		return 0
	}
	return 1
}

// completed returns the profile with what follows from its other keys.
func (p Profile) completed() Profile {
	p.DisplayName = cmp.Or(p.DisplayName, p.Name)
	switch {
	case p.Pull != "":
	case p.Archive == "":
		p.Pull = PullMissing
	default:
		// An archive is the administrator's copy: a registry must not replace it behind their back.
		p.Pull = PullNever
	}
	for i, m := range p.Mounts {
		p.Mounts[i].User = m.ofMembers()
	}
	return p
}

// clone returns a profile that shares no map with p; lists are never changed in place.
func (p Profile) clone() *Profile {
	p.Env = maps.Clone(p.Env)
	return &p
}
