package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

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
	if err := os.Symlink(socket, link); err != nil {
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
		dial     bool // the error says that nobody listens
	}{
		"our own":           {ctx: t.Context(), to: UnixSocket(socket, me), ok: true},
		"a link to our own": {ctx: t.Context(), to: UnixSocket(link, me), ok: true},
		"another's":         {ctx: t.Context(), to: UnixSocket(socket, me+1), stranger: true},
		"a link to one":     {ctx: t.Context(), to: UnixSocket(link, me+1), stranger: true},
		"nobody":            {ctx: t.Context(), to: UnixSocket(filepath.Join(dir, "none"), me), dial: true},
		"no address":        {ctx: t.Context(), dial: true},
		"remote":            {ctx: t.Context(), to: TCP(port), ok: true},
		"remote, nobody":    {ctx: t.Context(), to: TCP("127.0.0.1:1"), dial: true},
		"too late":          {ctx: ended, to: UnixSocket(socket, me), dial: true},
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
				stranger != nil && (stranger.Got != me || stranger.Want != me+1 || stranger.Socket != tt.to.String()) {
				t.Errorf("stranger: %v", err)
			}
			var op *net.OpError
			if tt.dial && (!errors.As(err, &op) || op.Op != "dial") {
				t.Errorf("a dial that failed is %#v", err)
			}
		})
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
