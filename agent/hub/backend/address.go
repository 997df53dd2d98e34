package backend

import (
	"context"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Address is where a server answers HTTP, and how to make sure that it is that server who answers. Only Dial reads
// it. Addresses can be compared; the zero value is no address.
type Address struct {
	network, address string // of net.Dial
	uid              uint32 // of a UNIX socket: the account that must listen there
}

// UnixSocket returns the address of a UNIX socket on which the account uid must listen.
func UnixSocket(path string, uid uint32) Address { return Address{"unix", path, uid} }

// TCP returns the address HOST:PORT. Nothing checks who listens there: it is for a backend that has made sure that
// nobody else can.
func TCP(hostport string) Address { return Address{network: "tcp", address: hostport} }

// String returns the address for logs, and "" for none.
func (a Address) String() string { return a.address }

// StrangerError says that another account than the server's listens on its socket, as when a member puts a link to
// somebody else's socket in place of their own.
type StrangerError struct {
	Socket    string
	Want, Got uint32 // user ids
}

func (e *StrangerError) Error() string {
	return fmt.Sprintf("cannot use socket %q: uid %d listens there, not uid %d", e.Socket, e.Got, e.Want)
}

// Dial connects to the server. For a UNIX socket it makes sure that the right account listens (SO_PEERCRED, unix(7):
// the credentials that the listener had when it called listen(2)). Otherwise it closes the connection before a byte
// was sent and returns a *StrangerError.
func (a Address) Dial(ctx context.Context) (net.Conn, error) {
	if a.network == "" {
		return nil, &net.OpError{Op: "dial", Err: fmt.Errorf("the server has no address")}
	}
	conn, err := new(net.Dialer).DialContext(ctx, a.network, a.address)
	if err != nil || a.network != "unix" {
		return conn, err
	}
	got, err := listenerUID(conn)
	if err == nil && got != a.uid {
		err = &StrangerError{Socket: a.address, Want: a.uid, Got: got}
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// listenerUID asks the kernel who listens at the other end.
func listenerUID(conn net.Conn) (uint32, error) {
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, fmt.Errorf("cannot ask who listens: %T is no UNIX socket", conn)
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("cannot ask who listens: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = credErr
	}
	if err != nil {
		return 0, fmt.Errorf("cannot ask who listens: %w", err)
	}
	return cred.Uid, nil
}
