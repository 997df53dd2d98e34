package launcherbus

import (
	"fmt"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// The methods and the signal of Interface, with their D-Bus signatures:
//
//	Start(s user, s server, s profile, a{ss} env)
//	Stop(s user, s server)
//	List() → a(ssssussx)      user, server, profile, state, uid, socket, token hash, start in µs
//	Profiles() → a(ssssb)     name, display name, description, image, default
//	signal Changed(s user, s server, s state, s result, i exit)
const (
	MethodStart    = Interface + ".Start"
	MethodStop     = Interface + ".Stop"
	MethodList     = Interface + ".List"
	MethodProfiles = Interface + ".Profiles"
	SignalChanged  = Interface + ".Changed"
)

// errorPrefix begins the D-Bus names of our errors; the Code follows.
const errorPrefix = Interface + ".Error."

// WireServer is a Server as it crosses the bus.
type WireServer struct {
	User, Server, Profile, State string
	UID                          uint32
	Socket, TokenHash            string
	Started                      int64
}

// Wire gives the form of s that crosses the bus.
func (s Server) Wire() WireServer {
	return WireServer{s.Key.User.String(), s.Key.Server.String(), s.Profile, string(s.State), s.UID, s.Socket, s.TokenHash, s.Started.UnixMicro()}
}

// server parses what crossed the bus.
func (w WireServer) server() (Server, error) {
	key, err := ident.ParseKey(w.User, w.Server)
	if err != nil {
		return Server{}, fmt.Errorf("the launcher lists a server that is none: %w", err)
	}
	return Server{Key: key, Profile: w.Profile, State: State(w.State), UID: w.UID, Socket: w.Socket,
		TokenHash: w.TokenHash, Started: time.UnixMicro(w.Started)}, nil
}

// DBus gives the error's form on the bus.
func (e *Error) DBus() *dbus.Error {
	return dbus.NewError(errorPrefix+string(e.Code), []any{e.Message})
}

// fromDBus gives our own error where err is one, else err.
func fromDBus(err error) error {
	e, ok := err.(dbus.Error) //nolint:errorlint // godbus returns the value itself
	if !ok {
		return err
	}
	code, ours := strings.CutPrefix(e.Name, errorPrefix)
	if !ours {
		return err
	}
	return &Error{Code: Code(code), Message: e.Error()}
}
