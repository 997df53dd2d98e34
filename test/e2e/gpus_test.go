//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// What test/gpus puts into a host: the devices, and the nodes that a container gets with
// one, as "ls -l" shows their numbers.
const (
	gpu0     = "lab.example/gpu=0"
	gpu1     = "lab.example/gpu=1"
	card     = "lab.example/card=a"
	spare    = "lab.example/spare=0"
	gpusWork = "0 50 400 81559\n1 50 400 81559\n2 0 4 40960\n" // nvidia-smi: the spare one does nothing
)

var nodesOf = map[string][]string{
	gpu0: {"nvidia0 1,5", "nvidiactl 1,3"},
	gpu1: {"nvidia1 1,7", "nvidiactl 1,3"},
	card: {"lab/card0 1,9"},
}

// fixture runs test/gpus/gpus.
func (h host) fixture(t *testing.T, input string, verb string) {
	t.Helper()
	cmd := exec.CommandContext(noEnd(t), filepath.Join(filepath.Dir(h.lab), "../gpus/gpus"), verb, h.name)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("test/gpus/gpus %s: %v\n%s", verb, err, out)
	}
}

// withGPUs returns the host its devices until the test ends, and checks that all is as
// before then.
func withGPUs(t *testing.T, h host) {
	t.Helper()
	h.fixture(t, "", "up")
	t.Cleanup(func() {
		for _, user := range []string{"alice", "bob", "dora", "erin", "gail"} {
			_, _ = h.try(noEnd(t), "gifford-hub", "servers", "stop", user)
		}
		h.fixture(t, "", "down")
		if out, err := h.try(noEnd(t), "gifford-hub", "gpus", "--json"); err != nil ||
			strings.Contains(out, "lab.example") {
			t.Errorf("after the devices were taken away: %v\n%s", err, out)
		}
		if out, err := h.try(noEnd(t), "sh", "-c", "systemctl show -p Environment 'jupyter-*' | grep -o "+
			"'GIFFORD_DEVICES=lab[^ ]*'"); err == nil {
			t.Errorf("units still hold devices: %s", out)
		}
	})
	eventually(t, "the devices are measured", 30*time.Second, func() bool {
		out, err := h.try(t.Context(), "gifford-hub", "gpus")
		return err == nil && strings.Contains(out, "Lab H100")
	})
}

// gpus is what "gifford-hub gpus" reports.
type gpus struct {
	Devices []struct {
		Name    string
		Holders []struct{ User string }
	}
}

// gpus asks once what the launcher knows by now: the hub remembers an answer for a while.
func (h host) gpus(t *testing.T) gpus {
	t.Helper()
	var g gpus
	if err := json.Unmarshal([]byte(h.run(t, "gifford-hub", "gpus", "--json")), &g); err != nil {
		t.Fatalf("gifford-hub gpus --json: %v", err)
	}
	return g
}

// holders returns the users who hold each device, by its name.
func (g gpus) holders() map[string]string {
	all := map[string]string{}
	for _, d := range g.Devices {
		var users []string
		for _, h := range d.Holders {
			users = append(users, h.User)
		}
		slices.Sort(users)
		all[d.Name] = strings.Join(users, " ")
	}
	return all
}

// lease returns the devices that the unit of a user's server holds, as it says itself.
func lease(t *testing.T, h host, user string) string {
	t.Helper()
	for field := range strings.FieldsSeq(h.property(t, "jupyter-"+user+".service", "Environment")) {
		if names, ok := strings.CutPrefix(field, "GIFFORD_DEVICES="); ok {
			return names
		}
	}
	return ""
}

// devicesInside lists the device nodes in the container of a user's server, with their
// numbers, as the member sees them; those that they cannot open are marked.
func devicesInside(t *testing.T, h host, user string) []string {
	t.Helper()
	out := h.must(t, "", user, "--", "sh", "-ec",
		// A directory's entry of what is mounted says "file", so find's own -type c sees nothing.
		`cd /dev; find . ! -path './pts/*' | sed 's|^./||' | sort | while read -r n; do
			[ -c "$n" ] || continue
			open=; (exec 3<>"$n") 2>/dev/null || open=' closed'
			printf '%s %d,%d%s\n' "$n" "0x$(stat -c %t "$n")" "0x$(stat -c %T "$n")" "$open"; done`)
	return strings.Split(strings.TrimSpace(out), "\n")
}

// extra returns the nodes of a that b lacks.
func extra(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(n string) bool { return slices.Contains(b, n) })
}

// ask asks for a server and does not wait for it.
func (v *visitor) ask(user, profile string) page {
	v.t.Helper()
	p := v.api("POST", "/users/"+user+"/server", fmt.Sprintf(`{"profile":%q}`, profile))
	if p.status != http.StatusCreated && p.status != http.StatusAccepted {
		v.t.Fatalf("%s cannot ask for a server: %s", user, p)
	}
	return p
}

// waits waits until a user's server is at a position of the queue, as its page says.
func (v *visitor) waits(user string, place int) page {
	v.t.Helper()
	var p page
	eventually(v.t, fmt.Sprintf("%s waits at place %d", user, place), 20*time.Second, func() bool {
		p = v.get("/hub/spawn-pending/" + user)
		return placeOnPage(p) == place
	})
	return p
}

var placeWords = regexp.MustCompile(`(\d+)(?:st|nd|rd|th) of \d+ in the queue`)

// placeOnPage reads the position in the queue from a page, 0 when it shows none.
func placeOnPage(p page) int {
	m := placeWords.FindStringSubmatch(p.body)
	if m == nil {
		return 0
	}
	n := 0
	_, _ = fmt.Sscan(m[1], &n)
	return n
}

// becomesReady waits for a server that was asked for.
func (v *visitor) becomesReady(user string) time.Duration {
	v.t.Helper()
	return eventually(v.t, user+"'s server is ready", time.Minute, func() bool {
		ready, failed := v.server(user)
		if failed != "" {
			v.t.Fatalf("%s's server failed: %s\n%s", user, failed,
				v.host.journal(v.t, "jupyter-"+user, time.Now().Add(-time.Minute)))
		}
		return ready
	})
}

// pending reports what the API calls a user's server while it waits.
func (v *visitor) pending(user string) string {
	v.t.Helper()
	var model struct {
		Pending *string
	}
	p := v.api("GET", "/users/"+user, "")
	if err := json.Unmarshal([]byte(p.body), &model); err != nil || model.Pending == nil {
		return ""
	}
	return *model.Pending
}
