package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path"

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

// StrangerError says that another account than the server's listens on its socket, or that a link or a mount is on the
// way to it, as when a member puts a link to somebody else's socket in place of their own.
type StrangerError struct {
	Socket    string
	Want, Got uint32 // user ids; Got is 1<<32 - 1 if the way was not followed
	way       error  // what is on it
}

// Unwrap returns what is on the way to the socket, if it was not followed.
func (e *StrangerError) Unwrap() error { return e.way }

func (e *StrangerError) Error() string {
	if e.way != nil {
		return fmt.Sprintf("cannot use socket %q: there is a link or a mount on the way to it (%v)", e.Socket, e.way)
	}
	return fmt.Sprintf("cannot use socket %q: uid %d listens there, not uid %d", e.Socket, e.Got, e.Want)
}

// Dial connects to the server. For a UNIX socket it makes sure that the right account listens (SO_PEERCRED, unix(7):
// the credentials that the listener had when it called listen(2)), and follows no link to it. Otherwise it closes the
// connection before a byte was sent and returns a *StrangerError.
func (a Address) Dial(ctx context.Context) (net.Conn, error) {
	if a.network == "" {
		return nil, &net.OpError{Op: "dial", Err: fmt.Errorf("the server has no address")}
	}
	if a.network != "unix" {
		return new(net.Dialer).DialContext(ctx, a.network, a.address)
	}
	conn, err := a.dialSocket(ctx)
	if err != nil {
		return nil, err
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

// dialSocket connects to the socket without a question to what a member may have mounted or linked over it or its
// directory. A FUSE file system there would hold a thread of the hub for each connection, for ever.
func (a Address) dialSocket(ctx context.Context) (net.Conn, error) {
	at := &net.UnixAddr{Name: a.address, Net: a.network}
	fd, err := openSocket(a.address)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EXDEV) {
		return nil, &StrangerError{Socket: a.address, Want: a.uid, Got: 1<<32 - 1, way: err}
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: a.network, Addr: at, Err: err}
	}
	defer unix.Close(fd)
	conn, err := new(net.Dialer).DialContext(ctx, a.network, fmt.Sprintf("/proc/self/fd/%d", fd))
	var op *net.OpError
	if errors.As(err, &op) {
		op.Addr = at
	}
	return conn, err
}

// openSocket opens a socket as a place only. Its directory is the member's; that above is root's. It does not use
// openat2(2), which systemd's RestrictSUIDSGID= forbids.
func openSocket(name string) (int, error) {
	dir, file := path.Split(name)
	above, member := path.Split(path.Clean(dir))
	at, err := unix.Open(above, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("open "+above, err)
	}
	for _, part := range []string{member, file} {
		fd, err := step(at, part)
		_ = unix.Close(at)
		if err != nil {
			return -1, os.NewSyscallError("open "+part, err)
		}
		at = fd
	}
	return at, nil
}

// step opens one name in a directory as a place only. Neither a link (ELOOP) nor a mount (EXDEV) is asked for anything.
func step(dir int, name string) (int, error) {
	var above, own unix.Statx_t
	const flags = unix.AT_EMPTY_PATH | unix.AT_STATX_DONT_SYNC
	if err := unix.Statx(dir, "", flags, 0, &above); err != nil {
		return -1, err
	}
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err = unix.Statx(fd, "", flags, 0, &own); err == nil && own.Mnt_id != above.Mnt_id {
		err = unix.EXDEV
	}
	if err == nil { // the file system is the directory's
		err = unix.Statx(fd, "", flags, unix.STATX_TYPE, &own)
	}
	if err == nil && own.Mode&unix.S_IFMT == unix.S_IFLNK {
		err = unix.ELOOP
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
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
