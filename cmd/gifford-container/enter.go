package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

const (
	// nsenter is the program of util-linux. A Go program has many threads, and such a one cannot join a user namespace
	// (setns(2)).
	nsenter = "/usr/bin/nsenter"

	// modeListen is the mode in which this program runs in podman's user namespace, with the descriptors below.
	modeListen = "listen"

	userFD, netFD, replyFD = 3, 4, 5
)

// inside is what was opened in a container's network namespace. It stays there, whoever holds it.
type inside struct {
	listener  *os.File // on the container's loopback
	routes    routes
	connected bool // the container has a network already
}

func (in inside) close() {
	_ = in.listener.Close()
	_ = in.routes.Close()
}

// enter opens the two in the network namespace of a container's process. That takes the rights of podman's own user
// namespace, in which the member is root: a child has them for a moment, and passes back what it has opened.
func enter(ctx context.Context, pid int, port uint) (inside, error) {
	user, err := podmanNamespace(pid)
	if err != nil {
		return inside{}, err
	}
	defer user.Close()
	network, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return inside{}, err
	}
	defer network.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return inside{}, fmt.Errorf("cannot make a pair of sockets: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "pair"), os.NewFile(uintptr(pair[1]), "pair")
	defer ours.Close()
	err = runListen(ctx, port, user, network, theirs)
	_ = theirs.Close()
	if err != nil {
		return inside{}, err
	}
	return receive(pair[0])
}

// runListen runs the child. The files are its descriptors from 3 on.
func runListen(ctx context.Context, port uint, files ...*os.File) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, nsenter, "--user=/proc/self/fd/"+strconv.Itoa(userFD), "--preserve-credentials",
		"--", self, modeListen, "--port", strconv.FormatUint(uint64(port), 10))
	cmd.ExtraFiles, cmd.Env = files, []string{}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// podmanNamespace opens the user namespace above that of a container, in which podman runs.
func podmanNamespace(pid int) (*os.File, error) {
	own, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
	if err != nil {
		return nil, err
	}
	defer own.Close()
	fd, err := unix.IoctlRetInt(int(own.Fd()), unix.NS_GET_PARENT)
	if err != nil {
		return nil, fmt.Errorf("cannot find podman's user namespace: %w", err)
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "user namespace"), nil
}

// receive reads what the child has sent.
func receive(socket int) (inside, error) {
	var word [1]byte
	control := make([]byte, unix.CmsgSpace(2*4))
	n, size, _, _, err := unix.Recvmsg(socket, word[:], control, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n != 1 {
		return inside{}, fmt.Errorf("nothing was opened in the container: %w", errors.Join(err, io.ErrUnexpectedEOF))
	}
	messages, err := unix.ParseSocketControlMessage(control[:size])
	if err != nil || len(messages) != 1 {
		return inside{}, errors.New("nothing was opened in the container")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 2 {
		return inside{}, errors.New("not all was opened in the container")
	}
	return inside{listener: os.NewFile(uintptr(fds[0]), "listener"), connected: word[0] == wordConnected,
		routes: routes{os.NewFile(uintptr(fds[1]), "routes")}}, nil
}

// What the child says with the descriptors.
const (
	wordAlone     = 'a' // the container has nothing but its loopback
	wordConnected = 'c'
)

// listen is the child: it joins the network namespace and sends back what it has opened there.
func listen(args []string) error {
	flags := flag.NewFlagSet(modeListen, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	port := flags.Uint("port", 0, "")
	if err := flags.Parse(args); err != nil || *port == 0 || flags.NArg() != 0 {
		return failf(contract.ExitUsage, "cannot read the arguments of listen")
	}
	runtime.LockOSThread() // never unlocked: no other goroutine may run on a thread of that namespace
	if err := unix.Setns(netFD, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("cannot join the container's network: %w", err)
	}
	listener, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.FormatUint(uint64(*port), 10)))
	if err != nil {
		return err
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	routes, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("cannot open the container's routes: %w", err)
	}
	word, err := connected()
	if err != nil {
		return err
	}
	return unix.Sendmsg(replyFD, []byte{word}, unix.UnixRights(int(file.Fd()), routes), nil, 0)
}

// connected reports whether this thread's network namespace has more than its loopback.
func connected() (byte, error) {
	all, err := net.Interfaces()
	if err != nil {
		return 0, fmt.Errorf("cannot list the container's network devices: %w", err)
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 {
			return wordConnected, nil
		}
	}
	return wordAlone, nil
}
