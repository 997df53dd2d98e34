package launcherbus

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// ChangedSignal is the signal of a changed unit, D-Bus type (ssssustsas)si: the row of the server as List has it, the
// result and the exit status.
const ChangedSignal = "Changed"

// errorPrefix and a Code make a D-Bus error name.
const errorPrefix = Interface + ".Error."

// ServerRow is a Server on the bus, D-Bus type (ssssustsas).
type ServerRow struct {
	User, Server, Profile, State string
	UID                          uint32
	Socket                       string
	Started                      uint64 // microseconds since 1970
	TokenHash                    string
	Devices                      []string
}

// ProfileRow is a Profile on the bus, D-Bus type (ssssbi).
type ProfileRow struct {
	Name, DisplayName, Description, Image string
	Default                               bool
	GPUs                                  int32
}

// ServerImage is an entry of Images.Servers on the bus, D-Bus type (sss).
type ServerImage struct{ User, Server, ID string }

// ProfileImage is an entry of Images.Profiles on the bus, D-Bus type (ss).
type ProfileImage struct{ Profile, ID string }

// KeptRow is a Kept on the bus, D-Bus type (sssb).
type KeptRow struct {
	User, Server, Profile string
	Outdated              bool
}

// Row returns the form in which k crosses the bus.
func (k Kept) Row() KeptRow {
	return KeptRow{k.Key.User.String(), k.Key.Server.String(), k.Profile, k.Outdated}
}

func (r KeptRow) kept() (Kept, error) {
	key, err := ident.ParseKey(r.User, r.Server)
	return Kept{key, r.Profile, r.Outdated}, err
}

// UsageRow is a Usage on the bus, D-Bus type (bx(xxx)(xxx)s).
type UsageRow struct {
	Measuring     bool
	Measured      int64 // seconds since 1970; 0 is never
	Storage, Home Tree
	HomePath      string
}

// Row returns the form in which u crosses the bus.
func (u Usage) Row() UsageRow {
	r := UsageRow{u.Measuring, 0, u.Storage, u.Home, u.HomePath}
	if !u.Measured.IsZero() {
		r.Measured = u.Measured.Unix()
	}
	return r
}

func (r UsageRow) usage() Usage {
	u := Usage{r.Measuring, time.Time{}, r.Storage, r.Home, r.HomePath}
	if r.Measured > 0 {
		u.Measured = time.Unix(r.Measured, 0)
	}
	return u
}

// Row returns the form in which s crosses the bus.
func (s Server) Row() ServerRow {
	return ServerRow{s.Key.User.String(), s.Key.Server.String(), s.Profile, string(s.State), s.UID, s.Socket,
		uint64(max(0, s.Started.UnixMicro())), s.TokenHash, s.Devices}
}

func (r ServerRow) server() (Server, error) {
	key, err := ident.ParseKey(r.User, r.Server)
	s := Server{key, r.Profile, State(r.State), r.UID, r.Socket, time.Time{}, r.TokenHash, r.Devices}
	if r.Started > 0 {
		s.Started = time.UnixMicro(int64(r.Started))
	}
	return s, err
}

// Body returns the signal's arguments.
func (e Event) Body() []any {
	return []any{e.Row(), e.Result, e.Exit}
}

func readEvent(body []any) (Event, error) {
	var row ServerRow
	var e Event
	err := dbus.Store(body, &row, &e.Result, &e.Exit)
	if err == nil {
		e.Server, err = row.server()
	}
	if err != nil {
		return Event{}, fmt.Errorf("cannot read the launcher's signal: %w", err)
	}
	return e, nil
}

// DBus returns the D-Bus error by which e crosses the bus.
func (e *Error) DBus() *dbus.Error {
	return &dbus.Error{Name: errorPrefix + string(e.Code), Body: []any{e.Message}}
}

// fromBus turns the launcher's D-Bus errors back into *Error and leaves others as they
// are, with the next step for a person.
func fromBus(err error) error {
	var e dbus.Error
	if !errors.As(err, &e) {
		return err
	}
	if code, ok := strings.CutPrefix(e.Name, errorPrefix); ok {
		return &Error{Code(code), e.Error()}
	}
	return fmt.Errorf("the launcher does not answer: %w\nhint: journalctl -u gifford-launcher", err)
}

// Introspection describes the interface to tools such as busctl(1).
const Introspection = `<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
<node>
 <interface name="` + Interface + `">
  <method name="Start">
   <arg name="user" type="s" direction="in"/>
   <arg name="server" type="s" direction="in"/>
   <arg name="profile" type="s" direction="in"/>
   <arg name="without_gpus" type="b" direction="in"/>
   <arg name="env" type="a{ss}" direction="in"/>
  </method>
  <method name="Stop">
   <arg name="user" type="s" direction="in"/>
   <arg name="server" type="s" direction="in"/>
  </method>
  <method name="Reset">
   <arg name="user" type="s" direction="in"/>
   <arg name="server" type="s" direction="in"/>
  </method>
  <method name="Kept">
   <arg name="kept" type="a(sssb)" direction="out"/>
  </method>
  <method name="List">
   <arg name="servers" type="a(ssssustsas)" direction="out"/>
  </method>
  <method name="Profiles">
   <arg name="profiles" type="a(ssssbi)" direction="out"/>
  </method>
  <method name="Images">
   <arg name="servers" type="a(sss)" direction="out"/>
   <arg name="profiles" type="a(ss)" direction="out"/>
  </method>
  <method name="GPUs">
   <arg name="gpus" type="(a(ssstsua(ssstu)(bdt)(bdt)(bdt)asa(uusst))a(ss)ts)" direction="out"/>
  </method>
  <method name="Usage">
   <arg name="user" type="s" direction="in"/>
   <arg name="measure" type="b" direction="in"/>
   <arg name="usage" type="(bx(xxx)(xxx)s)" direction="out"/>
  </method>
  <signal name="` + ChangedSignal + `">
   <arg name="server" type="(ssssustsas)"/>
   <arg name="result" type="s"/>
   <arg name="exit" type="i"/>
  </signal>
 </interface>
</node>`
