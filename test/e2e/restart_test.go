//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// countingCell prints a number every tenth of a second and keeps the last one in a file.
const countingCell = `
import time
for n in range(100000):
    print(n, flush=True)
    open("count", "w").write(str(n))
    time.sleep(0.1)
`

// count reads how far alice's counting cell has come.
func count(t *testing.T, h host) int {
	t.Helper()
	out, _ := h.try(t.Context(), "cat", "/cluster/alice/count")
	n, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		return -1
	}
	return n
}

// counting starts the cell on alice's server and waits until it prints.
func counting(t *testing.T, h host, v *visitor) *kernel {
	t.Helper()
	v.start("alice", "jupyterlab")
	k := v.newKernel("alice")
	k.send("counting", countingCell)
	if _, _, err := k.next("counting", 30*time.Second); err != nil {
		t.Fatalf("no output of the cell: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
		defer cancel()
		if _, err := v.tryJupyter(ctx, "alice", "DELETE", "/api/kernels/"+k.id, ""); err != nil {
			t.Errorf("cannot end the counting kernel: %v", err)
		}
	})
	return k
}

// testHubEndsUnderARunningCell restarts and kills the hub while a cell runs. The cell
// goes on, its output can be read again, the route is there at the first request, and no
// connection is refused meanwhile.
func testHubEndsUnderARunningCell(t *testing.T) {
	tests := map[string][]string{
		"restart": {"systemctl", "restart", "gifford-hub.service"},
		"kill -9": {"systemctl", "kill", "-s", "KILL", "--kill-whom=main", "gifford-hub.service"},
	}
	for name, command := range tests {
		t.Run(name, func(t *testing.T) {
			h := theHost(t)
			v := member(t, h, "alice")
			k := counting(t, h, v)
			pid, unitPID := h.property(t, "gifford-hub.service", "MainPID"),
				h.property(t, "jupyter-alice.service", "MainPID")
			stopKnocking := knock(t, h)
			h.run(t, command...)
			h.run(t, "tail", "--pid="+pid, "-f", "/dev/null") // until that process is gone
			v.http.CloseIdleConnections()                     // they ended with it
			// The socket is systemd's: this request waits for the new hub and is its first.
			if p := v.jupyter("alice", "GET", "/api/kernels/"+k.id, ""); p.status != http.StatusOK ||
				!strings.Contains(p.body, k.id) {
				t.Errorf("the first request after the end of the hub: %s", p)
			}
			if refused, answered := stopKnocking(); refused > 0 || answered == 0 {
				t.Errorf("%d connections were refused, %d accepted", refused, answered)
			}
			if now := h.property(t, "gifford-hub.service", "MainPID"); now == pid || now == "0" {
				t.Errorf("the hub's process is %s, as before", now)
			}
			if now := h.property(t, "jupyter-alice.service", "MainPID"); now != unitPID {
				t.Errorf("alice's server was restarted: main process %s, was %s", now, unitPID)
			}
			before := count(t, h)
			k.connect()
			text, _, err := k.next("counting", 30*time.Second)
			if err != nil || text == "" {
				t.Errorf("no output after the hub's end: %q, %v", text, err)
			}
			eventually(t, "the cell counts on", 10*time.Second, func() bool { return count(t, h) > before })
		})
	}
}

// testReloadKeepsWebSockets changes to another binary by hand and by the package manager,
// while a cell's output streams: the WebSocket stays open and new requests are served by
// the new process.
func testReloadKeepsWebSockets(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "alice")
	k := counting(t, h, v)
	pid := h.property(t, "gifford-hub.service", "MainPID")
	rounds := []string{
		// What dpkg does: a new file takes the old one's name.
		"cp /usr/bin/gifford-hub /usr/bin/gifford-hub.new && mv /usr/bin/gifford-hub.new /usr/bin/gifford-hub && " +
			"systemctl reload gifford-hub.service",
		"apt-get install -y -qq --reinstall gifford-hub",
	}
	for round, change := range rounds {
		stopKnocking := knock(t, h)
		h.run(t, "sh", "-ec", change)
		now := h.property(t, "gifford-hub.service", "MainPID")
		if now == pid || now == "0" {
			t.Fatalf("reload %d: the main process is %s, was %s", round, now, pid)
		}
		pid = now
		if p := v.get("/hub/home"); p.status != http.StatusOK || p.url.Path != "/hub/home" {
			t.Errorf("reload %d: home: %s", round, p)
		}
		if refused, answered := stopKnocking(); refused > 0 || answered == 0 {
			t.Errorf("reload %d: %d connections were refused, %d accepted", round, refused, answered)
		}
		first, _, err := k.next("counting", 10*time.Second)
		if err != nil {
			t.Fatalf("reload %d: the WebSocket ended: %v", round, err)
		}
		for range 10 {
			if _, _, err := k.next("counting", 10*time.Second); err != nil {
				t.Fatalf("reload %d: the WebSocket ended after %q: %v", round, first, err)
			}
		}
	}
	if state := h.property(t, "gifford-hub.service", "ActiveState"); state != "active" {
		t.Errorf("the hub is %s", state)
	}
	_ = k.conn.CloseNow()
	eventually(t, "the old processes end once their WebSockets have", time.Minute, func() bool {
		return strings.TrimSpace(h.run(t, "sh", "-c", "pgrep -u gifford-hub -x gifford-hub | wc -l")) == "1"
	})
}

// testReloadOfABrokenHub asks for a reload with settings that are wrong: it fails with
// the reason and the old process serves on.
func testReloadOfABrokenHub(t *testing.T) {
	h := theHost(t)
	const path = "/etc/gifford-hub/hub.d/99-broken.toml"
	pid := h.property(t, "gifford-hub.service", "MainPID")
	since := time.Now()
	h.run(t, "install", "-d", "-m", "0755", "/etc/gifford-hub/hub.d")
	h.put(t, path, "0644", "[http]\nbase_urll = \"/\"\n")
	defer h.run(t, "rm", "-f", path)
	h.fails(t, "systemctl", "reload", "gifford-hub.service")
	if now := h.property(t, "gifford-hub.service", "MainPID"); now != pid {
		t.Errorf("the main process is %s, was %s", now, pid)
	}
	if state := h.property(t, "gifford-hub.service", "ActiveState"); state != "active" {
		t.Errorf("the hub is %s", state)
	}
	if log := h.journal(t, "gifford-hub", since); !strings.Contains(log, "99-broken.toml:2") ||
		!strings.Contains(log, "base_urll") {
		t.Errorf("the journal does not name the line:\n%s", log)
	}
	if p := newVisitor(t, h).get("/hub/login"); p.status != http.StatusOK {
		t.Errorf("the old hub does not serve on: %s", p)
	}
}

// knock opens connections and asks for the health page all the time until it is told to
// stop by the function that it returns, which counts the refused or broken and the answered ones.
func knock(t *testing.T, h host) func() (refused, answered int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	tr := transport(t)
	tr.DisableKeepAlives = true
	client := &http.Client{Transport: tr, Timeout: 30 * time.Second}
	var wg sync.WaitGroup
	var refused, answered int
	wg.Go(func() {
		for ctx.Err() == nil {
			resp, err := client.Get(fmt.Sprintf("https://%s/hub/health", h.ip))
			if err != nil {
				// A connection that the killed process had accepted may break; a refused one must not be.
				if strings.Contains(err.Error(), "refused") {
					refused++
				}
				continue
			}
			_ = resp.Body.Close()
			answered++
		}
	})
	return func() (int, int) {
		cancel()
		wg.Wait()
		return refused, answered
	}
}
