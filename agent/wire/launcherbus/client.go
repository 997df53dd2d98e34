package launcherbus

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/systembus"
)

// Config is what a Client needs.
type Config struct {
	// Dial connects to the bus; nil is the system bus.
	Dial func(ctx context.Context) (*dbus.Conn, error)
	// Log gets what Watch meets; required.
	Log *slog.Logger
	// Observe is called after each call with the operation's D-Bus name, the time that it took and the error that the
	// caller gets. Nil observes nothing.
	Observe func(operation string, took time.Duration, err error)
}

// Client calls the launcher. D-Bus starts the launcher at the first call. A lost connection to the bus is made again
// at the next call.
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
	if cfg.Observe == nil {
		cfg.Observe = func(string, time.Duration, error) {}
	}
	return &Client{cfg: cfg}, nil
}

func systemBus(ctx context.Context) (*dbus.Conn, error) {
	return systembus.Connect(ctx, dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
}

// Close ends the connection.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		_ = c.conn.Close()
	}
}

// call calls an operation and stores its answer in reply, which is nil for one without. Errors of the launcher are
// *Error.
func (c *Client) call(ctx context.Context, operation string, reply any, args ...any) error {
	begun := time.Now()
	err := c.ask(ctx, operation, reply, args...)
	c.cfg.Observe(operation, time.Since(begun), err)
	return err
}

func (c *Client) ask(ctx context.Context, operation string, reply any, args ...any) error {
	conn, err := c.connection()
	if err != nil {
		return err
	}
	launcher := conn.Object(BusName, ObjectPath)
	call := launcher.CallWithContext(ctx, Interface+"."+operation, 0, args...)
	if older := OlderName(operation); older != "" && unknownMethod(call.Err) {
		call = launcher.CallWithContext(ctx, Interface+"."+older, 0, args...)
	}
	if call.Err != nil {
		return fromBus(call.Err)
	}
	if reply == nil {
		return nil
	}
	if err := store(call, reply); err != nil {
		return fmt.Errorf("cannot read the launcher's answer to %s: %w", operation, err)
	}
	return nil
}

// store puts an answer into reply, or into its fields where the answer has several values.
func store(call *dbus.Call, reply any) error {
	if several, ok := reply.(interface{ fields() []any }); ok {
		return call.Store(several.fields()...)
	}
	return call.Store(reply)
}

// read calls an operation whose answer is a row, and turns the row into what it stands for.
func read[Row, T any](ctx context.Context, c *Client, operation string, parse func(Row) (T, error),
	args ...any) (T, error) {
	var row Row
	var none T
	if err := c.call(ctx, operation, &row, args...); err != nil {
		return none, err
	}
	answer, err := parse(row)
	if err != nil {
		return none, fmt.Errorf("cannot read the launcher's answer to %s: %w", operation, err)
	}
	return answer, nil
}

// each makes a parser of rows from one of a row.
func each[Row, T any](parse func(Row) (T, error)) func([]Row) ([]T, error) {
	return func(rows []Row) ([]T, error) {
		all := make([]T, len(rows))
		for i, row := range rows {
			one, err := parse(row)
			if err != nil {
				return nil, err
			}
			all[i] = one
		}
		return all, nil
	}
}

// connection returns the one that is open, or a new one. It does not end with the context of the call that happens to
// open it.
func (c *Client) connection() (*dbus.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil && c.conn.Connected() {
		return c.conn, nil
	}
	conn, err := c.cfg.Dial(context.Background())
	if err != nil {
		return nil, hint.With(fmt.Errorf("cannot reach the system bus: %w", err), "systemctl status dbus")
	}
	c.conn = conn
	return conn, nil
}
