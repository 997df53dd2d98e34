package launcherbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/printable"
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
	w := watcher{log: c.cfg.Log, event: event, resync: resync}
	if w.owner, err = owner(ctx, conn); err != nil {
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
			w.signal(s)
		}
	}
}

// The bus's own name, which it gives to nobody else.
const (
	theBus           = "org.freedesktop.DBus"
	nameOwnerChanged = "NameOwnerChanged"
)

// subscribe asks for the launcher's signal and for changes of the owner of its name.
func subscribe(ctx context.Context, conn *dbus.Conn) error {
	for _, match := range [][]dbus.MatchOption{
		{dbus.WithMatchSender(BusName), dbus.WithMatchInterface(Interface), dbus.WithMatchMember(ChangedSignal),
			dbus.WithMatchObjectPath(ObjectPath)},
		{dbus.WithMatchSender(theBus), dbus.WithMatchInterface(theBus), dbus.WithMatchMember(nameOwnerChanged),
			dbus.WithMatchArg(0, BusName)},
	} {
		if err := conn.AddMatchSignalContext(ctx, match...); err != nil {
			return fmt.Errorf("cannot subscribe to the launcher's signals: %w", err)
		}
	}
	return nil
}

// owner returns the unique name of the launcher's connection; "" when no launcher runs.
func owner(ctx context.Context, conn *dbus.Conn) (name string, err error) {
	err = conn.BusObject().CallWithContext(ctx, theBus+".GetNameOwner", 0, BusName).Store(&name)
	var e dbus.Error
	if errors.As(err, &e) && e.Name == theBus+".Error.NameHasNoOwner" {
		return "", nil
	} else if err != nil {
		return "", fmt.Errorf("cannot ask who the launcher is: %w", err)
	}
	return name, nil
}

// watcher reads the signals of one connection. What was subscribed to binds broadcast signals alone: any account can
// send one to this connection directly. The bus writes the sender into each.
type watcher struct {
	log    *slog.Logger
	event  func(Event)
	resync func()
	owner  string // unique name of the launcher's connection; "" when there is none
	forged bool   // another's signal was logged
}

func (w *watcher) signal(s *dbus.Signal) {
	switch {
	case s.Name == theBus+"."+nameOwnerChanged && s.Sender == theBus:
		w.newOwner(s.Body)
	case s.Name == Interface+"."+ChangedSignal && s.Path == ObjectPath && w.owner != "" && s.Sender == w.owner:
		e, err := readEvent(s.Body)
		if err != nil {
			w.log.Warn("strange signal from the launcher", "event", "launcher-signal", "error", err)
			return
		}
		w.event(e)
	case s.Sender != theBus && s.Sender != w.owner && !w.forged:
		w.forged = true // once for a connection: the log must not be theirs to fill
		w.log.Warn("dropped a signal that is not the launcher's, and will drop others without a word", "event",
			"forged-signal", "sender", s.Sender, "signal", printable.Line(s.Name, maxName))
	}
}

// maxName is how much of the name of another's signal is logged.
const maxName = 100

// newOwner takes the signal NameOwnerChanged, D-Bus type sss: name, old owner, new owner. Without a new one there is
// nothing to ask yet.
func (w *watcher) newOwner(body []any) {
	if len(body) != 3 || body[0] != BusName {
		return
	}
	owner, ok := body[2].(string)
	if !ok {
		return
	}
	if w.owner = owner; owner != "" {
		w.resync()
	}
}
