package services

import (
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hint"
)

// Limits says where a service that was added through the API may not be. Requests to a service come from the hub's own
// account, so whoever adds one could otherwise reach what is meant for that account alone, past every check of the hub:
// the listener for servers, the image keeper, a member's server, a cloud's metadata. Services of the settings are the
// host's administrator's word, and have no limits.
type Limits struct {
	Ports []uint16 // TCP ports on which the hub itself listens
}

// ownSockets are the directories and beginnings of names below which UNIX sockets are nobody's service.
var ownSockets = [...]string{ // read only
	"/run/gifford-",               // ours: the control socket, the image keeper's, those of servers
	"/run/jupyter/",               // a server's socket by the name that it has in its container
	"/run/systemd/", "/run/dbus/", // the host's manager and bus take the account's word
	"/run/user/", "/run/podman/", "/run/docker", "/run/containerd/",
	"/proc/", "/sys/", "/dev/", // links to any of these
}

// metadata are the addresses, beside the link-local ones, at which clouds give a machine its credentials.
var metadata = [...]netip.Addr{ // read only
	netip.MustParseAddr("fd00:ec2::254"),   // Amazon
	netip.MustParseAddr("fd20:ce::254"),    // Google
	netip.MustParseAddr("100.100.100.200"), // Alibaba
	netip.MustParseAddr("168.63.129.16"),   // Azure
	netip.MustParseAddr("192.0.0.192"),     // Oracle
}

// nat64 is the prefix behind which IPv6 has all of IPv4 (RFC 6052, 2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96") // read only

// CheckURL refuses a service's URL, as check accepts it, that says by itself that it is out of the limits. A name is
// not looked up: what it leads to is checked when it is dialled.
func (l Limits) CheckURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return err
	}
	if u.Scheme == "unix" {
		return CheckSocket(u.Path)
	}
	port := u.Port()
	if port == "" && u.Scheme == "https" {
		port = "443"
	} else if port == "" {
		port = "80"
	}
	name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761, 6.3
		name = "127.0.0.1"
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("port %q is none", port)
	}
	return l.CheckAddr(netip.AddrPortFrom(addr, uint16(n)))
}

// CheckAddr refuses an address before anything connects to it.
func (l Limits) CheckAddr(to netip.AddrPort) error {
	addr := to.Addr().WithZone("").Unmap()
	if nat64.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	switch {
	case addr.IsLinkLocalUnicast(), addr.IsMulticast(), slices.Contains(metadata[:], addr):
		return refused("%s is an address of the network itself, such as a cloud's metadata", addr)
	case (addr.IsLoopback() || addr.IsUnspecified()) && slices.Contains(l.Ports, to.Port()):
		return refused("the hub itself listens on port %d", to.Port())
	}
	return nil
}

// CheckConnection refuses a connection, before a byte is sent, that has come out at the hub itself: a host that
// connects to one of its own addresses has that address at both ends.
func (l Limits) CheckConnection(local, remote netip.AddrPort) error {
	if local.Addr().Unmap() == remote.Addr().Unmap() && slices.Contains(l.Ports, remote.Port()) {
		return refused("the hub itself listens on port %d", remote.Port())
	}
	return nil
}

// CheckSocket refuses the absolute path of a UNIX socket.
func CheckSocket(path string) error {
	path = filepath.Clean(path)
	if rest, ok := strings.CutPrefix(path, "/var/run/"); ok { // a link to /run on every supported host
		path = "/run/" + rest
	}
	for _, prefix := range ownSockets {
		if strings.HasPrefix(path, prefix) {
			return refused("the socket %q is not a service's", path)
		}
	}
	return nil
}

func refused(format string, args ...any) error {
	return hint.New("a service that is added through the API cannot be there: "+fmt.Sprintf(format, args...),
		"an administrator of the host can declare it in hub.toml: [services.NAME]")
}
