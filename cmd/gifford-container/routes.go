package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// routes is a socket of rtnetlink(7) that was opened in a container's network namespace.
type routes struct{ *os.File }

// closeHost makes every address that the host has now unreachable from the container. The member is no administrator
// of that network inside the container, so nothing there can undo it.
func (r routes) closeHost() error {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("cannot list the host's addresses: %w", err)
	}
	for _, a := range hostAddresses(addresses) {
		if err := r.request(unreachable(a)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("cannot close %s: %w", a, err)
		}
	}
	return nil
}

// hostAddresses leaves out the loopback, which is each container's own.
func hostAddresses(all []net.Addr) (list []netip.Addr) {
	for _, a := range all {
		network, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		address, ok := netip.AddrFromSlice(network.IP)
		if address = address.Unmap(); ok && !address.IsLoopback() {
			list = append(list, address)
		}
	}
	return list
}

// rulePriority is before that of the main table, 32766.
const rulePriority = 100

// Attributes of a rule (linux/fib_rules.h), which the unix package lacks.
const (
	fraDestination = 1
	fraPriority    = 6
	frUnreachable  = 7 // FR_ACT_UNREACHABLE
)

// unreachable is the request for a rule that refuses an address (ip-rule(8): "to ADDRESS unreachable"). A rule, not a
// route: for an IPv6 link-local address the kernel passes over a route that belongs to another device.
func unreachable(a netip.Addr) []byte {
	family := byte(unix.AF_INET6)
	if a.Is4() {
		family = unix.AF_INET
	}
	body := []byte{family, byte(a.BitLen()), 0, 0, unix.RT_TABLE_UNSPEC, 0, 0, frUnreachable, 0, 0, 0, 0}
	body = append(body, attribute(fraDestination, a.AsSlice())...)
	body = append(body, attribute(fraPriority, binary.NativeEndian.AppendUint32(nil, rulePriority))...)
	m := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(body)))
	m = binary.NativeEndian.AppendUint16(m, unix.RTM_NEWRULE)
	m = binary.NativeEndian.AppendUint16(m, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	return append(append(m, 0, 0, 0, 0, 0, 0, 0, 0), body...)
}

// attribute is an attribute of rtnetlink. All values here have a multiple of four bytes, so there is no padding.
func attribute(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
	return append(binary.NativeEndian.AppendUint16(b, kind), value...)
}

// request sends a request and returns the kernel's answer.
func (r routes) request(message []byte) error {
	fd := int(r.Fd())
	if err := unix.Sendto(fd, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return err
	}
	return acknowledged(answer[:n])
}

// acknowledged reads an answer of type NLMSG_ERROR: a negative errno, 0 for success.
func acknowledged(answer []byte) error {
	if len(answer) < unix.NLMSG_HDRLEN+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return errors.New("the kernel's answer cannot be read")
	}
	if errno := int32(binary.NativeEndian.Uint32(answer[unix.NLMSG_HDRLEN:])); errno != 0 {
		return unix.Errno(-errno)
	}
	return nil
}

// follow closes the addresses that the host gets later. It returns when the kernel's announcements cannot be read.
func (r routes) follow(closed func(error)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	groups := uint32(1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1))
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return err
	}
	for buffer := make([]byte, 8192); ; {
		// What came between the first reading and the subscription counts too, and what was lost (ENOBUFS).
		if err := r.closeHost(); err != nil {
			closed(err)
		}
		if _, _, err := unix.Recvfrom(fd, buffer, 0); err != nil && !errors.Is(err, unix.ENOBUFS) &&
			!errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
