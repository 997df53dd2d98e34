//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// reach is Python for a cell: what becomes of a connection to an address.
const reach = `
import socket
def reach(host, port):
    try:
        socket.create_connection((host, port), 3).close()
        return "open"
    except OSError as e:
        return "closed"
`

// listens is the beginning of a command that starts a program for each connection to an address.
const listens = "systemd-socket-activate --accept --inetd"

// elsewhere listens on the other end of the host's link, as another machine does.
func elsewhere(t *testing.T, h host) (address string, port int) {
	t.Helper()
	address = h.ip[:strings.LastIndexByte(h.ip, '.')] + ".1"
	l, err := net.Listen("tcp4", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return address, l.Addr().(*net.TCPAddr).Port
}

// onTheHost makes the host listen on port 22222 of its loopback, and gives it more addresses, two of IPv6. It returns
// the link-local one.
func onTheHost(t *testing.T, h host) string {
	t.Helper()
	h.run(t, "sh", "-ec", `ip addr add 192.0.2.77/32 dev lo
		ip -6 addr add 2001:db8:77::7/64 dev host0 nodad
		ip -6 addr add 2001:db8:88::8/128 dev lo nodad
		ip -6 route add default via 2001:db8:77::1 dev host0
		systemd-run --quiet --unit=e2e-loopback --collect `+listens+` -l 127.0.0.1:22222 cat`)
	t.Cleanup(func() {
		_, _ = h.try(noEnd(t), "sh", "-c", `systemctl stop e2e-loopback; ip addr del 192.0.2.77/32 dev lo
			ip addr del 192.0.2.78/32 dev lo; ip -6 route del default; ip -6 addr del 2001:db8:77::7/64 dev host0
			ip -6 addr del 2001:db8:88::8/128 dev lo; ip -6 addr del 2001:db8:88::9/128 dev lo`)
	})
	eventually(t, "the host listens on its loopback", 10*time.Second, func() bool {
		return h.run(t, "ss", "-Hltn", "src", "127.0.0.1:22222") != ""
	})
	return strings.TrimSpace(h.run(t, "sh", "-c", `ip -6 -br addr show dev host0 scope link |
		grep -o 'fe80[0-9a-f:]*' | head -1`))
}

// asks checks in a cell what an address is for the container.
func asks(t *testing.T, k *kernel, want map[string]string) {
	t.Helper()
	k.exec(reach)
	for to, state := range want {
		host, port, err := net.SplitHostPort(to)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.exec(fmt.Sprintf("print(reach(%q, %s))", host, port)); got != state+"\n" {
			t.Errorf("from the container %s is %q, want %s", to, got, state)
		}
	}
}

const callsTheHub = `import os, urllib.request
print(os.environ["JUPYTERHUB_API_URL"], urllib.request.urlopen(os.environ["JUPYTERHUB_API_URL"]).status)`

// testNetwork tries the host's addresses from within a container: its own are those of any process on the host, its
// loopback is closed, and the hub's API is on the container's.
func testNetwork(t *testing.T) {
	h := theHost(t)
	onTheHost(t, h)
	other, port := elsewhere(t, h)
	v := member(t, h, "alice")
	v.stop("alice")
	v.start("alice", "jupyterlab")
	defer v.stop("alice")
	k := v.newKernel("alice")
	asks(t, k, map[string]string{
		h.ip + ":443":                     "open",
		"192.0.2.77:443":                  "open",
		fmt.Sprintf("%s:%d", other, port): "open",
		"127.0.0.1:8081":                  "open", // the hub's API
		"127.0.0.1:22222":                 "closed",
		h.ip + ":22222":                   "closed",
		"10.0.2.2:443":                    "closed", // the gateway
		"10.0.2.2:22222":                  "closed",
		"169.254.1.2:443":                 "closed", // Podman 5's address of the host
		"169.254.1.2:22222":               "closed",
		"[::1]:22222":                     "closed",
	})
	if got := k.exec(callsTheHub); got != "http://127.0.0.1:8081/hub/api 200\n" {
		t.Errorf("the hub's API: %q", got)
	}
	// Nothing of it is a listener of the host's, and whoever calls the hub comes by its socket.
	if out := h.run(t, "ss", "-Hltnp", "sport", "=", ":8081"); strings.Contains(out, "gifford-contain") ||
		strings.Contains(out, "pasta") {
		t.Errorf("a listener of the container's is the host's: %s", out)
	}
}

// testIsolatedNetwork tries the same from a container to which the host is closed, also by addresses that the host gets
// later and by IPv6.
func testIsolatedNetwork(t *testing.T) {
	h := theHost(t)
	local := onTheHost(t, h)
	other, port := elsewhere(t, h)
	withPolicy(t, h, `[profile.isolated]
network = "isolated"
image = "localhost/gifford/jupyterlab:latest"
archive = "/srv/images/jupyterlab.tar"
`)
	v := member(t, h, "alice")
	v.stop("alice")
	v.start("alice", "isolated")
	defer v.stop("alice")
	k := v.newKernel("alice")
	h.run(t, "ip", "addr", "add", "192.0.2.78/32", "dev", "lo")
	h.run(t, "ip", "-6", "addr", "add", "2001:db8:88::9/128", "dev", "lo", "nodad")
	k.exec(reach)
	for _, late := range []string{"192.0.2.78", "2001:db8:88::9"} {
		eventually(t, "the late address "+late+" is closed", 10*time.Second, func() bool {
			return k.exec(fmt.Sprintf("print(reach(%q, 443))", late)) == "closed\n"
		})
	}
	asks(t, k, map[string]string{
		h.ip + ":443":                     "closed",
		"192.0.2.77:443":                  "closed",
		"[2001:db8:77::7]:443":            "closed",
		"[2001:db8:88::8]:443":            "closed",
		"[" + local + "%host0]:443":       "closed",
		"169.254.1.2:443":                 "closed",
		"10.0.2.2:443":                    "closed",
		"127.0.0.1:22222":                 "closed",
		"127.0.0.1:8081":                  "open",
		fmt.Sprintf("%s:%d", other, port): "open",
	})
	if got := k.exec(callsTheHub); got != "http://127.0.0.1:8081/hub/api 200\n" {
		t.Errorf("the hub's API: %q", got)
	}
	t.Run("as root of the container", func(t *testing.T) {
		out, status := h.shell(t, "", "--root", "alice", "--", "python3", "-c", reach+`
import os
os.system("ip rule del to `+h.ip+` 2>&1 || ip rule flush 2>&1")
print(reach("`+h.ip+`", 443))`)
		if status != 0 || !strings.HasSuffix(out, "closed\n") {
			t.Errorf("exit status %d: %s", status, out)
		}
	})
}

// testPortOfTheAPI takes the hub's loopback port as any account can while nobody listens on it: servers go on over the
// socket, no token of theirs reaches the stranger, and the hub says what is wrong.
func testPortOfTheAPI(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "alice")
	v.start("alice", "jupyterlab")
	t.Run("restarts leave it open", func(t *testing.T) {
		const since = "ActiveEnterTimestampMonotonic"
		units := []string{"gifford-hub-api.socket", "gifford-hub-servers.socket", "gifford-hub-control.socket"}
		before := map[string]string{}
		for _, u := range units {
			before[u] = h.property(t, u, since)
		}
		h.run(t, "systemctl", "restart", "gifford-hub.socket")
		eventually(t, "the hub is back", time.Minute, func() bool {
			_, err := h.try(t.Context(), "systemctl", "is-active", "--quiet", "gifford-hub.service")
			return err == nil
		})
		for _, u := range units {
			if got := h.property(t, u, since); got != before[u] || got == "0" {
				t.Errorf("%s was restarted", u)
			}
		}
	})
	t.Run("IPv6 is held", func(t *testing.T) {
		if out := h.run(t, "ss", "-Hltn", "src", "[::1]:8081"); !strings.Contains(out, "[::1]:8081") {
			t.Errorf("nobody listens on [::1]:8081: %s", out)
		}
	})
	h.run(t, "systemctl", "stop", "gifford-hub.service", "gifford-hub-api.socket")
	h.run(t, "sh", "-ec", "systemd-run --quiet --unit=e2e-stranger --uid=bob --collect "+listens+
		` -l 127.0.0.1:8081 sh -c 'read -r request; echo "got $request" >&2'`)
	defer func() {
		_, _ = h.try(noEnd(t), "sh", "-c", "systemctl stop e2e-stranger; systemctl restart gifford-hub")
	}()
	since := time.Now()
	eventually(t, "bob listens", 10*time.Second, func() bool {
		_, _ = h.try(t.Context(), "curl", "-s", "http://127.0.0.1:8081/from-the-test")
		return strings.Contains(h.journal(t, "e2e-stranger", since), "got GET /from-the-test")
	})
	h.run(t, "systemctl", "start", "gifford-hub.service")
	if got := v.newKernel("alice").exec(callsTheHub); got != "http://127.0.0.1:8081/hub/api 200\n" {
		t.Errorf("a server that runs: %q", got)
	}
	bob := member(t, h, "bob")
	bob.stop("bob")
	bob.start("bob", "jupyterlab")
	defer bob.stop("bob")
	if got := bob.newKernel("bob").exec(callsTheHub); got != "http://127.0.0.1:8081/hub/api 200\n" {
		t.Errorf("a server that was started: %q", got)
	}
	if log := h.journal(t, "e2e-stranger", since); strings.Contains(log, "/hub/api") {
		t.Errorf("a server sent a request to the stranger: %s", log)
	}
	if log := h.journal(t, "gifford-hub", since, "EVENT=api-port-missing"); log == "" {
		t.Error("the hub does not say that its port is missing")
	}
	if out, err := h.try(t.Context(), "gifford-hub", "check"); err == nil ||
		!strings.Contains(out, "gifford-hub-api.socket cannot listen on port 8081: systemd-socket-") {
		t.Errorf("gifford-hub check: %v\n%s", err, out)
	}
}
