package cull

import "time"

// Override replaces parts of the default for a group's members; nil leaves the default.
type Override struct {
	Idle    *time.Duration
	MaxAge  *time.Duration
	GPUIdle *time.Duration
	Exempt  bool
}

// Policies is the default and the overrides of groups.
type Policies struct {
	Default Policy
	Groups  map[string]Override // by the group's name
}

// For returns the policy of a member of groups. Of several groups the most generous one counts, for each key by itself.
func (ps Policies) For(groups []string) Policy {
	p, found := ps.Default, false
	for _, name := range groups {
		o, ok := ps.Groups[name]
		if !ok {
			continue
		}
		theirs := o.apply(ps.Default)
		if found {
			theirs.Idle, theirs.MaxAge = generous(p.Idle, theirs.Idle), generous(p.MaxAge, theirs.MaxAge)
			theirs.GPUIdle = generous(p.GPUIdle, theirs.GPUIdle)
			theirs.Exempt = p.Exempt || theirs.Exempt
		}
		p, found = theirs, true
	}
	return p
}

func (o Override) apply(p Policy) Policy {
	if o.Idle != nil {
		p.Idle = *o.Idle
	}
	if o.MaxAge != nil {
		p.MaxAge = *o.MaxAge
	}
	if o.GPUIdle != nil {
		p.GPUIdle = *o.GPUIdle
	}
	p.Exempt = o.Exempt
	return p
}

// generous returns the longer time, where 0 means forever.
func generous(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}
