package actions

import (
	"context"
	"log/slog"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/printable"
)

// Event names an act in the journal (field EVENT). docs/audit.md lists them.
type Event string

// The events of acts.
const (
	ServerCreated        Event = "server-created"
	ServerChanged        Event = "server-changed"
	ServerRenamed        Event = "server-renamed"
	ServerStartRequested Event = "server-start-requested"
	ServerStopRequested  Event = "server-stop-requested"
	ServerDeleted        Event = "server-deleted"
	ServerReset          Event = "server-reset"
	ServerEndPostponed   Event = "server-end-postponed"
	ServerOpened         Event = "server-opened"
	UserCreated          Event = "user-created"
	UserDeleted          Event = "user-deleted"
	UserAdmin            Event = "user-admin"
	IdentityForgotten    Event = "identity-forgotten"
	GroupCreated         Event = "group-created"
	GroupDeleted         Event = "group-deleted"
	GroupMembers         Event = "group-members"
	GroupProperties      Event = "group-properties"
	ShareGranted         Event = "share-granted"
	ShareRevoked         Event = "share-revoked"
	ShareLeft            Event = "share-left"
	ShareAccepted        Event = "share-accepted"
	ShareCodeCreated     Event = "share-code-created"
	ShareCodeDeleted     Event = "share-code-deleted"
	TokenCreated         Event = "token-created"
	TokenRevoked         Event = "token-revoked"
	ServiceAdded         Event = "service-added"
	ServiceRemoved       Event = "service-removed"
	ImagePullRequested   Event = "image-pull-requested"
	ShutdownRequested    Event = "shutdown-requested"
)

// Record is what the journal keeps of one act: the event, who acted, on whose object, and how it came out. It is
// written before the answer. A refusal leaves no Record.
type Record struct {
	Event  Event
	By     access.Subject
	User   ident.User   // whose object it is, or who it is; zero for a group, a service or the hub
	Server ident.Server // with User
	Detail []Detail     // what more there is to know, in the order of docs/audit.md
	Later  bool         // the act goes on; a second Record has its end
	Err    error        // why the act failed; nil when it did not
}

// Detail is one more field of a Record.
type Detail struct{ Key, Value string }

// Keys of Details.
const (
	keyAdmin   = "admin"
	keyChange  = "change" // "add" or "remove"
	keyClient  = "client" // an OAuth client
	keyCode    = "code"   // the number of a share code
	keyGroup   = "group"
	keyImage   = "image"
	keyNewName = "new_name"
	keyProfile = "profile"
	keyScopes  = "scopes"
	keyService = "service"
	keyToken   = "token" // the number of a token
	keyUsers   = "users"
	keyWith    = "with" // whom a share is for
)

// own reports whether the subject acts on what is their own.
func (r Record) own() bool {
	switch r.Event {
	case ShareAccepted, ShareLeft:
		return !r.By.User.IsZero()
	}
	return !r.By.User.IsZero() && r.By.User == r.User
}

// outcome is how the act came out.
func (r Record) outcome() string {
	switch {
	case r.Err != nil:
		return "failed"
	case r.Later:
		return "continues"
	}
	return "done"
}

// leavesRights reports whether an act of that kind changes nothing in what anybody may do. An event that is missing
// here has everybody's rights read again, which costs a little.
func (e Event) leavesRights() bool {
	switch e {
	case ServerCreated, ServerChanged, ServerStartRequested, ServerStopRequested, ServerReset, ServerEndPostponed,
		ServerOpened, ShareCodeCreated, TokenCreated, ImagePullRequested, ShutdownRequested:
		return true
	}
	return false
}

// maxDetail bounds one field of a Record, in bytes: a list of scopes or of users may be as long as a request.
const maxDetail = 4 << 10

// attributes are the Record's fields for the journal. Empty ones are left out.
func (r Record) attributes(request string) []slog.Attr {
	failure := ""
	if r.Err != nil {
		failure = r.Err.Error()
	}
	all := []slog.Attr{slog.String("event", string(r.Event)), slog.String("by", r.By.Name()),
		slog.String("by_kind", r.By.Kind()), slog.String("outcome", r.outcome())}
	details := append([]Detail{{"error", failure}, {"request", request}, {"user", r.User.String()},
		{"server", r.Server.String()}}, r.Detail...)
	for _, d := range details {
		if d.Value != "" {
			all = append(all, slog.String(d.Key, printable.Cut(d.Value, maxDetail)))
		}
	}
	return all
}

// audit writes a Record: as information where somebody acts on their own, else as a warning, so that what
// administrators do stands out. It announces what may have changed rights, of a failed act too: some of it may be done.
func (a *Actions) audit(ctx context.Context, r Record) {
	if a.cfg.Changed != nil && !r.Event.leavesRights() {
		a.cfg.Changed()
	}
	level, message := slog.LevelWarn, "administrative action"
	if r.own() {
		level, message = slog.LevelInfo, "action on one's own"
	}
	request := ""
	if a.cfg.RequestID != nil {
		request = a.cfg.RequestID(ctx)
	}
	a.cfg.Log.LogAttrs(ctx, level, message, r.attributes(request)...)
}

// record audits an act on a server and returns its error.
func (a *Actions) record(ctx context.Context, e Event, s access.Subject, k ident.Key, err error,
	details ...Detail) error {
	a.audit(ctx, Record{Event: e, By: s, User: k.User, Server: k.Server, Detail: details, Err: err})
	return err
}

// recordOn audits an act on something that is no user's, and returns its error.
func (a *Actions) recordOn(ctx context.Context, e Event, s access.Subject, err error, details ...Detail) error {
	a.audit(ctx, Record{Event: e, By: s, Detail: details, Err: err})
	return err
}

// userNames joins names for a field.
func userNames(users []ident.User) string {
	all := make([]string, len(users))
	for i, u := range users {
		all[i] = u.String()
	}
	return strings.Join(all, " ")
}
