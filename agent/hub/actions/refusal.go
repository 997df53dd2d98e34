package actions

import "fmt"

// Kind is the sort of a Refusal; a surface that has no words of its own for a Reason answers by it.
type Kind int

// The kinds.
const (
	Hidden      Kind = iota + 1 // a filter of the subject's scopes does not cover it: whether it exists must not show
	NotFound                    // it does not exist, and the subject may know that
	Forbidden                   // the subject lacks Refusal.Scope on everything, or is not an administrator
	Conflict                    // the state of what there is does not allow it
	Limit                       // Refusal.Limit would be passed
	Invalid                     // Refusal.Field of the request cannot be so
	Unavailable                 // this hub, or a part of it, cannot do that now
)

// Reason is the rule that refused. Surfaces choose their words by it.
type Reason string

// The reasons. Refusal.Name names the object: a user, a server ("alice:lab"), a group, a scope …
const (
	LacksScope Reason = "lacks-scope"
	AdminsOnly Reason = "admins-only" // to make or change an administrator takes an administrator
	Oneself    Reason = "oneself"     // nobody deletes themselves, or accepts a share of their own server

	MayNotEnter Reason = "may-not-enter" // whose server it would be may not use the hub any more

	NoUser    Reason = "no-user"
	NoServer  Reason = "no-server"
	NoGroup   Reason = "no-group"
	NoShare   Reason = "no-share"
	NoCode    Reason = "no-code" // unknown, expired or revoked alike
	NoToken   Reason = "no-token"
	NoService Reason = "no-service"
	NoRole    Reason = "no-role"

	UserExists    Reason = "user-exists"
	ServerExists  Reason = "server-exists"
	GroupExists   Reason = "group-exists"
	ServiceExists Reason = "service-exists"

	Running        Reason = "running"          // the server is ready
	Starting       Reason = "starting"         // it is on its way, or queued
	Stopping       Reason = "stopping"         // it is stopping, or being removed
	NotRunning     Reason = "not-running"      // there is nothing to stop or to postpone
	Persistent     Reason = "persistent"       // a persistent container prevents it
	NothingToReset Reason = "nothing-to-reset" // no persistent container
	Postponed      Reason = "postponed"        // the end was postponed once, which is as often as it can be

	DefaultServer   Reason = "default-server"    // not with the default server
	NamedServersOff Reason = "named-servers-off" // users have the default server only
	TooManyServers  Reason = "too-many-servers"

	TooLong       Reason = "too-long"        // longer than Limit bytes
	Unshowable    Reason = "unshowable"      // a text with control characters
	BadName       Reason = "bad-name"        // no such object can have the name
	BadOption     Reason = "bad-option"      // an option of a start has the wrong type
	BadScope      Reason = "bad-scope"       // there is no such scope
	WrongFilter   Reason = "wrong-filter"    // a share's scope with the filter of something else
	ExceedsRights Reason = "exceeds-rights"  // scopes that whoever grants or receives them lacks
	RolesOrScopes Reason = "roles-or-scopes" // both were given
	BadLife       Reason = "bad-life"        // a time to live out of its bounds
	BadService    Reason = "bad-service"     // a service that cannot be
	Declared      Reason = "declared"        // the service is declared in the settings
	SwitchedOff   Reason = "switched-off"    // the settings switch the feature off
)

// LetIn is the next step after MayNotEnter, for whoever administers the hub.
const LetIn = "let them in again first: put them into a group that may use the hub, or change the section access"

// Refusal is the error of an act that a rule forbids; nothing was done. All other errors of this package mean that the
// act was allowed and failed.
type Refusal struct {
	Kind    Kind
	Reason  Reason
	Name    string // the object that the reason is about; may be empty
	Scope   string // of LacksScope: one that would do
	Field   string // of Invalid: of the request
	Limit   int64  // of Limit, TooLong and BadLife: the bound
	Message string // in plain words, without HTTP
	Err     error  // what a lower layer said; may be nil
}

func (r *Refusal) Error() string { return r.Message }

func (r *Refusal) Unwrap() error { return r.Err }

// refuse makes a Refusal about name.
func refuse(k Kind, why Reason, name, format string, args ...any) *Refusal {
	return &Refusal{Kind: k, Reason: why, Name: name, Message: fmt.Sprintf(format, args...)}
}

// invalid makes a Refusal of a request's field.
func invalid(field string, why Reason, name, format string, args ...any) *Refusal {
	r := refuse(Invalid, why, name, format, args...)
	r.Field = field
	return r
}

// because sets the cause of a Refusal.
func (r *Refusal) because(err error) *Refusal {
	r.Err = err
	return r
}

// bounded sets the bound of a Refusal.
func (r *Refusal) bounded(limit int64) *Refusal {
	r.Limit = limit
	return r
}
