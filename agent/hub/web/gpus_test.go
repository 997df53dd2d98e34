package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/gpus"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// fakeLauncher tells of devices, or fails.
type fakeLauncher struct {
	known backend.GPUs
	fails error
	asked int
	clock time.Time
}

func (f *fakeLauncher) GPUs(context.Context) (backend.GPUs, error) {
	f.asked++
	return f.known, f.fails
}

// later is a clock that goes on by a minute at each look, so that no answer stays fresh.
func (f *fakeLauncher) later() time.Time {
	f.clock = f.clock.Add(time.Minute)
	return f.clock
}

// fourGPUs has a device of each sharing, a broken one, processes left, and texts that
// would harm a page which believed them.
func fourGPUs() backend.GPUs {
	load := func(busy float64, bytes uint64) backend.Load {
		return backend.Load{Known: true, Busy: busy, Memory: bytes}
	}
	held := func(name, profile string, ago time.Duration) backend.Holder {
		return backend.Holder{Key: key(name), Profile: profile, Since: now.Add(-ago)}
	}
	const h100 = "NVIDIA H100 80GB HBM3"
	return backend.GPUs{
		Devices: []backend.Device{
			{Name: "nvidia.com/gpu=0", Model: h100, Memory: 80e9, Sharing: backend.Exclusive, Places: 1,
				Holders: []backend.Holder{held("alice", "gpu", 3*time.Hour)},
				Now:     load(.97, 60e9), Hour: load(.4, 20e9), Busiest: load(1, 79e9),
				Profiles: []string{"gpu", "jupyterlab"}},
			{Name: "nvidia.com/gpu=1", Model: h100, Memory: 80e9, Sharing: backend.Shared, Places: 4,
				Holders: []backend.Holder{held("bob", "gpu", time.Minute), held("alice:x", "gone", 49*time.Hour)},
				Now:     load(0, 1e9), Profiles: []string{"gpu"},
				Strangers: []backend.Process{{PID: 4711, UID: 5001, Command: hostile,
					Unit: "user@5001.service/" + hostile, Memory: 2e9}, {PID: 4712, UID: 9}}},
			{Name: "nvidia.com/gpu=2", Model: hostile, Health: hostile + " fell off the bus",
				Sharing: backend.Exclusive, Places: 1, Now: load(0, 0)},
			{Name: "nvidia.com/gpu=3", Sharing: backend.Open},
		},
		Broken:    []backend.BrokenSpec{{File: "/etc/cdi/" + hostile, Error: "line 3: " + hostile}},
		Measured:  now.Add(-2 * time.Minute),
		ToolError: "rocm-smi: " + hostile,
	}
}

// withGPUs returns a hub's settings what knows of the launcher's devices.
func withGPUs(t testing.TB, f *fakeLauncher) func(*setup) {
	t.Helper()
	desk, err := gpus.New(gpus.Config{Backend: f, Log: slog.New(slog.DiscardHandler), Now: f.later,
		UserName: func(_ context.Context, uid uint32) (string, error) {
			if uid == 5001 {
				return "<i>bob</i>", nil
			}
			return "", errors.New("no such account")
		}})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *setup) { c.GPUs, c.NamedServers = desk, 2 }
}

// rowsOf returns the texts of the rows of the table that is in a section.
func rowsOf(p shown, section string) []string {
	var rows []string
	for _, s := range p.elements("section") {
		if attr(s, "aria-labelledby") != section {
			continue
		}
		for n := range s.Descendants() {
			if n.Data == "tr" {
				rows = append(rows, plain(textOf(n)))
			}
		}
	}
	return rows
}

// strange is what the desk leaves of hostile: its control characters are gone, not what
// follows them.
const strange = "<script>alert(1)</script> & \"quoted\" gnp.exe"

