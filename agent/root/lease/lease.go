// Package lease decides which devices of the host a server gets, from what there is, what the policy says and who holds
// what. Its answer is devices or the reason why not. It is pure: the same question has the same answer. It must never
// read anything of the host, remember anything, or lend hardware to two servers that the policy does not share.
package lease

import (
	"fmt"
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
)

// Device is a device of the host, with what is known of it and how it is lent.
type Device struct {
	gpu.Device
	Facts gpu.Facts
	Rule  policy.GPURule
}

// Devices joins what the specifications, the vendor's tool and the policy say.
func Devices(inv gpu.Inventory, state gpu.State, rules policy.GPUs) []Device {
	all := make([]Device, len(inv.Devices))
	for i, d := range inv.Devices {
		facts, _ := state.Of(d)
		all[i] = Device{d, facts, rules.Rule(names(d)...)}
	}
	return all
}

func names(d gpu.Device) []string { return append([]string{d.Name}, d.Aliases...) }

// Suits reports whether a profile with this wish can get the device.
func (d Device) Suits(w policy.GPUWish) bool {
	switch {
	case w.Count == 0 || w.Count == policy.AllGPUs && d.Rule.Sharing != policy.Open:
		return false
	}
	return w.Suits(d.Kind, names(d.Device), d.Facts.Memory, d.Facts.Model)
}

// Lease is what one server holds.
type Lease struct {
	Key     ident.Key
	Profile string
	Since   time.Time
	Devices []gpu.Device // as they were when they were lent
}

// Holds reports whether the lease is for that device: by any of its names, or by its nodes where a newer specification
// has another name for them.
func (l Lease) Holds(d gpu.Device) bool {
	return slices.ContainsFunc(l.Devices, func(held gpu.Device) bool { return same(held, d) })
}

func same(held, d gpu.Device) bool {
	return slices.Contains(names(d), held.Name) || len(d.Nodes) > 0 && slices.Equal(held.Nodes, d.Nodes)
}

// Request asks for the devices of one server.
type Request struct {
	Key     ident.Key
	Profile string
	Wish    policy.GPUWish
	// Persistent says that the server's container exists already, with the devices that Devices names: it gets these or
	// none.
	Persistent bool
	Devices    []string
	// InGroup reports whether a user is in a Unix group. Required where the policy names groups in [gpus]; its errors
	// end the request.
	InGroup func(user ident.User, group string) (bool, error)
}

// Code says why there is no device.
type Code string

// The reasons.
const (
	Taken   Code = "taken"   // others hold them; later there may be some
	Missing Code = "missing" // the host has too few that work, whoever holds them
	Limit   Code = "limit"   // the policy does not let this member have them, or more of them
)

// Error is the reason in words for people.
type Error struct {
	Code    Code
	Message string
	Hint    string // the next step; "" for none
}

func (e *Error) Error() string { return e.Message }

// NextStep returns the hint, for package hint.
func (e *Error) NextStep() string { return e.Hint }

func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) withHint(step string) *Error {
	e.Hint = step
	return e
}

// toReset is the next step where a persistent container is in the way.
const toReset = "reset the server, which removes what was installed in it"

// Choose returns the devices for a server, given all leases of others. The error is an
// *Error, or what InGroup returned.
func Choose(r Request, rules policy.GPUs, devices []Device, held []Lease) ([]gpu.Device, error) {
	a := allocation{Request: r, rules: rules, all: devices, held: held}
	switch {
	case r.Persistent:
		return a.persistent()
	case r.Wish.Count == policy.AllGPUs:
		return a.open()
	case r.Wish.Count == 0:
		return nil, nil
	}
	return a.from(a.suiting(), r.Wish.Count)
}
