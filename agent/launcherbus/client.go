package launcherbus

import (
	"context"
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Client calls the launcher. The bus starts the launcher when it does not run.
type Client struct {
	conn *dbus.Conn
	obj  dbus.BusObject
}

// Dial connects to the system bus. It does not start the launcher yet.
func Dial(ctx context.Context) (*Client, error) {
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("cannot reach the system bus: %w", err)
	}
	return &Client{conn, conn.Object(BusName, ObjectPath)}, nil
}

// Close ends the connection.
func (c *Client) Close() { _ = c.conn.Close() }

func (c *Client) call(ctx context.Context, method string, result any, args ...any) error {
	call := c.obj.CallWithContext(ctx, method, 0, args...)
	err := call.Err
	if err == nil && result != nil {
		err = call.Store(result)
	}
	if err == nil {
		return nil
	}
	err = fromDBus(err)
	var ours *Error
	if errors.As(err, &ours) || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("cannot call the launcher: %w\nhint: systemctl status gifford-launcher", err)
}

// Start starts a server and returns when its unit is active. An *Error says why not.
func (c *Client) Start(ctx context.Context, r StartRequest) error {
	return c.call(ctx, MethodStart, nil, r.Key.User.String(), r.Key.Server.String(), r.Profile, r.Env)
}

// Stop stops a server, or cancels its start, and returns when its unit is gone.
func (c *Client) Stop(ctx context.Context, key ident.Key) error {
	return c.call(ctx, MethodStop, nil, key.User.String(), key.Server.String())
}

// List gives all servers whose units exist.
func (c *Client) List(ctx context.Context) ([]Server, error) {
	var wire []WireServer
	if err := c.call(ctx, MethodList, &wire); err != nil {
		return nil, err
	}
	var all []Server
	for _, w := range wire {
		s, err := w.server()
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Profiles gives the policy's profiles, in the order of their names.
func (c *Client) Profiles(ctx context.Context) ([]Profile, error) {
	var all []Profile
	err := c.call(ctx, MethodProfiles, &all)
	return all, err
}

// ErrBusLost says that the connection to the system bus has ended; nothing more will be
// heard on it.
var ErrBusLost = errors.New("the connection to the system bus was lost")

// Watch calls event for every Changed signal, and resync whenever signals may have been
// missed: once at its start, and each time a launcher takes the bus name. It returns nil
// when ctx ends and ErrBusLost when the bus is gone.
func (c *Client) Watch(ctx context.Context, event func(Event), resync func()) error {
	signals := make(chan *dbus.Signal, 256)
	c.conn.Signal(signals)
	defer c.conn.RemoveSignal(signals)
	if err := c.conn.AddMatchSignalContext(ctx, dbus.WithMatchInterface(Interface), dbus.WithMatchObjectPath(ObjectPath), dbus.WithMatchSender(BusName)); err != nil {
		return fmt.Errorf("cannot watch the launcher: %w", err)
	}
	if err := c.conn.AddMatchSignalContext(ctx, dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, BusName)); err != nil {
		return fmt.Errorf("cannot watch the launcher: %w", err)
	}
	resync()
	for {
		select {
		case <-ctx.Done():
			return nil
		case s, open := <-signals:
			if !open {
				return ErrBusLost
			}
			dispatch(s, event, resync)
		}
	}
}

// dispatch takes one signal.
func dispatch(s *dbus.Signal, event func(Event), resync func()) {
	if s.Name == SignalChanged {
		if e, err := parseEvent(s.Body); err == nil {
			event(e)
		}
		return
	}
	var name, from, to string
	if s.Name == "org.freedesktop.DBus.NameOwnerChanged" && dbus.Store(s.Body, &name, &from, &to) == nil && name == BusName && to != "" {
		resync()
	}
}

func parseEvent(body []any) (Event, error) {
	var user, server, state, result string
	var exit int32
	if err := dbus.Store(body, &user, &server, &state, &result, &exit); err != nil {
		return Event{}, err
	}
	key, err := ident.ParseKey(user, server)
	return Event{Key: key, State: State(state), Result: result, Exit: exit}, err
}
