package launcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
	"github.com/gifford-lab/gifford-hub/agent/wire/systembus"
)

// hubUser is the account of the hub (sysusers.d).
const hubUser = "gifford-hub"

// Options is what Serve needs. All fields are required.
type Options struct {
	Policy func() (*policy.Policy, error) // reads launcher.toml
	Ready  func(servers int)              // called once when requests are answered
	Log    *slog.Logger
}

// Serve answers requests on the system bus until ctx ends (nil) or until the bus or systemd's signals are lost. After
// an error the process should end and be started again; the next one finds the units as they are.
func Serve(ctx context.Context, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sd, err := systemd.Connect(ctx)
	if err != nil {
		return err
	}
	defer sd.Close()
	bus, err := systembus.Connect(ctx)
	if err != nil {
		return fmt.Errorf("cannot reach the system bus: %w", err)
	}
	defer bus.Close()
	l, err := assemble(ctx, o, sd, bus)
	if err != nil {
		return err
	}
	defer l.Close()
	known, err := l.Adopt(ctx)
	if err != nil {
		return err
	}
	if err := export(bus, l.Methods(ctx, uidOf(bus))); err != nil {
		return err
	}
	o.Ready(len(known))
	l.Tidy(ctx, known)
	return whileOnBus(ctx, bus, func(ctx context.Context) error {
		return sd.Watch(ctx, UnitPrefix, UnitSuffix, known, func(c systemd.Change) { l.Changed(ctx, c) })
	})
}

// errOffBus says that nobody can call the launcher any more.
var errOffBus = errors.New("the system bus has closed the connection")

// whileOnBus runs work until it ends or the bus closes the connection.
func whileOnBus(ctx context.Context, bus *dbus.Conn, work func(context.Context) error) error {
	working, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer context.AfterFunc(bus.Context(), func() { end(errOffBus) })()
	err := work(working)
	if ctx.Err() == nil && errors.Is(context.Cause(working), errOffBus) {
		return errOffBus
	}
	return err
}

func assemble(ctx context.Context, o Options, sd *systemd.Conn, bus *dbus.Conn) (*Launcher, error) {
	if _, err := o.Policy(); err != nil {
		return nil, err
	}
	name, err := ident.ParseUser(hubUser)
	if err != nil {
		return nil, err
	}
	var names accounts.Directory
	hub, err := names.Lookup(ctx, name)
	if err != nil {
		return nil, hint.With(fmt.Errorf("cannot find the hub's account: %w", err), "systemd-sysusers")
	}
	keeper, err := imageAccount(ctx, names)
	if err != nil {
		o.Log.Warn("shared images cannot be locked", "event", "no-keeper", "error", err, "hint", hint.Of(err))
	}
	journal, err := names.Group(ctx, "systemd-journal")
	if err != nil {
		o.Log.Warn("cannot pass on what servers write", "event", "no-journal", "error", err)
	}
	var podman Podman
	return New(Config{
		Policy: o.Policy, Accounts: names, Manager: sd, Units: sd, Podman: podman.Version, Hub: hub,
		ImagesGID: keeper.GID, Journal: NewJournal(journal.GID).Lines,
		RunDir: contract.RunDir, StateDir: contract.StateDir, EtcDir: "/etc", Store: imagestore.Dir,
		CDI:      gpu.DefaultDirs(),
		GPUState: gpu.StateFile, Log: o.Log,
		Emit: func(e launcherbus.Event) {
			if err := emit(bus, e); err != nil {
				o.Log.Warn("cannot announce a change to the hub", "event", "signal-lost", "unit", e.Key.Unit(), "error",
					err)
			}
		},
	})
}

func emit(bus *dbus.Conn, e launcherbus.Event) error {
	return errors.Join(
		bus.Emit(launcherbus.ObjectPath, launcherbus.Interface+"."+launcherbus.ChangedSignal, e.Body()...),
		bus.Emit(launcherbus.ObjectPath, launcherbus.Interface+"."+launcherbus.OlderSignal, e.OlderBody()...))
}

// export puts the methods on the bus and then takes the name, so that no call comes before them.
func export(bus *dbus.Conn, methods map[string]any) error {
	if err := bus.ExportMethodTable(methods, launcherbus.ObjectPath, launcherbus.Interface); err != nil {
		return fmt.Errorf("cannot put the launcher on the bus: %w", err)
	}
	if err := bus.Export(introspection(), launcherbus.ObjectPath, introspect.IntrospectData.Name); err != nil {
		return fmt.Errorf("cannot put the launcher on the bus: %w", err)
	}
	reply, err := bus.RequestName(launcherbus.BusName, dbus.NameFlagDoNotQueue)
	if err != nil {
		return hint.With(fmt.Errorf("cannot take the name %s: %w", launcherbus.BusName, err),
			"is org.giffordlab.Launcher1.conf in /usr/share/dbus-1/system.d?")
	}
	if reply != dbus.RequestNameReplyPrimaryOwner {
		return fmt.Errorf("cannot take the name %s: another launcher runs", launcherbus.BusName)
	}
	return nil
}

// uidOf asks the bus, which knows it from the kernel, who is behind a sender's name.
func uidOf(bus *dbus.Conn) Callers {
	return func(ctx context.Context, sender string) (uint32, error) {
		var uid uint32
		err := bus.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetConnectionUnixUser", 0, sender).Store(&uid)
		if err != nil {
			return 1<<32 - 1, err
		}
		return uid, nil
	}
}
