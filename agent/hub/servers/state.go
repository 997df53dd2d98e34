package servers

import "fmt"

// State is where a server is in its life, as people and JupyterHub's API see it.
type State string

// The states of a server. Failed is Stopped with a reason that the user has not yet
// answered by a new start.
const (
	Stopped  State = "stopped"
	Queued   State = "queued"   // it waits for devices that others hold; there is no unit
	Starting State = "starting" // the launcher prepares and starts the unit
	Waiting  State = "waiting"  // the unit is active, its HTTP server does not answer yet
	Ready    State = "ready"    // it answers; the proxy has its route
	Stopping State = "stopping"
	Failed   State = "failed"
)

// Pending reports whether the server is on its way to Ready.
func (s State) Pending() bool { return s == Queued || s == Starting || s == Waiting }

// Active reports whether a unit exists, is being made, or waits to be.
func (s State) Active() bool { return s.Pending() || s == Ready || s == Stopping }

// event is what can happen to a server.
type event string

const (
	startAsked  event = "start asked"
	noDevice    event = "no device free"
	turnCame    event = "turn came"
	stopAsked   event = "stop asked"
	unitActive  event = "unit active"
	answered    event = "answered"
	unitEnded   event = "unit ended"
	startFailed event = "start failed"
)

// next returns the state after an event, or an error for an event that must not
// happen in that state. It has no effects.
func next(s State, e event) (State, error) {
	switch e {
	case startAsked:
		if s == Stopped || s == Failed {
			return Starting, nil
		}
	case noDevice:
		if s == Starting {
			return Queued, nil
		}
	case turnCame:
		if s == Queued {
			return Starting, nil
		}
	case stopAsked:
		switch s {
		case Queued: // there is nothing to stop
			return Stopped, nil
		case Starting, Waiting, Ready:
			return Stopping, nil
		}
	case unitActive:
		switch s {
		case Stopped, Failed, Queued, Starting: // a unit that somebody else started is one of ours too
			return Waiting, nil
		case Waiting, Ready, Stopping: // already known: the answer to our own start
			return s, nil
		}
	case answered:
		if s == Waiting {
			return Ready, nil
		}
	case unitEnded:
		switch s {
		case Starting, Waiting, Ready:
			return Failed, nil
		case Stopping, Stopped:
			return Stopped, nil
		case Failed:
			return Failed, nil
		}
	case startFailed:
		switch s {
		case Starting, Waiting:
			return Failed, nil
		case Stopping, Stopped:
			return Stopped, nil
		case Failed:
			return Failed, nil
		}
	}
	return s, fmt.Errorf("cannot take event %q in state %q", e, s)
}
