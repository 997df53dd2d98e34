package servers

import "testing"

// TestNext is the full table: what is not listed must be refused and change nothing.
func TestNext(t *testing.T) {
	states := []State{Stopped, Queued, Starting, Waiting, Ready, Stopping, Failed}
	want := map[event]map[State]State{
		startAsked: {Stopped: Starting, Failed: Starting},
		noDevice:   {Starting: Queued},
		turnCame:   {Queued: Starting},
		leftQueue:  {Queued: Stopped},
		stopAsked:  {Queued: Stopping, Starting: Stopping, Waiting: Stopping, Ready: Stopping},
		accepted:   {Stopped: Queued, Failed: Queued, Queued: Queued, Starting: Queued, Stopping: Stopping},
		running: {Stopped: Waiting, Queued: Waiting, Failed: Waiting, Starting: Waiting, Waiting: Waiting,
			Ready: Ready, Stopping: Stopping},
		answered: {Waiting: Ready},
		ended: {Queued: Failed, Starting: Failed, Waiting: Failed, Ready: Failed, Stopping: Stopped, Stopped: Stopped,
			Failed: Failed},
		startFailed: {Queued: Failed, Starting: Failed, Waiting: Failed, Stopping: Stopped, Stopped: Stopped,
			Failed: Failed},
	}
	for e, row := range want {
		for _, s := range states {
			to, listed := row[s]
			got, err := next(s, e)
			if listed && (err != nil || got != to) {
				t.Errorf("next(%s, %s) = %s, %v; want %s", s, e, got, err, to)
			}
			if !listed && (err == nil || got != s) {
				t.Errorf("next(%s, %s) = %s, %v; want a refusal that keeps the state", s, e, got, err)
			}
		}
	}
	if _, err := next(Stopped, "something else"); err == nil {
		t.Error("an unknown event was taken")
	}
}
