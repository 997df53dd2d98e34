package hub

import (
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/gifford-lab/gifford-hub/agent/hub/handover"
)

// notifier keeps the service's status line up to date while this process is the main one: an older process must not
// overwrite the newer's.
type notifier struct {
	mu     sync.Mutex // guards status
	status func() string
}

func (n *notifier) start(status func() string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.status = status
}

// stop returns what made the status until now; never nil.
func (n *notifier) stop() func() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	status := n.status
	n.status = nil
	if status == nil {
		return func() string { return "" }
	}
	return status
}

// changed is called when the status may have changed. It does not wait.
func (n *notifier) changed() {
	go func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.status != nil {
			_ = (handover.Notify{}).Status(n.status()) // without a service manager there is nobody to tell
		}
	}()
}

// statusLine is the line that systemctl status shows: how many servers run, and where the hub is reached.
func statusLine(running, starting int, publicURL string, public []net.Listener) string {
	text := fmt.Sprintf("%d servers run", running)
	if running == 1 {
		text = "1 server runs"
	}
	if starting > 0 {
		text += fmt.Sprintf(", %d starting", starting)
	}
	var addresses []string
	for _, l := range public {
		addresses = append(addresses, address(l))
	}
	return text + "; " + publicURL + " on " + strings.Join(addresses, ", ")
}

// address returns a listener's address as people write it.
func address(l net.Listener) string {
	if addr, ok := l.Addr().(*net.TCPAddr); ok && (addr.IP == nil || addr.IP.IsUnspecified()) {
		return fmt.Sprintf(":%d", addr.Port)
	}
	return l.Addr().String()
}
