package servers

import (
	"errors"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend/fake"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestReset checks what becomes of the backend's answers, and that a server that is not
// stopped is left alone.
func TestReset(t *testing.T) {
	k, err := ident.ParseKey("alice", "gpu")
	if err != nil {
		t.Fatal(err)
	}
	other := errors.New("other")
	tests := map[string]struct {
		state State
		err   error
		want  error
		asked int
	}{
		"stopped":       {Stopped, nil, nil, 1},
		"failed":        {Failed, nil, nil, 1},
		"ready":         {Ready, nil, ErrActive, 0},
		"starting":      {Starting, nil, ErrActive, 0},
		"stopping":      {Stopping, nil, ErrActive, 0},
		"no container":  {Stopped, &backend.Error{Code: backend.NotFound}, ErrNoContainer, 1},
		"server exists": {Stopped, &backend.Error{Code: backend.AlreadyExists}, ErrActive, 1},
		"other":         {Stopped, other, other, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w, m := newWorld(t, fake.Config{})
			w.resetErr = tt.err
			m.mu.Lock()
			m.entry(k).State = tt.state
			m.mu.Unlock()
			if err := m.Reset(t.Context(), k); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Errorf("error is %v, want %v", err, tt.want)
			}
			if len(w.resets) != tt.asked {
				t.Errorf("the backend was asked for %v", w.resets)
			}
		})
	}
}
