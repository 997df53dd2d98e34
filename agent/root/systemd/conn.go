package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/wire/systembus"
)

// ErrLost says that systemd cannot be reached any more: what its units do is not known.
var ErrLost = errors.New("lost track of systemd's units")

// privateSocket is systemd's own. Its mode is 0600 and systemd takes no connection of another account than root, so
// what comes over it is systemd's.
const privateSocket = "unix:path=/run/systemd/private"

const (
	againEvery = 100 * time.Millisecond // between attempts to connect again
	againFor   = 20 * time.Second       // systemd that executes itself again, as after its upgrade, takes a second
	askTimes   = 3                      // how often a question is asked whose answer a lost connection takes along
)

// Conn is a connection to systemd, which is made again when systemd executes itself again, and one to the system bus
// for logind.
type Conn struct {
	dial func(ctx context.Context) (*dbus.Conn, error)
	bus  *dbus.Conn // for logind's methods; no signals are taken from it

	end     context.CancelFunc
	done    chan struct{} // closed when follow has returned
	lost    chan struct{} // closed when systemd cannot be reached any more
	changes chan Change   // those that Watch has not read
	missed  chan struct{} // has one when changes may have been missed

	mu      sync.Mutex // guards those below
	systemd *dbus.Conn
	next    chan struct{}     // closed when there is another connection
	waiting map[*pending]bool // jobs that have not ended
}

// Connect connects. The connection ends with ctx.
func Connect(ctx context.Context) (*Conn, error) {
	bus, err := systembus.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the system bus: %w", err)
	}
	c, err := connect(ctx, bus, dialSystemd)
	if err != nil {
		_ = bus.Close()
	}
	return c, err
}

func connect(ctx context.Context, bus *dbus.Conn, dial func(context.Context) (*dbus.Conn, error)) (*Conn, error) {
	ctx, end := context.WithCancel(ctx)
	c := &Conn{dial: dial, bus: bus, end: end, done: make(chan struct{}), lost: make(chan struct{}),
		changes: make(chan Change, 4096), missed: make(chan struct{}, 1), next: make(chan struct{}),
		waiting: map[*pending]bool{}}
	first, err := c.open(ctx)
	if err != nil {
		end()
		return nil, fmt.Errorf("cannot reach systemd: %w", err)
	}
	go c.follow(ctx, first)
	return c, nil
}

// dialSystemd connects to the private socket, which is no bus: there is no Hello, and systemd sends each of its
// signals, whether it was asked to or not.
func dialSystemd(ctx context.Context) (*dbus.Conn, error) {
	conn, err := dbus.Dial(privateSocket, dbus.WithContext(ctx),
		dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
	if err != nil {
		return nil, err
	}
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// Close ends the connections and with them Watch.
func (c *Conn) Close() {
	c.end()
	<-c.done
	_ = c.bus.Close()
}

// link is one connection to systemd.
type link struct {
	conn    *dbus.Conn
	signals chan *dbus.Signal
}

// open makes a connection to systemd, for all calls from now on.
func (c *Conn) open(ctx context.Context) (*link, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	l := &link{conn, make(chan *dbus.Signal, 256)}
	conn.Signal(l.signals)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.systemd = conn
	close(c.next)
	c.next = make(chan struct{})
	return l, nil
}

// connection returns the one that is open, and waits for it while it is made again.
func (c *Conn) connection(ctx context.Context) (*dbus.Conn, error) {
	for {
		c.mu.Lock()
		conn, next := c.systemd, c.next
		c.mu.Unlock()
		if conn.Connected() {
			return conn, nil
		}
		select {
		case <-next:
		case <-c.lost:
			return nil, ErrLost
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// follow reads systemd's signals until ctx ends or systemd cannot be reached any more.
func (c *Conn) follow(ctx context.Context, l *link) {
	defer close(c.done)
	for ; l != nil; l = c.again(ctx) {
		c.read(l)
		// What happens until there is another connection is not announced.
		c.miss()
	}
	close(c.lost)
}

// read notes what systemd sends until the connection ends.
func (c *Conn) read(l *link) {
	for {
		select {
		case <-l.conn.Context().Done():
			return
		case s, open := <-l.signals:
			if !open {
				return
			}
			c.note(s)
		}
	}
}

// again connects again; nil when ctx has ended or systemd does not come back.
func (c *Conn) again(ctx context.Context) *link {
	for end := time.Now().Add(againFor); ctx.Err() == nil && time.Now().Before(end); {
		if l, err := c.open(ctx); err == nil {
			return l
		}
		select {
		case <-ctx.Done():
		case <-time.After(againEvery):
		}
	}
	return nil
}

// note takes one signal of systemd. It is called for one after the other.
func (c *Conn) note(s *dbus.Signal) {
	switch s.Name {
	case managerInterface + ".JobRemoved":
		if r, ok := readRemoved(s.Body); ok {
			c.removed(r)
		}
	case properties + ".PropertiesChanged":
		if change, ok := readChange(s); ok {
			select {
			case c.changes <- change:
			default:
				c.miss()
			}
		}
	}
}

// miss makes Watch ask for all units.
func (c *Conn) miss() {
	select {
	case c.missed <- struct{}{}:
	default:
	}
}
