package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

const (
	// modeForward is the mode in which this program goes on beside the container, with the descriptors below.
	modeForward = "forward"

	listenerFD, routesFD = 3, 4

	// maxForwarded bounds the connections to the hub's API that a container has open.
	maxForwarded = 128

	// acceptAgain is the time to wait after a connection could not be taken.
	acceptAgain = 100 * time.Millisecond

	// lingerTime is for the client to end its side after the hub has.
	lingerTime = 5 * time.Second
)

// startForwarder leaves the forwarder behind: a plain process of the member's on the host, in the unit's control group.
func startForwarder(in inside, a networkArgs) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{modeForward, "--port", strconv.FormatUint(uint64(a.port), 10)}
	if a.isolated {
		args = append(args, "--isolated")
	}
	cmd := exec.Command(self, args...)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{in.listener, in.routes.File}
	cmd.Env, cmd.Dir = []string{"GOMAXPROCS=2"}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}

// forward is the forwarder. It ends with the unit.
func forward(args []string) error {
	flags := flag.NewFlagSet(modeForward, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	port := flags.Uint("port", 0, "")
	isolated := flags.Bool("isolated", false, "")
	if err := flags.Parse(args); err != nil || *port == 0 || *port > 65535 || flags.NArg() != 0 {
		return failf(contract.ExitUsage, "cannot read the arguments of forward")
	}
	listener, err := net.FileListener(os.NewFile(listenerFD, "listener"))
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	if *isolated {
		r := routes{os.NewFile(routesFD, "routes")}
		go func() { failed <- r.follow(func(err error) { fmt.Fprintln(os.Stderr, "isolated network:", err) }) }()
	}
	go func() {
		failed <- forwarder{socket: contract.HubSocket, port: *port, table: "/proc/net/tcp"}.serve(listener)
	}()
	return <-failed
}

// forwarder passes connections on to the hub.
type forwarder struct {
	socket string // of the hub
	port   uint   // of the hub's API on the host's loopback
	table  string // the kernel's table of TCP sockets (proc(5), /proc/net/tcp)
}

func (f forwarder) serve(l net.Listener) error {
	open := make(chan struct{}, maxForwarded)
	for {
		open <- struct{}{}
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return err
		} else if err != nil {
			// Nobody starts the forwarder again, and what is short may come back: memory, descriptors.
			fmt.Fprintln(os.Stderr, "the hub's API cannot be reached from the container for now:", err)
			<-open
			time.Sleep(acceptAgain)
			continue
		}
		go func() {
			defer func() { <-open }()
			if err := f.pass(conn.(*net.TCPConn)); err != nil {
				fmt.Fprintln(os.Stderr, "the hub's API cannot be reached:", hint.Text(err))
			}
		}()
	}
}

// stream is a connection whose one direction can end before the other.
type stream interface {
	net.Conn
	CloseWrite() error
}

// pass copies both directions of a connection, until the hub has ended its own.
func (f forwarder) pass(client stream) error {
	defer client.Close()
	hub, err := f.dial()
	if err != nil {
		return err
	}
	defer hub.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(hub, client)
		_ = hub.CloseWrite()
	}()
	_, _ = io.Copy(client, hub)
	// A client that keeps connections for later need not notice; its last answer must reach it first.
	_ = errors.Join(client.CloseWrite(), client.SetReadDeadline(time.Now().Add(lingerTime)))
	<-done
	return nil
}

// dial connects to the hub's socket, in a directory in which only root can make one. Between an upgrade and the hub's
// next restart there is none yet; the loopback port must then be root's, as systemd's are.
func (f forwarder) dial() (stream, error) {
	conn, err := net.Dial("unix", f.socket)
	if err == nil {
		return conn.(*net.UnixConn), nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	table, err := os.ReadFile(f.table)
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.FormatUint(uint64(f.port), 10))
	if !rootListens(table, f.port) {
		return nil, hint.New("there is no "+f.socket+", and what listens on the host's "+address+" is not systemd's",
			"gifford-hub check; then systemctl restart gifford-hub")
	}
	if conn, err = net.Dial("tcp4", address); err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// rootListens reports whether a socket of root's listens on exactly that port of 127.0.0.1. Connections prefer it to
// one that listens on all addresses, and the kernel lets no other user listen beside it.
func rootListens(table []byte, port uint) bool {
	// The kernel prints the address as a number of the machine's own byte order.
	want := fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32([]byte{127, 0, 0, 1}), port)
	for line := range bytes.Lines(table) {
		// sl local_address rem_address st tx:rx tr:when retrnsmt uid …; 0A is TCP_LISTEN
		words := strings.Fields(string(line))
		if len(words) > 7 && words[1] == want && words[3] == "0A" {
			return words[7] == "0"
		}
	}
	return false
}
