package scopes

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Kind is what a filter names.
type Kind uint8

// The kinds of filters. There are no others, and no wildcards.
const (
	KindNone Kind = iota // no filter: everything
	KindUser
	KindGroup
	KindServer
	KindService
)

// kindNames are the names of the kinds in the text of a filter, before the "=".
var kindNames = [...]string{KindUser: "user", KindGroup: "group", KindServer: "server", KindService: "service"}

func (k Kind) String() string { return kindNames[k] }

// Kinds is a set of kinds of filters.
type Kinds uint8

// Has reports whether k is one of them.
func (ks Kinds) Has(k Kind) bool { return ks&(1<<k) != 0 }

// List returns the kinds in the order of their constants, for people.
func (ks Kinds) List() []string {
	var list []string
	for k := KindUser; k <= KindService; k++ {
		if ks.Has(k) {
			list = append(list, k.String())
		}
	}
	return list
}

// Filter limits a scope to some users, servers or services. The zero value limits nothing.
// Filters can be compared with ==.
type Filter struct {
	kind Kind
	bare bool      // "!user": whoever the token belongs to, until Expand resolves it
	key  ident.Key // of a filter by user (no server) or by server
	name string    // of a filter by group or by service
}

// ByUser filters by a user: the user and all of the user's servers.
func ByUser(u ident.User) Filter { return Filter{kind: KindUser, key: ident.Key{User: u}} }

// ByServer filters by one server.
func ByServer(k ident.Key) Filter { return Filter{kind: KindServer, key: k} }

// ByGroup filters by a group: the group, its members and their servers.
func ByGroup(name string) (Filter, error) { return byName(KindGroup, name) }

// ByService filters by a service.
func ByService(name string) (Filter, error) { return byName(KindService, name) }

// maxName is the longest name of a group or service that JupyterHub's database holds, in bytes.
const maxName = 255

// byName accepts what JupyterHub accepts as the name of a group or service, which is nearly
// everything, except control characters: scopes are shown and logged.
func byName(kind Kind, name string) (Filter, error) {
	switch {
	case name == "":
		return Filter{}, fmt.Errorf("the name of the %s is missing", kind)
	case len(name) > maxName:
		return Filter{}, fmt.Errorf("the name of the %s is longer than %d bytes", kind, maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return Filter{}, fmt.Errorf("the name of the %s holds a character that cannot be shown", kind)
	}
	return Filter{kind: kind, name: name}, nil
}

// Kind reports what f names; KindNone when there is no filter.
func (f Filter) Kind() Kind { return f.kind }

// Bare reports whether f is "!user", "!server" or "!service", which refer to the owner of the
// token.
func (f Filter) Bare() bool { return f.bare }

// String returns the text of f without the "!"; "" for no filter.
func (f Filter) String() string {
	switch {
	case f.kind == KindNone:
		return ""
	case f.bare:
		return f.kind.String()
	}
	return f.kind.String() + "=" + f.value()
}

// value returns the text after the "=".
func (f Filter) value() string {
	switch f.kind {
	case KindUser:
		return f.key.User.String()
	case KindServer:
		return ServerFilter(f.key)
	}
	return f.name
}

// compare is the order of filters in a Set.
func compare(a, b Filter) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name),
		cmp.Compare(a.key.User.String(), b.key.User.String()),
		cmp.Compare(a.key.Server.String(), b.key.Server.String()))
}

// ServerFilter returns a server as filters name it: "alice/" or "alice/name".
func ServerFilter(k ident.Key) string { return k.User.String() + "/" + k.Server.String() }

// parseFilter parses the text after the "!".
func parseFilter(s string) (Filter, error) {
	key, value, valued := strings.Cut(s, "=")
	switch {
	case !valued && (key == "user" || key == "server" || key == "service"):
		return parseBare(key), nil
	case key == "user":
		u, err := ident.ParseUser(value)
		return ByUser(u), err
	case key == "server":
		return parseServer(value)
	case key == "group" && !valued:
		return Filter{}, fmt.Errorf("a filter by group needs its name: !group=NAME")
	case key == "group":
		return ByGroup(value)
	case key == "service":
		return ByService(value)
	}
	return Filter{}, fmt.Errorf("no such filter: %.80q (use !user=, !group=, !server= or !service=)", s)
}

func parseBare(key string) Filter {
	switch key {
	case "user":
		return Filter{kind: KindUser, bare: true}
	case "server":
		return Filter{kind: KindServer, bare: true}
	}
	return Filter{kind: KindService, bare: true}
}

func parseServer(value string) (Filter, error) {
	user, server, slash := strings.Cut(value, "/")
	if !slash {
		return Filter{}, fmt.Errorf("a filter by server is !server=USER/SERVER, or !server=USER/ for the default " +
			"server")
	}
	k, err := ident.ParseKey(user, server)
	return ByServer(k), err
}

// Scope is the name of a scope with its filter.
type Scope struct {
	Name   string
	Filter Filter
}

// String returns the scope as it is written: "servers", "servers!user=alice".
func (s Scope) String() string {
	if s.Filter.kind == KindNone {
		return s.Name
	}
	return s.Name + "!" + s.Filter.String()
}

// Parse parses the text of a scope. It does not check that the scope exists; Table.Parse does.
func Parse(s string) (Scope, error) {
	name, filter, filtered := strings.Cut(s, "!")
	if name == "" {
		return Scope{}, fmt.Errorf("cannot use scope %.80q: its name is missing", s)
	}
	for i := range len(name) {
		if c := name[i]; !isScopeByte(c) {
			return Scope{}, fmt.Errorf("cannot use scope %.80q: its name may not hold %q", s, rune(c))
		}
	}
	if !filtered {
		return Scope{Name: name}, nil
	}
	f, err := parseFilter(filter)
	if err != nil {
		return Scope{}, fmt.Errorf("cannot use scope %.80q: %w", s, err)
	}
	return Scope{name, f}, nil
}

func isScopeByte(c byte) bool {
	return isLowerAlnum(c) || strings.IndexByte("-_:*()", c) >= 0
}

func isLowerAlnum(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
