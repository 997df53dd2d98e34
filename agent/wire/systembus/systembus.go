// Package systembus connects to the system bus as our daemons do: so that no other account can do more to them than
// send a message. It must never call or export anything.
package systembus

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"strings"

	"github.com/godbus/dbus/v5"
)

// standard is the D-Bus specification's socket ("Well-known Message Bus Instances").
const standard = "/run/dbus/system_bus_socket"

// Connect connects to the system bus, by a connection that takes no file descriptors. Any account may send a signal
// with some to any connection, and the library keeps them open for ever. The bus does not pass such messages on to a
// connection that has not asked for them (D-Bus specification, NEGOTIATE_UNIX_FD). The connection ends with ctx.
func Connect(ctx context.Context, options ...dbus.ConnOption) (*dbus.Conn, error) {
	return Dial(ctx, cmp.Or(os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"), "unix:path="+standard), options...)
}

// Dial connects as Connect does to the bus at an address, which is that of a socket with a path.
func Dial(ctx context.Context, address string, options ...dbus.ConnOption) (*dbus.Conn, error) {
	socket, ok := strings.CutPrefix(address, "unix:path=")
	if !ok {
		return nil, errors.New("the bus has another address than a socket's path: " + address)
	}
	stream, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	// A stream is all that the library is told of the connection, so it does not ask for descriptors.
	conn, err := dbus.NewConn(newScreen(stream), append(options, dbus.WithContext(ctx))...)
	if err != nil {
		return nil, errors.Join(err, stream.Close())
	}
	if err := errors.Join(conn.Auth(nil), conn.Hello()); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}
