package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func key(t *testing.T, name string) ident.Key {
	t.Helper()
	k, err := ident.ParseKey(name, "")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// listen makes a listener that accepts and counts the bytes that come.
func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestDial(t *testing.T) {
	dir, err := os.MkdirTemp("", "dial") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket, link, me := filepath.Join(dir, "s"), filepath.Join(dir, "link"), uint32(os.Getuid())
	listen(t, "unix", socket)
	if err := errors.Join(os.Symlink(socket, link), os.Symlink(".", filepath.Join(dir, "dir"))); err != nil {
		t.Fatal(err)
	}
	port := listen(t, "tcp", "127.0.0.1:0").Addr().String()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		ctx      context.Context
		to       Address
		ok       bool
		stranger bool
		link     bool // not followed
		dial     bool // the error says that nobody listens
	}{
		"our own":           {ctx: t.Context(), to: UnixSocket(socket, me), ok: true},
		"a link to our own": {ctx: t.Context(), to: UnixSocket(link, me), stranger: true, link: true},
		"another's":         {ctx: t.Context(), to: UnixSocket(socket, me+1), stranger: true},
		"a link to one":     {ctx: t.Context(), to: UnixSocket(link, me+1), stranger: true, link: true},
		"a linked directory": {ctx: t.Context(), to: UnixSocket(filepath.Join(dir, "dir", "s"), me), stranger: true,
			link: true},
		"no socket":      {ctx: t.Context(), to: UnixSocket(dir, me), dial: true},
		"no directory":   {ctx: t.Context(), to: UnixSocket(filepath.Join(dir, "a", "b", "s"), me), dial: true},
		"nobody":         {ctx: t.Context(), to: UnixSocket(filepath.Join(dir, "none"), me), dial: true},
		"no address":     {ctx: t.Context(), dial: true},
		"remote":         {ctx: t.Context(), to: TCP(port), ok: true},
		"remote, nobody": {ctx: t.Context(), to: TCP("127.0.0.1:1"), dial: true},
		"too late":       {ctx: ended, to: UnixSocket(socket, me), dial: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			conn, err := tt.to.Dial(tt.ctx)
			if (err == nil) != tt.ok || (conn != nil) != tt.ok {
				t.Fatalf("Dial: %v, %v", conn, err)
			}
			if conn != nil {
				_ = conn.Close()
			}
			var stranger *StrangerError
			if errors.As(err, &stranger) != tt.stranger ||
				stranger != nil && (errors.Is(err, unix.ELOOP) != tt.link || !tt.link && (stranger.Got != me ||
					stranger.Want != me+1) || stranger.Socket != tt.to.String()) {
				t.Errorf("stranger: %v", err)
			}
			var op *net.OpError
			if tt.dial && (!errors.As(err, &op) || op.Op != "dial" || op.Addr != nil && op.Addr.String() !=
				tt.to.String()) {
				t.Errorf("a dial that failed is %#v", err)
			}
		})
	}
}

// TestDialSilent dials a server over whose directory a file system is mounted that never answers.
func TestDialSilent(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test, and the namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Skip("this host lets the tests make no mount namespace: ", err)
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("this host has no FUSE: ", err)
	}
	defer unix.Close(fd)
	dir := t.TempDir()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40755,user_id=5001,group_id=5001,allow_other", fd)
	if err := unix.Mount("silent", dir, "fuse", 0, options); err != nil {
		t.Skip("this host lets the tests mount no FUSE: ", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	conn, err := UnixSocket(filepath.Join(dir, "nb.sock"), 5001).Dial(t.Context())
	if !errors.Is(err, unix.EXDEV) || conn != nil {
		t.Errorf("Dial: %v, %v", conn, err)
	}
}

// TestNoSocket asks for the listener of connections that are no UNIX sockets, or closed ones.
func TestNoSocket(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, err := listenerUID(a); err == nil {
		t.Error("a pipe has a listener")
	}
	if _, err := listenerUID(&net.UnixConn{}); err == nil {
		t.Error("no connection has a listener")
	}
	socket := filepath.Join(t.TempDir(), "s")
	l := listen(t, "unix", socket)
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if _, err := listenerUID(conn); err == nil {
		t.Error("a closed connection has a listener")
	}
}

func TestAddressesCompare(t *testing.T) {
	a := UnixSocket("/s", 1)
	for name, b := range map[string]Address{"none": {}, "another account": UnixSocket("/s", 2),
		"another path": UnixSocket("/t", 1), "another network": TCP("/s")} {
		if a == b {
			t.Errorf("%s is the same address", name)
		}
	}
	if a != UnixSocket("/s", 1) || a.String() != "/s" {
		t.Errorf("address %v", a)
	}
}

func TestErrors(t *testing.T) {
	refused := &Error{Code: Refused, Message: "no", Hint: "ask"}
	wrapped := fmt.Errorf("server alice: %w", refused)
	if !Is(wrapped, Refused) || Is(wrapped, NotFound) || Is(nil, Refused) || Is(errors.New("no"), "") {
		t.Error("codes are mixed up")
	}
	if refused.Error() != "no" || refused.NextStep() != "ask" || (&Error{Message: "no"}).Error() != "no" ||
		(Why{Message: "it ended"}).String() != "it ended" {
		t.Error("words are mixed up")
	}
}

func TestFree(t *testing.T) {
	one := []Holder{{Key: key(t, "alice")}}
	for name, tt := range map[string]struct {
		d    Device
		want bool
	}{
		"free":       {Device{Places: 1}, true},
		"taken":      {Device{Places: 1, Holders: one}, false},
		"one left":   {Device{Places: 2, Holders: one}, true},
		"any number": {Device{Holders: one}, true},
		"ill":        {Device{Places: 1, Health: "it fell off the bus"}, false},
	} {
		if got := tt.d.Free(); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	g := GPUs{Devices: []Device{{Name: "a"}, {Name: "b", Holders: one}, {Name: "c", Holders: one}}}
	if held := g.Held(key(t, "alice")); len(held) != 2 || held[0] != "b" || g.Held(key(t, "bob")) != nil {
		t.Errorf("alice holds %v", held)
	}
}
