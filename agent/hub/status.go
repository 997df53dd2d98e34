package hub

import (
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/gifford-lab/gifford-hub/agent/hub/handover"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// notifier keeps the service's status line up to date while this process is the main
// one: an older process must not write over the newer's.
type notifier struct {
	mu     sync.Mutex // guards status
	status func() string
}

func (n *notifier) start(status func() string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.status = status
}

func (n *notifier) stop() { n.start(nil) }

// changed is called when the status may be another. It must not wait for whoever calls.
func (n *notifier) changed() {
	go func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.status != nil {
			_ = (handover.Notify{}).Status(n.status()) // without a service manager there is nobody to tell
		}
	}()
}

// status is the line that systemctl status shows: how many servers run, and where the hub
// is reached.
func (h *instance) status() string {
	running := h.servers.Count(servers.Ready, servers.Stopping)
	pending := h.servers.Count(servers.Queued, servers.Starting, servers.Waiting)
	text := fmt.Sprintf("%d servers run", running)
	if running == 1 {
		text = "1 server runs"
	}
	if pending > 0 {
		text += fmt.Sprintf(", %d starting", pending)
	}
	var addresses []string
	for _, l := range h.listeners["public"] {
		addresses = append(addresses, address(l))
	}
	return text + "; " + h.cfg.HTTP.PublicURL + " on " + strings.Join(addresses, ", ")
}

// address returns a listener's address as people write it.
func address(l net.Listener) string {
	if addr, ok := l.Addr().(*net.TCPAddr); ok && (addr.IP == nil || addr.IP.IsUnspecified()) {
		return fmt.Sprintf(":%d", addr.Port)
	}
	return l.Addr().String()
}
