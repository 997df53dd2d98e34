package memberpodman

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path"
	"strconv"
	"syscall"
	"time"

	"github.com/containers/podman/v4/pkg/bindings"
	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
)

// Session speaks to the member's Podman, as the member (Become). Whoever listens is a stranger: it must be a process
// of the member's, behind a path without links, and what it sends is bounded.
type Session struct {
	container string
	socket    *os.File // the socket's inode, not its name
	uid       uint32
}

// NewSession opens the socket at an absolute path. uid is the member's, container the name of the server's container.
func NewSession(socket string, uid uint32, container string) (*Session, error) {
	dir, err := nofollow.Directory(path.Dir(socket))
	if err != nil {
		return nil, fmt.Errorf("podman's socket: %w", err)
	}
	defer dir.Close()
	file, err := nofollow.Entry(dir, path.Base(socket), false)
	if err != nil {
		return nil, fmt.Errorf("podman's socket: %w", err)
	}
	info, err := file.Stat()
	if err == nil && (info.Mode().Type() != fs.ModeSocket || nofollow.Owner(info) != uid) {
		err = fmt.Errorf("%s is not a socket of uid %d", socket, uid)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &Session{container, file, uid}, nil
}

// Close ends the session.
func (s *Session) Close() error { return s.socket.Close() }

// path names the socket that was opened, whatever has its name now (proc(5), /proc/PID/fd).
func (s *Session) path() string {
	return "/proc/self/fd/" + strconv.FormatUint(uint64(s.socket.Fd()), 10)
}

// listenTime is for podman between its making of the socket and its listening on it.
const listenTime = 5 * time.Second

// dial connects, and makes sure that the member listens.
func (s *Session) dial(ctx context.Context) (*net.UnixConn, error) {
	for end := time.Now().Add(listenTime); ; time.Sleep(pollEvery) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", s.path())
		if errors.Is(err, syscall.ECONNREFUSED) && ctx.Err() == nil && time.Now().Before(end) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("cannot reach podman's API: %w", err)
		}
		c := conn.(*net.UnixConn)
		if got := peer(c); got != s.uid {
			_ = c.Close()
			return nil, fmt.Errorf("uid %d listens on the socket of uid %d's podman", got, s.uid)
		}
		return c, nil
	}
}

// peer returns the uid of who listens (unix(7), SO_PEERCRED); InvalidUID if it is not known.
func peer(c *net.UnixConn) uint32 {
	uid := nofollow.InvalidUID
	raw, err := c.SyscallConn()
	if err != nil {
		return uid
	}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			uid = cred.Uid
		}
	})
	return uid
}

// connect returns a context for calls of the bindings, whose connections are checked and bounded. framed says that the
// output of a command comes in frames, as it does without a terminal.
func (s *Session) connect(ctx context.Context, framed bool) (context.Context, error) {
	first, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	_ = first.Close()
	// Its first question has an answer of nothing but headers, of which net/http takes 10 MB.
	conn, err := bindings.NewConnection(ctx, "unix://"+s.path())
	if err != nil {
		return nil, fmt.Errorf("cannot reach podman's API: %w", err)
	}
	client, err := bindings.GetClient(conn)
	if err != nil {
		return nil, err
	}
	client.Client.Transport = &http.Transport{DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := s.dial(ctx)
			if err != nil {
				return nil, err
			}
			return guard(c, framed), nil
		}}
	return conn, nil
}
