package keeper

import (
	"fmt"

	"github.com/gifford-lab/gifford-hub/agent/hint"
)

// refusal is an error that the caller can do something about: it is answered as it is and not logged.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// refuseWith is a refusal with the next step.
func refuseWith(step, format string, args ...any) error {
	return hint.With(refuse(format, args...), step)
}
