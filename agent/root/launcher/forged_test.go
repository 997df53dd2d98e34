package launcher

import (
	"context"
	"log/slog"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// forge sends a signal to one connection, as any account on the host can.
func forge(t *testing.T, from *dbus.Conn, to, iface, member string, body ...any) {
	t.Helper()
	m := &dbus.Message{Type: dbus.TypeSignal, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath:        dbus.MakeVariant(dbus.ObjectPath(launcherbus.ObjectPath)),
		dbus.FieldInterface:   dbus.MakeVariant(iface),
		dbus.FieldMember:      dbus.MakeVariant(member),
		dbus.FieldDestination: dbus.MakeVariant(to)}}
	if len(body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
	}
	if call := from.Send(m, nil); call != nil && call.Err != nil {
		t.Error(call.Err)
	}
	// The bus answers after it has passed the signal on.
	if err := from.BusObject().Call("org.freedesktop.DBus.GetId", 0).Err; err != nil {
		t.Error(err)
	}
}

// TestForgedSignals sends signals that look like the launcher's and the bus's directly to the hub: none is an event,
// and the launcher's own are events before and after a new launcher.
func TestForgedSignals(t *testing.T) {
	dial, h := privateBus(t), newHost(t)
	connect := func() *dbus.Conn {
		c, err := dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	hubs := make(chan *dbus.Conn, 1)
	client, err := launcherbus.New(launcherbus.Config{Log: slog.New(slog.DiscardHandler),
		Dial: func(ctx context.Context) (*dbus.Conn, error) {
			c, err := dial(ctx)
			hubs <- c
			return c, err
		}})
	if err != nil {
		t.Fatal(err)
	}
	events, synced := make(chan launcherbus.Event, 100), make(chan bool, 100)
	go client.Watch(t.Context(), func(e launcherbus.Event) { events <- e }, func() { synced <- true })
	hub := (<-hubs).Names()[0]
	<-synced
	stranger, k := connect(), h.key("bob", "")
	false1 := launcherbus.Event{Server: launcherbus.Server{Key: k, State: launcherbus.Stopped}}.Body()
	attack := func(when string) {
		t.Helper()
		forge(t, stranger, hub, launcherbus.Interface, launcherbus.ChangedSignal, false1...)
		forge(t, stranger, hub, launcherbus.Interface, launcherbus.ChangedSignal)
		forge(t, stranger, hub, launcherbus.Interface, launcherbus.OlderSignal, "bob", "", "stopped", "", int32(0))
		forge(t, stranger, hub, "org.freedesktop.DBus", "NameOwnerChanged", launcherbus.BusName, "",
			stranger.Names()[0])
		forge(t, stranger, hub, "org.freedesktop.DBus", "NameOwnerChanged")
		forge(t, stranger, hub, launcherbus.Interface, launcherbus.ChangedSignal, false1...)
		if len(events)+len(synced) > 0 {
			t.Errorf("%s: %d events, %d syncs", when, len(events), len(synced))
		}
	}
	for _, when := range []string{"without a launcher", "again"} {
		attack(when)
		launcher := connect()
		if err := export(launcher, map[string]any{}); err != nil {
			t.Fatal(err)
		}
		<-synced
		attack("with a launcher")
		for _, s := range []launcherbus.State{launcherbus.Starting, launcherbus.Running} {
			if err := emit(launcher, launcherbus.Event{Server: launcherbus.Server{Key: k, State: s}}); err != nil {
				t.Fatal(err)
			}
			if e := <-events; e.State != s {
				t.Errorf("%s: %s is announced as %s", when, s, e.State)
			}
		}
		if err := launcher.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
