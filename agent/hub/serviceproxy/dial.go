package serviceproxy

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"syscall"

	"github.com/gifford-lab/gifford-hub/agent/hub/services"
)

// dial connects to a service: network is "tcp" or "unix".
type dial func(ctx context.Context, network, address string) (net.Conn, error)

// limited returns what connects to a service that was added through the API. It checks what a name or a link leads to
// at the time of each connection, since that can change, and checks the connection itself before a byte is sent.
func limited(l services.Limits) dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == "unix" {
			return dialSocket(ctx, address)
		}
		d := net.Dialer{ControlContext: func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(resolved)
			if err != nil {
				return err
			}
			return l.CheckAddr(to)
		}}
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		local, remote := addrPort(conn.LocalAddr()), addrPort(conn.RemoteAddr())
		return checked(conn, l.CheckConnection(local, remote))
	}
}

// dialSocket connects to a UNIX socket. The path can change between its check and the connection. What the listener has
// bound cannot: it is the connection's other address.
func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "unix", Err: err}
	}
	if err := services.CheckSocket(path); err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	return checked(conn, services.CheckSocket(conn.RemoteAddr().String()))
}

// checked returns the connection, or closes it for an error.
func checked(conn net.Conn, err error) (net.Conn, error) {
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}
