package proxy

import (
	"context"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// StrangerError says that another account than the server's listens on its socket, as
// when a member puts a link to somebody else's socket in place of their own.
type StrangerError struct {
	Socket    string
	Want, Got uint32 // user ids
}

func (e *StrangerError) Error() string {
	return fmt.Sprintf("cannot use socket %q: uid %d listens there, not uid %d", e.Socket, e.Got, e.Want)
}

// Dial connects to a UNIX socket and makes sure that the account uid listens on it
// (SO_PEERCRED, unix(7): the credentials that the listener had when it called
// listen(2)). Otherwise it closes the connection before a byte was sent and gives a
// *StrangerError.
func Dial(ctx context.Context, socket string, uid uint32) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	got, err := listenerUID(conn)
	if err == nil && got != uid {
		err = &StrangerError{Socket: socket, Want: uid, Got: got}
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
