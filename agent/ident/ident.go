// Package ident holds the names that cross a trust boundary: Unix users, names of servers and the
// pair of both. Only constructors that check a name make its types, so a value of one of them is
// always safe in a unit name, a path, a URL or a command line. It must never do I/O.
package ident

import (
	"fmt"
	"strings"
)

// maxUser is the longest login name that utmp(5) and useradd(8) can carry.
const maxUser = 32

// maxServer is JupyterHub 6's limit for the name of a named server
// (docs/source/howto/upgrading-v6.md).
const maxServer = 30

// User is the login name of a Unix account. The zero value names nobody.
type User struct{ name string }

// ParseUser accepts a login name of 1 to 32 ASCII letters, digits, '.', '_' and
// '-' that starts with a letter or '_' and does not consist of digits (systemd's
// relaxed rules in User/Group Name Syntax, less the characters that would mean
// something in a path, a unit name or a URL). It does not look the account up.
func ParseUser(s string) (User, error) {
	if s == "" {
		return User{}, fmt.Errorf("cannot use an empty user name")
	}
	if len(s) > maxUser {
		return User{}, fmt.Errorf("cannot use user name %.40q: longer than %d characters", s, maxUser)
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
		case i > 0 && (c >= '0' && c <= '9' || c == '.' || c == '-'):
		default:
			return User{}, fmt.Errorf("cannot use user name %q: character %q at position %d is not allowed", s, rune(c),
				i+1)
		}
	}
	return User{s}, nil
}

// String returns the login name.
func (u User) String() string { return u.name }

// IsZero reports whether u names nobody.
func (u User) IsZero() bool { return u.name == "" }

// MarshalText encodes a User in JSON, also as the key of a map.
func (u User) MarshalText() ([]byte, error) { return []byte(u.name), nil }

// UnmarshalText is ParseUser for decoders. It sets the zero value when it refuses the name.
func (u *User) UnmarshalText(b []byte) (err error) {
	*u, err = ParseUser(string(b))
	return err
}

// Server is the name of one of a user's servers. The zero value is the default
// server, whose name in JupyterHub's API is the empty string.
type Server struct{ name string }

// ParseServer accepts the empty string (the default server) and JupyterHub 6's
// names: 1 to 30 characters of a-z, 0-9 and single hyphens, a letter first and
// no hyphen last.
func ParseServer(s string) (Server, error) {
	if s == "" {
		return Server{}, nil
	}
	if len(s) > maxServer {
		return Server{}, fmt.Errorf("cannot use server name %.40q: longer than %d characters", s, maxServer)
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z':
		case i > 0 && c >= '0' && c <= '9':
		case i > 0 && i < len(s)-1 && c == '-' && s[i-1] != '-':
		default:
			return Server{}, fmt.Errorf("cannot use server name %q: use 1 to %d of a-z, 0-9 and single hyphens, "+
				"starting with a letter", s, maxServer)
		}
	}
	return Server{s}, nil
}

// String returns the name, "" for the default server.
func (s Server) String() string { return s.name }

// IsDefault reports whether s is the user's default server.
func (s Server) IsDefault() bool { return s.name == "" }

// MarshalText encodes a Server in JSON, also as the key of a map.
func (s Server) MarshalText() ([]byte, error) { return []byte(s.name), nil }

// UnmarshalText is ParseServer for decoders. It sets the zero value when it refuses the name.
func (s *Server) UnmarshalText(b []byte) (err error) {
	*s, err = ParseServer(string(b))
	return err
}

// Key names one server of one user.
type Key struct {
	User   User
	Server Server
}

// ParseKey parses both halves of a Key.
func ParseKey(user, server string) (Key, error) {
	u, err := ParseUser(user)
	if err != nil {
		return Key{}, err
	}
	s, err := ParseServer(server)
	if err != nil {
		return Key{}, err
	}
	return Key{u, s}, nil
}

// String returns "alice" or "alice:name", as in the unit's name. Neither half can contain a colon,
// so no two keys have the same text.
func (k Key) String() string {
	if k.Server.IsDefault() {
		return k.User.name
	}
	return k.User.name + ":" + k.Server.name
}

// Unit returns the name of the server's systemd unit.
func (k Key) Unit() string { return unitPrefix + k.String() + unitSuffix }

const (
	unitPrefix = "jupyter-"
	unitSuffix = ".service"
)

// ParseUnit is the inverse of Unit. It refuses every other unit's name.
func ParseUnit(unit string) (Key, error) {
	s, okPrefix := strings.CutPrefix(unit, unitPrefix)
	s, okSuffix := strings.CutSuffix(s, unitSuffix)
	if !okPrefix || !okSuffix {
		return Key{}, fmt.Errorf("cannot take %q for the unit of a Jupyter server", unit)
	}
	user, server, named := strings.Cut(s, ":")
	if named && server == "" {
		return Key{}, fmt.Errorf("cannot take %q for the unit of a Jupyter server: the server name is empty", unit)
	}
	return ParseKey(user, server)
}

// Path returns the server's URL path below the hub's base URL, with a slash at both ends:
// "/user/alice/" or "/user/alice/name/". Neither half contains a character that needs escaping.
func (k Key) Path() string {
	if k.Server.IsDefault() {
		return "/user/" + k.User.name + "/"
	}
	return "/user/" + k.User.name + "/" + k.Server.name + "/"
}
