package servers

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
)

func TestStartVerdict(t *testing.T) {
	refused := func(c backend.Code) error {
		return fmt.Errorf("server alice: %w", &backend.Error{Code: c, Message: "no"})
	}
	silent := errors.New("no answer")
	tests := map[string]struct {
		o    outcome
		want verdict
	}{
		"accepted":                   {outcome{}, isAccepted},
		"accepted as the time ended": {outcome{startEnds: context.DeadlineExceeded}, isAccepted},
		"accepted as the hub ends":   {outcome{hubEnds: true}, isAccepted},
		"others are before it":       {outcome{mustWait: true, hubEnds: true, queues: true}, mustQueue},
		"devices are held":           {outcome{err: refused(backend.DevicesTaken), queues: true}, mustQueue},
		"devices are held, no queue": {outcome{err: refused(backend.DevicesTaken)}, hasFailed},
		"another process was faster": {outcome{err: refused(backend.AlreadyExists)}, isTaken},
		"refused":                    {outcome{err: refused(backend.NoAccount), queues: true}, hasFailed},
		"refused as the time ended": {outcome{err: refused(backend.Refused), startEnds: context.DeadlineExceeded},
			hasFailed},
		"the hub ends": {outcome{err: silent, hubEnds: true, startEnds: context.Canceled},
			isAbandoned},
		"the hub ends, devices are held": {outcome{err: refused(backend.DevicesTaken), hubEnds: true, queues: true},
			isAbandoned},
		"time-out":  {outcome{err: silent, startEnds: context.DeadlineExceeded}, tookTooLong},
		"stopped":   {outcome{err: silent, startEnds: context.Canceled}, isCancelled},
		"no answer": {outcome{err: silent}, hasFailed},
	}
	for name, tt := range tests {
		if got := startVerdict(tt.o); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestEndVerdict(t *testing.T) {
	tests := map[State]map[backend.State][2]ending{ // while no start is being answered, and while one is
		Stopped:  {backend.Stopped: {isNoNews, isNoNews}, backend.Failed: {isNoNews, isNoNews}},
		Failed:   {backend.Stopped: {isNoNews, isNoNews}, backend.Failed: {isNoNews, isNoNews}},
		Queued:   {backend.Stopped: {isBreakdown, isAnswered}, backend.Failed: {isBreakdown, isAnswered}},
		Starting: {backend.Stopped: {isBreakdown, isAnswered}, backend.Failed: {isBreakdown, isAnswered}},
		Waiting:  {backend.Stopped: {isBreakdown, isAnswered}, backend.Failed: {isBreakdown, isAnswered}},
		Ready:    {backend.Stopped: {isShutDown, isShutDown}, backend.Failed: {isBreakdown, isAnswered}},
		Stopping: {backend.Stopped: {isEndOfStop, isEndOfStop}, backend.Failed: {isEndOfStop, isEndOfStop}},
	}
	for s, row := range tests {
		for end, want := range row {
			for i, launching := range []bool{false, true} {
				if got := endVerdict(s, launching, end); got != want[i] {
					t.Errorf("%s, launching %v, %s: %v, want %v", s, launching, end, got, want[i])
				}
			}
		}
	}
}
