package servers

import "fmt"

// State is where a server is in its life, as people and JupyterHub's API see it.
type State string

// The states of a server. Failed is Stopped with a reason that the user has not yet
// answered by a new start.
const (
	Stopped  State = "stopped"
	Queued   State = "queued"   // it waits for devices that others hold, or in the backend's own queue
	Starting State = "starting" // the backend prepares and starts it
	Waiting  State = "waiting"  // its process runs and does not answer HTTP yet
	Ready    State = "ready"    // it answers; the proxy has its route
	Stopping State = "stopping"
	Failed   State = "failed"
)

// Pending reports whether the server is on its way to Ready.
func (s State) Pending() bool { return s == Queued || s == Starting || s == Waiting }

// Active reports whether the server runs, is starting or stopping, or waits to be started.
func (s State) Active() bool { return s.Pending() || s == Ready || s == Stopping }

// event is what can happen to a server.
type event string

const (
	startAsked  event = "start asked"
	noDevice    event = "no device free"
	turnCame    event = "turn came"
	leftQueue   event = "left the queue for devices"
	stopAsked   event = "stop asked"
	accepted    event = "queued by the backend"
	running     event = "running"
	answered    event = "answered"
	ended       event = "ended"
	startFailed event = "start failed"
)

// next returns the state after an event, or an error for an event that must not happen in that state. It has no
// effects.
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
	case leftQueue:
		if s == Queued { // there is nothing to stop
			return Stopped, nil
		}
	case stopAsked:
		if s.Active() && s != Stopping {
			return Stopping, nil
		}
	case answered:
		if s == Waiting {
			return Ready, nil
		}
	default:
		return nextAtBackend(s, e)
	}
	return s, refused(s, e)
}

// nextAtBackend is next for what the backend says. A server that somebody else has started is one of ours too.
func nextAtBackend(s State, e event) (State, error) {
	switch {
	case e == accepted && s.beforeRunning():
		return Queued, nil
	case e == running && s.beforeRunning():
		return Waiting, nil
	case e == running && (s == Waiting || s == Ready): // known already: the answer to our own start
		return s, nil
	case (e == accepted || e == running) && s == Stopping:
		return s, nil
	case (e == ended || e == startFailed) && (s == Stopping || s == Stopped):
		return Stopped, nil
	case e == ended, e == startFailed && s != Ready:
		return Failed, nil
	}
	return s, refused(s, e)
}

func (s State) beforeRunning() bool {
	return s == Stopped || s == Failed || s == Queued || s == Starting
}

func refused(s State, e event) error { return fmt.Errorf("cannot take event %q in state %q", e, s) }
