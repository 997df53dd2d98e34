package launcher

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/launcherbus"
)

// operations is all that anybody can ask of the launcher, by the methods' names on the
// bus: root and the hub's account alone (Bus.permit). A new one needs a line in
// docs/security.md.
func (b *Bus) operations() map[string]any {
	return map[string]any{
		"Start": func(from dbus.Sender, user, server, profile string, env map[string]string) *dbus.Error {
			return b.serve(from, "Start", func(ctx context.Context) error {
				key, err := parseKey(user, server)
				if err != nil {
					return err
				}
				return b.launcher.Start(ctx, launcherbus.StartRequest{Key: key, Profile: profile, Env: env})
			})
		},
		"Stop": func(from dbus.Sender, user, server string) *dbus.Error {
			return b.serve(from, "Stop", func(ctx context.Context) error {
				key, err := parseKey(user, server)
				if err != nil {
					return err
				}
				return b.launcher.Stop(ctx, key)
			})
		},
		"List": func(from dbus.Sender) (all []launcherbus.WireServer, derr *dbus.Error) {
			derr = b.serve(from, "List", func(ctx context.Context) error {
				list, err := b.launcher.List(ctx)
				for _, s := range list {
					all = append(all, s.Wire())
				}
				return err
			})
			return all, derr
		},
		"Profiles": func(from dbus.Sender) (all []launcherbus.Profile, derr *dbus.Error) {
			derr = b.serve(from, "Profiles", func(ctx context.Context) (err error) {
				all, err = b.launcher.Profiles(ctx)
				return err
			})
			return all, derr
		},
	}
}

// introspection is what busctl introspect shows.
const introspection = `<node><interface name="` + launcherbus.Interface + `">
<method name="Start"><arg name="user" type="s" direction="in"/><arg name="server" type="s" direction="in"/><arg name="profile" type="s" direction="in"/><arg name="env" type="a{ss}" direction="in"/></method>
<method name="Stop"><arg name="user" type="s" direction="in"/><arg name="server" type="s" direction="in"/></method>
<method name="List"><arg name="servers" type="a(ssssussx)" direction="out"/></method>
<method name="Profiles"><arg name="profiles" type="a(ssssb)" direction="out"/></method>
<signal name="Changed"><arg name="user" type="s"/><arg name="server" type="s"/><arg name="state" type="s"/><arg name="result" type="s"/><arg name="exit" type="i"/></signal>
</interface>` + introspect.IntrospectDataString + `</node>`

// Bus serves a Launcher on the system bus.
type Bus struct {
	ctx      context.Context // the life of the service; a call outlives its caller's connection
	conn     *dbus.Conn
	launcher *Launcher
	hub      ident.User
	uid      func(dbus.Sender) (uint32, error) // who a sender is
}

// Serve exports the operations and takes the bus name. It returns at once; the calls end
// with ctx.
func Serve(ctx context.Context, conn *dbus.Conn, l *Launcher) (*Bus, error) {
	b := &Bus{ctx: ctx, conn: conn, launcher: l, hub: l.cfg.HubUser}
	b.uid = func(from dbus.Sender) (uid uint32, err error) {
		err = conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetConnectionUnixUser", 0, string(from)).Store(&uid)
		return uid, err
	}
	if err := conn.ExportMethodTable(b.operations(), launcherbus.ObjectPath, launcherbus.Interface); err != nil {
		return nil, fmt.Errorf("cannot export the launcher: %w", err)
	}
	if err := conn.Export(introspect.Introspectable(introspection), launcherbus.ObjectPath, "org.freedesktop.DBus.Introspectable"); err != nil {
		return nil, fmt.Errorf("cannot export the launcher: %w", err)
	}
	reply, err := conn.RequestName(launcherbus.BusName, dbus.NameFlagDoNotQueue)
	if err != nil {
		return nil, fmt.Errorf("cannot take the bus name %s: %w\nhint: is its policy in /usr/share/dbus-1/system.d?", launcherbus.BusName, err)
	}
	if reply != dbus.RequestNameReplyPrimaryOwner {
		return nil, fmt.Errorf("cannot take the bus name %s: another launcher has it", launcherbus.BusName)
	}
	return b, nil
}

// Emit sends the signal of a change.
func (b *Bus) Emit(e launcherbus.Event) error {
	return b.conn.Emit(launcherbus.ObjectPath, launcherbus.SignalChanged,
		e.Key.User.String(), e.Key.Server.String(), string(e.State), e.Result, e.Exit)
}

// serve runs one operation for a caller that may ask for it. No panic ends the launcher.
func (b *Bus) serve(from dbus.Sender, operation string, run func(context.Context) error) (derr *dbus.Error) {
	defer func() {
		if p := recover(); p != nil {
			b.launcher.cfg.Log.Error("operation panicked", "event", "panic", "operation", operation, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			derr = refuse(launcherbus.Internal, "the launcher failed\nhint: journalctl -u gifford-launcher").DBus()
		}
	}()
	err := b.permit(from, operation)
	if err == nil {
		err = run(b.ctx)
	}
	if err == nil {
		return nil
	}
	var ours *launcherbus.Error
	if !errors.As(err, &ours) {
		b.launcher.cfg.Log.Error("operation failed", "event", "operation-failed", "operation", operation, "error", err.Error())
		ours = refuse(launcherbus.Internal, "%v\nhint: journalctl -u gifford-launcher", err)
	}
	return ours.DBus()
}

// permit asks the bus who the caller is. The bus's own policy keeps everybody else away
// already; this is the second lock on the same door.
func (b *Bus) permit(from dbus.Sender, operation string) error {
	uid, err := b.uid(from)
	if err != nil {
		return refuse(launcherbus.Refused, "cannot find out who calls: %v", err)
	}
	if uid == 0 {
		return nil
	}
	hub, err := b.launcher.cfg.Accounts.Lookup(b.ctx, b.hub)
	if err != nil || hub.UID == 0 || uid != hub.UID {
		b.launcher.cfg.Log.Warn("caller refused", "event", "caller-refused", "uid", uid, "operation", operation)
		return refuse(launcherbus.Refused, "uid %d may not call the launcher", uid)
	}
	return nil
}

func parseKey(user, server string) (ident.Key, error) {
	key, err := ident.ParseKey(user, server)
	if err != nil {
		return key, refuse(launcherbus.Refused, "%v", err)
	}
	return key, nil
}
