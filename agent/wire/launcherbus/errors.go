package launcherbus

import (
	"errors"
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/hint"
)

// errorPrefix and a Code make a D-Bus error name.
const errorPrefix = Interface + ".Error."

// Code says which rule an Error comes from; its text is the last part of the
// D-Bus error name.
type Code string

// The ways in which a request can be refused or fail.
const (
	Refused        Code = "Refused"        // the policy or the request's form forbids it
	NoAccount      Code = "NoAccount"      // no Unix account of that name
	NoSubIDs       Code = "NoSubIDs"       // no subordinate ids, and none can be given
	HomeNotCovered Code = "HomeNotCovered" // the home directory is not as the policy demands
	MountRefused   Code = "MountRefused"   // the source of one of the policy's mounts is missing or cannot be trusted
	AlreadyExists  Code = "AlreadyExists"  // the unit exists
	NotFound       Code = "NotFound"       // no such unit or profile
	// the devices that the profile needs are held by others now; a later request may succeed
	DevicesTaken Code = "DevicesTaken"
	// this host has too few devices of the kind that the profile needs, whoever holds them
	DevicesMissing Code = "DevicesMissing"
	StartFailed    Code = "StartFailed" // systemd could not start the unit; its journal says why
	Internal       Code = "Internal"    // anything else; the launcher's journal says why
)

// Error is a refusal or failure in words for people.
type Error struct {
	Code    Code
	Message string // names the object and the reason
	Hint    string // the next step; "" for none
}

func (e *Error) Error() string { return e.Message }

// NextStep returns the hint, for package hint.
func (e *Error) NextStep() string { return e.Hint }

// WithHint sets e's next step and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// DBus returns the D-Bus error by which e crosses the bus. It has one text, as systemd's errors have, so that busctl(1)
// shows all of it.
func (e *Error) DBus() *dbus.Error {
	return &dbus.Error{Name: errorPrefix + string(e.Code), Body: []any{hint.Text(e)}}
}

// fromBus turns the launcher's D-Bus errors back into *Error and leaves others as they
// are, with the next step for a person.
func fromBus(err error) error {
	var e dbus.Error
	if !errors.As(err, &e) {
		return err
	}
	if code, ok := strings.CutPrefix(e.Name, errorPrefix); ok {
		message, step := hint.Split(e.Error())
		return &Error{Code(code), message, step}
	}
	return hint.With(fmt.Errorf("the launcher does not answer: %w", err), "journalctl -u gifford-launcher")
}
