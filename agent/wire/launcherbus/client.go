package launcherbus

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Config is what a Client needs.
type Config struct {
	// Dial connects to the bus; nil is the system bus.
	Dial func(ctx context.Context) (*dbus.Conn, error)
	// Log gets what Watch meets; required.
	Log *slog.Logger
}

// Client calls the launcher. D-Bus starts the launcher at the first call. A lost
// connection to the bus is made again at the next call.
type Client struct {
	cfg Config

	mu   sync.Mutex // guards conn
	conn *dbus.Conn // nil before the first call
}

// New makes a Client; nothing is connected yet.
func New(cfg Config) (*Client, error) {
	if cfg.Log == nil {
		return nil, fmt.Errorf("cannot make the launcher's client: a log is required")
	}
	if cfg.Dial == nil {
		cfg.Dial = systemBus
	}
	return &Client{cfg: cfg}, nil
}

func systemBus(ctx context.Context) (*dbus.Conn, error) {
	return dbus.ConnectSystemBus(dbus.WithContext(ctx), dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
}

// Close ends the connection.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		_ = c.conn.Close()
	}
}

// Start starts a server and returns when its unit is active or has failed: up to the
// profile's image_timeout and start_timeout. Errors of the launcher are *Error.
func (c *Client) Start(ctx context.Context, r StartRequest) error {
	env := r.Env
	if env == nil {
		env = map[string]string{}
	}
	return c.call(ctx, "Start", nil, r.Key.User.String(), r.Key.Server.String(), r.Profile, r.WithoutGPUs, env)
}

// Stop stops a server and returns when its unit has ended. A server that does not run
// is an *Error with code NotFound.
func (c *Client) Stop(ctx context.Context, key ident.Key) error {
	return c.call(ctx, "Stop", nil, key.User.String(), key.Server.String())
}

// Reset removes what persistent profiles have kept of a stopped server. Where nothing is
// kept it is an *Error with code NotFound, where the unit exists one with AlreadyExists.
func (c *Client) Reset(ctx context.Context, key ident.Key) error {
	return c.call(ctx, "Reset", nil, key.User.String(), key.Server.String())
}

// Kept returns the containers that persistent profiles keep, of all members.
func (c *Client) Kept(ctx context.Context) ([]Kept, error) {
	var rows []KeptRow
	if err := c.call(ctx, "Kept", &rows); err != nil {
		return nil, err
	}
	all := make([]Kept, len(rows))
	for i, r := range rows {
		k, err := r.kept()
		if err != nil {
			return nil, fmt.Errorf("cannot read the launcher's list of kept containers: %w", err)
		}
		all[i] = k
	}
	return all, nil
}

// List returns the servers whose units exist and have not ended.
func (c *Client) List(ctx context.Context) ([]Server, error) {
	var rows []ServerRow
	if err := c.call(ctx, "List", &rows); err != nil {
		return nil, err
	}
	servers := make([]Server, len(rows))
	for i, r := range rows {
		s, err := r.server()
		if err != nil {
			return nil, fmt.Errorf("cannot read the launcher's list: %w", err)
		}
		servers[i] = s
	}
	return servers, nil
}

// Profiles returns the policy's profiles, the default one first.
func (c *Client) Profiles(ctx context.Context) ([]Profile, error) {
	var rows []ProfileRow
	if err := c.call(ctx, "Profiles", &rows); err != nil {
		return nil, err
	}
	profiles := make([]Profile, len(rows))
	for i, r := range rows {
		profiles[i] = Profile(r)
	}
	return profiles, nil
}

// Images returns the images of the shared store that servers run on and profiles would
// start with.
func (c *Client) Images(ctx context.Context) (Images, error) {
	var servers []ServerImage
	var profiles []ProfileImage
	if err := c.calls(ctx, "Images", []any{&servers, &profiles}); err != nil {
		return Images{}, err
	}
	images := Images{map[ident.Key]string{}, map[string]string{}}
	for _, s := range servers {
		key, err := ident.ParseKey(s.User, s.Server)
		if err != nil {
			return Images{}, fmt.Errorf("cannot read the launcher's list: %w", err)
		}
		images.Servers[key] = s.ID
	}
	for _, p := range profiles {
		images.Profiles[p.Profile] = p.ID
	}
	return images, nil
}

// GPUs returns the devices of the host that can be lent, and who holds them.
func (c *Client) GPUs(ctx context.Context) (GPUs, error) {
	var row GPUsRow
	if err := c.call(ctx, "GPUs", &row); err != nil {
		return GPUs{}, err
	}
	return row.gpus()
}

// Usage returns what a member's files took when they were last measured. With measure
// another measuring begins, unless one is under way; nothing waits for it.
func (c *Client) Usage(ctx context.Context, user ident.User, measure bool) (Usage, error) {
	var row UsageRow
	err := c.call(ctx, "Usage", &row, user.String(), measure)
	return row.usage(), err
}

func (c *Client) call(ctx context.Context, method string, reply any, args ...any) error {
	var replies []any
	if reply != nil {
		replies = []any{reply}
	}
	return c.calls(ctx, method, replies, args...)
}

func (c *Client) calls(ctx context.Context, method string, replies []any, args ...any) error {
	conn, err := c.connection()
	if err != nil {
		return err
	}
	call := conn.Object(BusName, ObjectPath).CallWithContext(ctx, Interface+"."+method, 0, args...)
	if call.Err != nil {
		return fromBus(call.Err)
	}
	if len(replies) == 0 {
		return nil
	}
	if err := call.Store(replies...); err != nil {
		return fmt.Errorf("cannot read the launcher's answer to %s: %w", method, err)
	}
	return nil
}

// connection returns the one that is open, or a new one. It does not end with the context
// of the call that happens to open it.
func (c *Client) connection() (*dbus.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil && c.conn.Connected() {
		return c.conn, nil
	}
	conn, err := c.cfg.Dial(context.Background())
	if err != nil {
		return nil, fmt.Errorf("cannot reach the system bus: %w\nhint: systemctl status dbus", err)
	}
	c.conn = conn
	return conn, nil
}

const (
	firstWait = 100 * time.Millisecond // before connecting again
	lastWait  = 10 * time.Second
)

// Watch calls event for each change of a unit, in order, and resync whenever changes may
// have been missed (at first, after a lost connection, and when the launcher was started
// again): the caller should List then. It connects again until ctx ends. Both functions
// run on Watch's goroutine.
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

// subscribe asks for the launcher's signal, which the bus gives only from the owner of
// the launcher's name, and for news of that owner.
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