// TestGPUsPage checks what stands in each row, and that no text of others is HTML.
func TestGPUsPage(t *testing.T) {
	h := newHub(t, withGPUs(t, &fakeLauncher{known: fourGPUs()}))
	p := show(t, h.do("GET", "/hub/admin/gpus", "dora"))
	if p.status != http.StatusOK || strings.Contains(p.text, "<script>") || strings.Contains(p.text, "<i>") ||
		strings.ContainsAny(p.text, "\x1b\u202e") {
		t.Errorf("%d\n%s", p.status, p.text)
	}
	want := []string{
		"DeviceLent toHeld byNowLast hour",
		"nvidia.com/gpu=0NVIDIA H100 80GB HBM380.0 GB one serverby JupyterLab with a GPU, JupyterLab " +
			"aliceJupyterLab with a GPU, for 3 hours 97 % 97 %75 % 60.0 GB on average40 % 40 %25 % 20.0 GBat " +
			"most100 % 100 %99 % 79.0 GB",
		"nvidia.com/gpu=1NVIDIA H100 80GB HBM380.0 GB 2 of 4 places takenby JupyterLab with a GPU bobJupyterLab " +
			"with a GPU, for 1 minutealice:xgone, for 2 days 0 % 0 %1 % 1.0 GB –",
		"nvidia.com/gpu=2" + strange + "NOT LENT " + strange + " fell off the bus one server – 0 % 0 %0 bytes –",
		"nvidia.com/gpu=3 open to all free – –",
	}
	if diff := cmp.Diff(want, rowsOf(p, "gpus")); diff != "" {
		t.Errorf("devices, -want +got:\n%s", diff)
	}
	want = []string{
		"ProcessDeviceUserMemoryWhat to do",
		"4711 " + strange + "in user@5001.service/" + strange +
			" nvidia.com/gpu=1 <i>bob</i> 2.0 GB ps -fp 4711sudo kill 4711",
		"4712 nvidia.com/gpu=1 uid 9 – ps -fp 4712sudo kill 4712",
	}
	if diff := cmp.Diff(want, rowsOf(p, "strangers")); diff != "" {
		t.Errorf("processes, -want +got:\n%s", diff)
	}
	text := textOf(p.root)
	for _, want := range []string{"Measured 2 minutes ago", "use are not all known: rocm-smi: " + strange,
		"/etc/cdi/" + strange, "line 3: " + strange} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, m := range p.elements("meter") {
		if attr(m, "aria-label") == "" || textOf(m) != attr(m, "value")+" %" {
			t.Errorf("a bar cannot be read: %v, %q", m.Attr, textOf(m))
		}
	}
}

// TestGPUsAtHome checks what members see of the devices, and of those that are theirs.
func TestGPUsAtHome(t *testing.T) {
	h := newHub(t, withGPUs(t, &fakeLauncher{known: fourGPUs()}))
	h.servers.table[key("alice:x")] = servers.Server{Key: key("alice:x"), State: servers.Ready}
	want := []string{
		"DeviceHeld byNow",
		"NVIDIA H100 80GB HBM3nvidia.com/gpu=0, 80.0 GB youJupyterLab with a GPU, for 3 hours 97 % 97 %75 % 60.0 GB",
		"NVIDIA H100 80GB HBM3nvidia.com/gpu=1, 80.0 GB bobJupyterLab with a GPU, for 1 minuteyou, in xgone, for 2 " +
			"days 0 % 0 %1 % 1.0 GB",
		strange + "nvidia.com/gpu=2 out of order 0 % 0 %0 bytes",
		"GPUnvidia.com/gpu=3 free –",
	}
	p := show(t, h.do("GET", "/hub/home", "alice"))
	if diff := cmp.Diff(want, rowsOf(p, "gpus")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, never := range []string{"<script>", "4711", "/etc/cdi", "rocm-smi", "fell off"} {
		if strings.Contains(p.text, never) {
			t.Errorf("a member sees %q", never)
		}
	}
	h.servers.table[key("alice:x")] = servers.Server{Key: key("alice:x"), State: servers.Stopped}
	if text := body(t, h.do("GET", "/hub/home", "alice")); strings.Contains(text, "with nvidia.com") {
		t.Errorf("a server that does not run holds a device:\n%s", text)
	}
	for _, want := range []string{"<dt>GPU</dt><dd>nvidia.com/gpu=0</dd>", "with nvidia.com/gpu=1"} {
		if !strings.Contains(p.text, want) {
			t.Errorf("alice is not told %q:\n%s", want, p.text)
		}
	}
	if p := show(t, h.do("GET", "/hub/home", "gail")); len(rowsOf(p, "gpus")) != 5 ||
		strings.Contains(p.text, "<dt>GPU") {
		t.Errorf("gail, who has no server, sees\n%s", p.text)
	}
}

// TestNoGPUs checks that pages of a host without GPUs are to the byte what they are for a
// hub that knows nothing of GPUs, whether the launcher answers or not.
func TestNoGPUs(t *testing.T) {
	none := newHub(t, twoNamed)
	for name, f := range map[string]*fakeLauncher{
		"no devices":               {},
		"the launcher never tells": {fails: errors.New("unknown method")},
		"a tool without devices":   {known: backend.GPUs{ToolError: "no nvidia-smi", Measured: now}},
	} {
		h := newHub(t, withGPUs(t, f))
		for _, at := range []string{"/hub/home alice", "/hub/home bob", "/hub/home gail", "/hub/admin dora",
			"/hub/admin/images dora", "/hub/admin/groups dora", "/hub/spawn gail"} {
			path, user, _ := strings.Cut(at, " ")
			if diff := cmp.Diff(body(t, none.do("GET", path, user)), body(t, h.do("GET", path, user))); diff != "" {
				t.Errorf("%s, %s:\n%s", name, at, diff)
			}
		}
		if resp := h.do("GET", "/hub/admin/gpus", "dora"); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: the page of GPUs is there: %s", name, resp.Status)
		}
		if f.asked == 0 {
			t.Errorf("%s: nobody was asked", name)
		}
	}
}

