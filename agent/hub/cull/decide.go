// Package cull stops servers that nobody uses. It polls all of them, announces the end of one that has been idle or has
// run too long, or whose owner may not be here any more, and stops it at the announced time. It restarts a server that
// holds an unused GPU without the GPU, or stops it. It must never stop a server for idleness while a kernel or its GPU
// works, or for its owner's departure, while that is unknown. It must never stop one whose end it has not announced for
// as long as the policy says.
package cull

import "time"

// Policy is the rules for the servers of one person.
type Policy struct {
	Idle       time.Duration // without activity, until the end; 0: never
	MaxAge     time.Duration // from the start to the end; 0: never
	MaxAgeBusy bool          // MaxAge ends servers that work, too
	Notice     time.Duration // from the announcement of an end to that end
	Exempt     bool          // it is never ended

	GPUIdle    time.Duration // without use of the GPUs that it holds, until it releases them; 0: never
	GPURestart bool          // it is then started again without them; otherwise it is stopped
}

// Busy is whether a server works.
type Busy int

// The zero value means unknown.
const (
	Unknown Busy = iota
	No
	Yes
)

// Observation is the observed state of one server.
type Observation struct {
	Started      time.Time
	LastActivity time.Time // zero, or before Started: none in this run
	Busy         Busy
	Announced    time.Time // the end that was announced; zero: none
	Reason       string    // of that end

	Leaves time.Time // the end because its owner may not be here any more, whatever the policy; zero: they may

	HoldsGPU bool // it holds devices exclusively
	// GPUUsed is when these were last used, or may have been, or their return was postponed. Zero, or before Started,
	// means not in this run.
	GPUUsed time.Time
}

// Act is what to do with a server.
type Act int

// The acts.
const (
	Leave Act = iota // it alone, and withdraw an announcement
	Announce
	Cull
	Restart // without GPUs
)

// The reasons of an end.
const (
	ReasonIdle   = "idle"
	ReasonMaxAge = "max-age"
	ReasonGPU    = "gpu-idle"
	// ReasonAccessLost says that the owner may not be here any more.
	ReasonAccessLost = "access-lost"
)

// Decision is what to do with a server, when and why.
type Decision struct {
	Act    Act
	At     time.Time // the end; zero for Leave
	Reason string    // one of the reasons; "" for Leave
}

// Decide returns what to do with a server at the time now. It has no effects. An end is announced for the policy's
// whole notice, even when it is due already, as after a restart of the hub. It never moves to a time before the
// announced one.
func Decide(now time.Time, p Policy, o Observation) Decision {
	if o.Reason == ReasonAccessLost {
		o.Announced, o.Reason = time.Time{}, "" // it counts for no other end
	}
	if !o.Leaves.IsZero() {
		return leave(now, p, o)
	}
	return decide(now, p, o)
}

// decide is Decide for a server whose owner may be here.
func decide(now time.Time, p Policy, o Observation) Decision {
	end, reason := p.end(o)
	if reason == "" || now.Before(end.Add(-p.Notice)) {
		return Decision{}
	}
	told := o.Announced
	if told.IsZero() || (reason == ReasonGPU) != (o.Reason == ReasonGPU) {
		told = now.Add(p.Notice) // a restart needs another announcement than a stop
	}
	d := Decision{Act: Announce, At: later(end, told), Reason: reason}
	switch {
	case now.Before(d.At):
	case reason == ReasonGPU && p.GPURestart:
		d.Act = Restart
	default:
		d.Act = Cull
	}
	return d
}

// end returns the earliest end under the policy, and its reason; "" for none.
func (p Policy) end(o Observation) (end time.Time, reason string) {
	if p.Exempt {
		return time.Time{}, ""
	}
	if p.Idle > 0 && o.Busy == No {
		end, reason = later(o.Started, o.LastActivity).Add(p.Idle), ReasonIdle
	}
	if age := p.maxAge(o.Busy); age > 0 {
		if old := o.Started.Add(age); reason == "" || old.Before(end) {
			end, reason = old, ReasonMaxAge
		}
	}
	if p.GPUIdle > 0 && o.HoldsGPU && o.Busy == No {
		if back := later(o.Started, o.GPUUsed).Add(p.GPUIdle); reason == "" || back.Before(end) {
			end, reason = back, ReasonGPU
		}
	}
	return end, reason
}

// maxAge returns how old a server may get; 0 for any age. A server of unknown activity gets twice the time, so that one
// that hangs ends some day.
func (p Policy) maxAge(b Busy) time.Duration {
	switch {
	case b == No, p.MaxAgeBusy:
		return p.MaxAge
	case b == Unknown:
		return 2 * p.MaxAge
	}
	return 0
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
