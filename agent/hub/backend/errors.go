package backend

import "errors"

// Code says which rule an Error comes from.
type Code string

// The ways in which a backend refuses a request or fails.
const (
	Refused        Code = "Refused"        // the policy or the request's form forbids it
	NoAccount      Code = "NoAccount"      // no Unix account of that name
	NoSubIDs       Code = "NoSubIDs"       // no subordinate ids, and none can be given
	HomeNotCovered Code = "HomeNotCovered" // the home directory is not as the policy demands
	MountRefused   Code = "MountRefused"   // the source of one of the policy's mounts is missing or cannot be trusted
	AlreadyExists  Code = "AlreadyExists"  // the server exists
	NotFound       Code = "NotFound"       // no such server or profile
	// others hold the devices that the profile needs; a later request may succeed
	DevicesTaken   Code = "DevicesTaken"
	DevicesMissing Code = "DevicesMissing" // too few devices of the kind that the profile needs, whoever holds them
	StartFailed    Code = "StartFailed"    // the server could not be started; its log says why
	Internal       Code = "Internal"       // anything else; the backend's log says why
)

// Error is a backend's refusal or failure, in words for people. Any other error says that the backend gave no answer:
// what became of the request is not known then.
type Error struct {
	Code    Code
	Message string // the object and the reason
	Hint    string // the next step; may be empty
}

// Error returns the message alone.
func (e *Error) Error() string { return e.Message }

// NextStep returns the hint, for package hint.
func (e *Error) NextStep() string { return e.Hint }

// Is reports whether err is an Error with this code.
func Is(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}