// TestGPUsUnknown checks what pages say when the launcher, which had devices, does not
// answer any more.
func TestGPUsUnknown(t *testing.T) {
	f := &fakeLauncher{known: fourGPUs()}
	h := newHub(t, withGPUs(t, f))
	if text := body(t, h.do("GET", "/hub/admin", "dora")); !strings.Contains(text, `href="/hub/admin/gpus"`) {
		t.Errorf("no link to the GPUs:\n%s", text)
	}
	f.fails = hint.New("no reply", "ask the backend")
	p := show(t, h.do("GET", "/hub/home", "alice"))
	if p.status != http.StatusOK || !strings.Contains(p.text, "cannot be read at the moment") ||
		len(rowsOf(p, "gpus")) > 0 || strings.Contains(p.text, "<dt>GPU") {
		t.Errorf("%d\n%s", p.status, p.text)
	}
	resp := h.do("GET", "/hub/admin/gpus", "dora")
	if text := body(t, resp); resp.StatusCode != http.StatusServiceUnavailable ||
		!strings.Contains(text, "ask the backend") || strings.Contains(text, "no reply") {
		t.Errorf("%s\n%s", resp.Status, text)
	}
	if text := body(t, h.do("GET", "/hub/admin", "dora")); !strings.Contains(text, `href="/hub/admin/gpus"`) {
		t.Error("the link to the GPUs is gone")
	}
}

// TestBrokenSpecsAlone checks that administrators learn of a host whose only specification
// is broken, and members do not.
func TestBrokenSpecsAlone(t *testing.T) {
	h := newHub(t, withGPUs(t,
		&fakeLauncher{known: backend.GPUs{Broken: []backend.BrokenSpec{{File: "/etc/cdi/n.yaml",
			Error: "no kind"}}}}))
	if text := body(t, h.do("GET", "/hub/admin", "dora")); !strings.Contains(text, `href="/hub/admin/gpus"`) {
		t.Error("no link to the GPUs")
	}
	if text := body(t, h.do("GET", "/hub/admin/gpus", "dora")); !strings.Contains(text, "no kind") ||
		!strings.Contains(text, "There is no GPU that") {
		t.Errorf("nothing of the specification:\n%s", text)
	}
	if text := body(t, h.do("GET", "/hub/home", "alice")); strings.Contains(text, "GPUs") {
		t.Error("a member is told of GPUs")
	}
}
