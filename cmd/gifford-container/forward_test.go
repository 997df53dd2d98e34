package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/hint"
)

// answering serves one text to everybody who has ended their request.
func answering(t *testing.T, network, address, text string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			asked, _ := io.ReadAll(conn)
			_, _ = io.WriteString(conn, text+string(asked))
			_ = conn.Close()
		}
	}()
	return l
}

// ask sends a request through the forwarder and ends its side.
func ask(t *testing.T, f forwarder) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { _ = f.serve(l) }()
	conn, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "question")
	_ = conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

// tableOf is a line of /proc/net/tcp.
func tableOf(t *testing.T, port int, address, state, uid string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tcp")
	text := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		fmt.Sprintf("   0: %s:%04X 00000000:0000 %s 00000000:00000000 00:00000000 00000000  %s        0 4242\n",
			address, port, state, uid)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestForward checks that requests go to the hub's socket, whoever listens on the host's port, and to the port only
// while there is no socket and systemd holds the port.
func TestForward(t *testing.T) {
	dir, err := os.MkdirTemp("", "fw") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	port := answering(t, "tcp4", "127.0.0.1:0", "port: ").Addr().(*net.TCPAddr).Port
	socket := filepath.Join(dir, "api.sock")
	answering(t, "unix", socket, "socket: ")
	for name, tt := range map[string]struct{ socket, address, state, uid, want string }{
		"socket":              {socket, "0100007F", "0A", "0", "socket: question"},
		"port of a stranger":  {socket, "0100007F", "0A", "5001", "socket: question"},
		"before a restart":    {dir + "/none", "0100007F", "0A", "0", "port: question"},
		"taken":               {dir + "/none", "0100007F", "0A", "5001", ""},
		"another address":     {dir + "/none", "00000000", "0A", "0", ""},
		"not listening":       {dir + "/none", "0100007F", "01", "0", ""},
		"socket of nobody":    {deadSocket(t, dir), "0100007F", "0A", "0", ""},
		"a file for a socket": {ordinary(t, dir), "0100007F", "0A", "0", ""},
	} {
		f := forwarder{socket: tt.socket, port: uint(port), table: tableOf(t, port, tt.address, tt.state, tt.uid)}
		if got := ask(t, f); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	f := forwarder{socket: dir + "/none", port: uint(port), table: tableOf(t, port, "0100007F", "0A", "5001")}
	if _, err := f.dial(); err == nil || !strings.Contains(hint.Of(err), "gifford-hub check") {
		t.Errorf("a stranger's port: %v", err)
	}
}

// short is a listener for which something is short as often as left says, before it is closed.
type short struct {
	net.Listener
	left int
}

func (s *short) Accept() (net.Conn, error) {
	if s.left--; s.left < 0 {
		return nil, net.ErrClosed
	}
	return nil, syscall.ENOBUFS
}

// TestShortOfMemory checks that the forwarder goes on when it cannot take a connection for now.
func TestShortOfMemory(t *testing.T) {
	l := &short{left: 3}
	if err := (forwarder{}).serve(l); !errors.Is(err, net.ErrClosed) || l.left >= 0 {
		t.Errorf("it ends with %v, and would have gone on %d times", err, l.left)
	}
}

// deadSocket is a socket on which nobody listens any more.
func deadSocket(t *testing.T, dir string) string {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(dir, "dead"))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	return filepath.Join(dir, "dead")
}

func ordinary(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestRootListens reads the kernel's own table of a listener of this process.
func TestRootListens(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	port := uint(l.Addr().(*net.TCPAddr).Port)
	if got := rootListens(table, port); got != (os.Getuid() == 0) {
		t.Errorf("uid %d listens on %d; of root: %v", os.Getuid(), port, got)
	}
	if rootListens([]byte("x\n\n"+strconv.Itoa(int(port))), port) {
		t.Error("an unknown table counts as root's")
	}
}

// TestHostAddresses checks that the loopback stays and everything else is closed.
func TestHostAddresses(t *testing.T) {
	var all []net.Addr
	for _, text := range []string{"127.0.0.1/8", "::1/128", "192.0.2.7/24", "2001:db8::7/64", "fe80::7/64"} {
		ip, network, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &net.IPNet{IP: ip, Mask: network.Mask})
	}
	want := []string{"192.0.2.7", "2001:db8::7", "fe80::7"}
	var got []string
	for _, a := range hostAddresses(append(all, &net.UnixAddr{})) {
		got = append(got, a.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestUnreachable compares requests with those that "ip rule add to ADDRESS unreachable priority 100" makes.
func TestUnreachable(t *testing.T) {
	for address, size := range map[string]int{"192.0.2.7": 44, "fe80::7": 56} {
		m := unreachable(netip.MustParseAddr(address))
		if len(m) != size || m[0] != byte(size) || m[4] != unix.RTM_NEWRULE || m[16+7] != 7 {
			t.Errorf("%s: % x", address, m)
		}
	}
}

func TestAcknowledged(t *testing.T) {
	ok := append([]byte{36, 0, 0, 0, 2, 0}, make([]byte, 30)...)
	exists := append([]byte{36, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xef, 0xff, 0xff, 0xff}, ok[20:]...)
	if err := acknowledged(ok); err != nil {
		t.Error(err)
	}
	if err := acknowledged(exists); err != unix.EEXIST {
		t.Errorf("an address that is closed already: %v", err)
	}
	for _, bad := range [][]byte{nil, ok[:18], append([]byte{36, 0, 0, 0, 24}, ok[5:]...)} {
		if acknowledged(bad) == nil {
			t.Errorf("% x is no answer", bad)
		}
	}
}
