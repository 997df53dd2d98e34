// Package hint attaches a next step to an error, such as a command that shows more, as a field beside its message.
// Commands print the message and then "hint: " and the step on a line of its own. It must never be needed
// to decide anything: programs branch on types and codes, not on hints.
package hint

import (
	"errors"
	"fmt"
	"strings"
)

// separator stands between message and hint where both have to be one string: in an error of D-Bus, and in the output
// of commands.
const separator = "\nhint: "

// Error is an error with a next step. Its text is that of Err alone.
type Error struct {
	Err  error
	Hint string // the next step; never empty
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// NextStep returns the hint.
func (e *Error) NextStep() string { return e.Hint }

// With returns err with a next step; err itself, which may be nil, when there is no step.
func With(err error, step string) error {
	if err == nil || step == "" {
		return err
	}
	return &Error{Err: err, Hint: step}
}

// New returns an error of a message with a next step.
func New(message, step string) error { return With(errors.New(message), step) }

// Withf returns err with a next step that is formatted as by fmt.Sprintf.
func Withf(err error, format string, args ...any) error {
	return With(err, fmt.Sprintf(format, args...))
}

// stepper is an error that knows its next step; "" is none.
type stepper interface {
	error
	NextStep() string
}

// Of returns the next step of the outermost error in err's chain that has one; "" when none has.
func Of(err error) string {
	for err != nil {
		var s stepper
		if !errors.As(err, &s) {
			return ""
		}
		if step := s.NextStep(); step != "" {
			return step
		}
		err = errors.Unwrap(s)
	}
	return ""
}

// Text returns err's message and its next step as one string, as D-Bus and the journal carry them. Split is its
// counterpart.
func Text(err error) string { return Join(err.Error(), Of(err)) }

// Join returns a message and a next step as one string. Without a step it is the message alone.
func Join(message, step string) string {
	if step == "" {
		return message
	}
	return message + separator + step
}

// Split returns the message and the next step of a string that Join made.
func Split(text string) (message, step string) {
	message, step, _ = strings.Cut(text, separator)
	return message, step
}
