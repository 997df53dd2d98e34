package launcherbus

import (
	"context"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

// ChangedSignal is the signal of a changed unit, D-Bus type (ssssustsas)si: the row of the server as List has it, the
// result and the exit status.
const ChangedSignal = "ServerChanged"

// Event is a new state of a unit. It carries all that List says of the server, so nobody needs to ask after an event.
type Event struct {
	Server
	// systemd's Result property when State is Failed ("exit-code", "timeout", "oom-kill" …; systemd.service(5)), else
	// ""
	Result string
	Exit   int32 // exit status or signal of the main process when State is Failed
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

const (
	firstWait = 100 * time.Millisecond // before connecting again
	lastWait  = 10 * time.Second
)

// Watch calls event for each change of a unit, in order, and resync whenever changes may have been missed (at first,
// after a lost connection, and when the launcher was started again): the caller should List then. It connects again
// until ctx ends. Both functions run on Watch's goroutine.
func (c *Client) Watch(ctx context.Context, event func(Event), resync func()) {
	wait := firstWait
	for ctx.Err() == nil {
		begun := time.Now()
		err := c.watchOnce(ctx, event, resync)
		if ctx.Err() != nil {
			return
		}
		if time.Since(begun) > lastWait {
			wait = firstWait
		}
		c.cfg.Log.Warn("lost the launcher's signals", "event", "launcher-lost", "error", err, "again_in", wait.String())
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, lastWait)
	}
}

func (c *Client) watchOnce(ctx context.Context, event func(Event), resync func()) error {
	conn, err := c.cfg.Dial(ctx)
	if err != nil {
		return fmt.Errorf("cannot reach the system bus: %w", err)
	}
	defer conn.Close()
	signals := make(chan *dbus.Signal, 256)
	conn.Signal(signals)
	if err := subscribe(ctx, conn); err != nil {
		return err
	}
	resync()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-conn.Context().Done():
			return fmt.Errorf("the system bus has closed the connection")
		case s, open := <-signals:
			if !open {
				return fmt.Errorf("the system bus has closed the connection")
			}
			c.signal(s, event, resync)
		}
	}
}

// subscribe asks for the launcher's signal, which the bus only passes on from the owner of the launcher's name, and for
// changes of that owner.
func subscribe(ctx context.Context, conn *dbus.Conn) error {
	for _, match := range [][]dbus.MatchOption{
		{dbus.WithMatchSender(BusName), dbus.WithMatchInterface(Interface), dbus.WithMatchMember(ChangedSignal),
			dbus.WithMatchObjectPath(ObjectPath)},
		{dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"),
			dbus.WithMatchArg(0, BusName)},
	} {
		if err := conn.AddMatchSignalContext(ctx, match...); err != nil {
			return fmt.Errorf("cannot subscribe to the launcher's signals: %w", err)
		}
	}
	return nil
}

func (c *Client) signal(s *dbus.Signal, event func(Event), resync func()) {
	switch s.Name {
	case Interface + "." + ChangedSignal:
		e, err := readEvent(s.Body)
		if err != nil {
			c.cfg.Log.Warn("strange signal from the launcher", "event", "launcher-signal", "error", err)
			return
		}
		event(e)
	case "org.freedesktop.DBus.NameOwnerChanged":
		// name, old owner, new owner; without a new one there is nothing to ask yet.
		if len(s.Body) == 3 && s.Body[2] != "" {
			resync()
		}
	}
}
