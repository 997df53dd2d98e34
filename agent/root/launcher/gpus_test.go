package launcher

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// spec writes a specification of devices, each "name=/dev/node".
func (h *host) spec(kind string, devices ...string) {
	h.t.Helper()
	var all []string
	for _, d := range devices {
		name, node, _ := strings.Cut(d, "=")
		all = append(all, fmt.Sprintf(`{"name": %q, "containerEdits": {"deviceNodes": [{"path": %q}]}}`, name, node))
	}
	text := fmt.Sprintf(`{"cdiVersion": "0.5.0", "kind": %q, "devices": [%s]}`, kind, strings.Join(all, ","))
	if err := os.WriteFile(filepath.Join(h.dir, "cdi", strings.ReplaceAll(kind, "/", "-")+".json"), []byte(text),
		0o644); err != nil {
		h.t.Fatal(err)
	}
}

// tool writes what gifford-gpus knows.
func (h *host) tool(s gpu.State) {
	h.t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.dir, "gpus.json"), data, 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// gpuHost is a host with two devices, a profile for one of them, and one that keeps it.
func gpuHost(t *testing.T) *host {
	h := newHost(t)
	h.spec("lab.example/gpu", "0=/dev/g0", "1=/dev/g1")
	h.text += "default = true\n[profile.gpu]\nimage = \"a\"\ngpus = 1\n[profile.keeps]\nimage = \"a\"\ngpus = " +
		"1\npersistent = true\n"
	return h
}

func (h *host) startWith(profile string, k ident.Key) error {
	return h.l.Start(h.t.Context(), launcherbus.StartRequest{Key: k, Profile: profile})
}

// held reports who holds which device, in the words of GPUs.
func (h *host) held() string {
	h.t.Helper()
	g, err := h.l.GPUs(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	var words []string
	for _, d := range g.Devices {
		for _, holder := range d.Holders {
			words = append(words, strings.TrimPrefix(d.Name, "lab.example/gpu=")+" "+holder.Key().String())
		}
	}
	return strings.Join(words, ", ")
}

// heldBy returns the devices that a server holds.
func heldBy(g launcherbus.GPUs, k ident.Key) (names []string) {
	for _, d := range g.Devices {
		for _, h := range d.Holders {
			if h.Key() == k {
				names = append(names, d.Name)
			}
		}
	}
	return names
}

// TestLend lends two devices, is started again, and gets them back.
func TestLend(t *testing.T) {
	h := gpuHost(t)
	alice, bob, more := h.key("alice", ""), h.key("bob", "x"), h.key("bob", "y")
	for _, k := range []ident.Key{alice, bob} {
		if err := h.startWith("gpu", k); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what, want string) {
		t.Helper()
		if got := h.held(); got != want {
			t.Errorf("%s: %s; want %s", what, got, want)
		}
	}
	check("both are lent", "0 alice, 1 bob:x")
	err := h.startWith("gpu", more)
	if codeOf(err) != launcherbus.DevicesTaken || !strings.Contains(err.Error(),
		"lab.example/gpu=0 is held by alice; lab.example/gpu=1 is held by bob:x") {
		t.Errorf("a third: %v", err)
	}
	if len(h.units) != 2 || len(h.seen) != 2 {
		t.Errorf("something of the refused start is there: %v %v", h.units, h.seen)
	}
	if err := h.startWith("lab", more); err != nil {
		t.Errorf("a start that needs none: %v", err)
	}
	h.launch()
	if _, err := h.l.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("after a restart", "0 alice, 1 bob:x")
	h.seenBy = func(e launcherbus.Event) {
		if e.State == launcherbus.Stopped || e.State == launcherbus.Failed {
			if got := h.held(); strings.Contains(got, e.Key.String()) {
				t.Errorf("%s is announced as %s and holds devices: %s", e.Key, e.State, got)
			}
		}
	}
	if err := h.l.Stop(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	check("one has stopped", "1 bob:x")
	h.change(t.Context(), "jupyter-bob:x.service", systemd.Failed)
	check("the other has failed", "")
	rows, err := h.l.List(t.Context())
	if err != nil || len(rows) != 1 || len(rows[0].Devices) != 0 {
		t.Errorf("list: %+v, %v", rows, err)
	}
	if err := h.startWith("gpu", alice); err != nil {
		t.Fatal(err)
	}
	rows, err = h.l.List(t.Context())
	if err != nil || len(rows) != 2 || rows[0].Devices == nil && rows[1].Devices == nil {
		t.Errorf("list: %+v, %v", rows, err)
	}
}

// TestLendFails checks that a start which fails leaves no lease, however it fails.
func TestLendFails(t *testing.T) {
	for _, result := range []string{"failed", "canceled", "timeout", "dependency", "no job"} {
		t.Run(result, func(t *testing.T) {
			h := gpuHost(t)
			h.results["jupyter-alice.service"] = result
			if err := h.startWith("gpu", h.key("alice", "")); err == nil {
				t.Fatal("it has started")
			}
			if got := h.held(); got != "" {
				t.Errorf("held: %s", got)
			}
		})
	}
	t.Run("before systemd is asked", func(t *testing.T) {
		h := gpuHost(t)
		if err := os.RemoveAll(filepath.Join(h.dir, "cluster/alice")); err != nil {
			t.Fatal(err)
		}
		if err := h.startWith("gpu", h.key("alice", "")); codeOf(err) != launcherbus.HomeNotCovered {
			t.Errorf("error is %v", err)
		}
		if got := h.held(); got != "" {
			t.Errorf("held: %s", got)
		}
	})
}

// TestLendQueued restarts the launcher while a unit waits for its view of the images.
func TestLendQueued(t *testing.T) {
	h := gpuHost(t)
	h.spec("lab.example/gpu", "0=/dev/g0")
	h.results["jupyter-alice.service"] = "queued"
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- h.l.Start(ctx, launcherbus.StartRequest{Key: h.key("alice", ""), Profile: "gpu"})
	}()
	for h.held() == "" {
		time.Sleep(time.Millisecond)
	}
	end()
	if err := <-done; err == nil {
		t.Fatal("it has started")
	}
	h.launch()
	if _, err := h.l.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.startWith("gpu", h.key("bob", "")); codeOf(err) != launcherbus.DevicesTaken {
		t.Errorf("the device of a queued unit: %v", err)
	}
	if left := leftIn(t, h.dir); !strings.Contains(left, "run/credentials/jupyter-alice.service.env") ||
		!strings.Contains(left, "run/servers/alice/_") {
		t.Errorf("what it needs to start is gone; there is only %s", left)
	}
	h.change(t.Context(), "jupyter-alice.service", systemd.Activating)
	h.change(t.Context(), "jupyter-alice.service", systemd.Active)
	if got := h.states(); got != "alice starting, alice running" {
		t.Errorf("events: %s", got)
	}
	if err := h.l.Stop(t.Context(), h.key("alice", "")); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := h.startWith("gpu", h.key("bob", "")); err != nil {
		t.Errorf("after its end: %v", err)
	}
}

// TestLendPersistent checks that a persistent container has its devices or does not start.
func TestLendPersistent(t *testing.T) {
	h := gpuHost(t)
	alice, bob := h.key("alice", ""), h.key("bob", "")
	begin := func(k ident.Key, profile string, without bool, want launcherbus.Code, words string) {
		t.Helper()
		err := h.l.Start(t.Context(), launcherbus.StartRequest{Key: k, Profile: profile, WithoutGPUs: without})
		if codeOf(err) != want || err != nil && !strings.Contains(hint.Text(err), words) {
			t.Errorf("start of %s: %v; want %s %s", k, err, want, words)
		}
	}
	stop := func(k ident.Key) {
		t.Helper()
		if err := h.l.Stop(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	begin(bob, "gpu", false, "", "")
	begin(alice, "keeps", false, "", "")
	stop(alice)
	stop(bob)
	begin(alice, "keeps", true, launcherbus.Refused, "has devices in it and cannot start without them\nhint: ")
	begin(alice, "keeps", false, "", "")
	if got := h.held(); got != "1 alice" {
		t.Errorf("the persistent container holds %s", got)
	}
	stop(alice)
	begin(bob, "gpu", false, "", "")
	begin(h.key("bob", "x"), "gpu", false, "", "")
	begin(alice, "keeps", false, launcherbus.DevicesTaken, "lab.example/gpu=1 is held by bob:x")
	stop(h.key("bob", "x"))
	h.spec("lab.example/gpu", "0=/dev/g0", "GPU-2=/dev/g2")
	begin(alice, "keeps", false, launcherbus.DevicesMissing,
		"lab.example/gpu=1, which this host no longer has\nhint: reset the server")
	if err := h.l.Reset(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	delete(h.units, "gifford-reset-alice.service")
	begin(alice, "keeps", true, "", "")
	stop(alice)
	begin(alice, "keeps", false, "", "")
	if got := h.held(); got != "0 bob" {
		t.Errorf("a container that was made without devices: %s", got)
	}
	rows, err := h.l.Persistent(t.Context())
	if err != nil || len(rows) != 1 || !rows[0].Outdated {
		t.Errorf("it is not outdated: %+v, %v", rows, err)
	}
}

// TestGPUs checks the report of devices.
func TestGPUs(t *testing.T) {
	h := gpuHost(t)
	h.spec("lab.example/screen", "all=/dev/dri")
	if err := os.WriteFile(filepath.Join(h.dir, "cdi/bad.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.text += "[profile.big]\nimage = \"a\"\ngpus = 1\ngpu_memory = \"40G\"\n[profile.screen]\nimage = \"a\"\ngpus " +
		"= \"all\"\n[[gpus.device]]\nmatch = [\"lab.example/screen=*\"]\nsharing = \"open\"\n[[gpus.device]]\nmatch " +
		"= [\"*/gpu=1\"]\nsharing = \"shared\"\nplaces = 3\n"
	now := time.Now().Round(time.Microsecond)
	load := gpu.Load{Known: true, Busy: 0.5, Memory: 3}
	h.tool(gpu.State{Measured: now, Tools: []gpu.Tool{{Name: "a", Error: "no driver"}, {Name: "b"}},
		Devices: []gpu.Facts{
			{Node: "/dev/g0", Model: "Big", Memory: 80 << 30, Now: load, Processes: []gpu.Process{
				{PID: 1, UID: 0, Unit: "display-manager.service"}, {PID: 2, UID: 7, Unit: "jupyter-alice.service"},
				{PID: 3, UID: 7, Unit: "jupyter-bob.service"}, {PID: 4, UID: 0, Unit: "jupyter-hub.service"}}},
			{Node: "/dev/g1", Model: "Small", Memory: 8 << 30, Health: "hot"},
		}})
	if err := h.startWith("gpu", h.key("alice", "")); err != nil {
		t.Fatal(err)
	}
	h.l.noteStart(h.l.server(h.key("alice", "")), now)
	got, err := h.l.GPUs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := launcherbus.GPUs{
		Devices: []launcherbus.GPU{
			{Name: "lab.example/gpu=0", Model: "Big", Memory: 80 << 30, Sharing: launcherbus.Exclusive, Places: 1,
				Now:      load,
				Holders:  []launcherbus.Holder{launcherbus.NewHolder(h.key("alice", ""), "gpu", now, 1)},
				Profiles: []string{"big", "gpu", "keeps"},
				Strangers: []gpu.Process{{PID: 3, UID: 7, Unit: "jupyter-bob.service"},
					{PID: 4, UID: 0, Unit: "jupyter-hub.service"}}},
			{Name: "lab.example/gpu=1", Model: "Small", Memory: 8 << 30, Health: "hot", Sharing: launcherbus.Shared,
				Places: 3, Profiles: []string{"gpu", "keeps"}},
			{Name: "lab.example/screen=all", Sharing: launcherbus.Open, Profiles: []string{"gpu", "keeps", "screen"}},
		},
		Broken:    []launcherbus.BrokenSpec{{File: filepath.Join(h.dir, "cdi/bad.json")}},
		ToolError: "a: no driver",
	}
	want.MeasuredAt(now)
	if len(got.Broken) == 1 {
		want.Broken[0].Error = got.Broken[0].Error
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want(-) got(+):\n%s", diff)
	}
	profiles, err := h.l.Profiles(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]int32{}
	for _, p := range profiles {
		numbers[p.Name] = p.GPUs
	}
	if diff := cmp.Diff(map[string]int32{"lab": 0, "gpu": 1, "keeps": 1, "big": 1, "screen": launcherbus.AllGPUs},
		numbers); diff != "" {
		t.Errorf("profiles: %s", diff)
	}
}

// TestHolds checks in which states a unit has its devices.
func TestHolds(t *testing.T) {
	tests := map[string]struct {
		unit systemd.Status
		want bool
	}{
		"queued":              {systemd.Status{State: systemd.Inactive, Queued: true}, true},
		"never began":         {systemd.Status{State: systemd.Inactive}, false},
		"starts":              {systemd.Status{State: systemd.Activating}, true},
		"runs":                {systemd.Status{State: systemd.Active}, true},
		"ends":                {systemd.Status{State: systemd.Deactivating}, true},
		"failed":              {systemd.Status{State: systemd.Failed}, false},
		"unknown":             {systemd.Status{State: "refreshing"}, true},
		"failed, stop queued": {systemd.Status{State: systemd.Failed, Queued: true}, false},
	}
	h := newHost(t)
	for name, tt := range tests {
		if got := h.l.holds(t.Context(), tt.unit); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	h.units["u"] = systemd.Failed
	for name, tt := range map[string]struct {
		left int
		err  error
		want bool
	}{"processes are left": {1, nil, true}, "none is left": {0, nil, false}, "nobody knows": {0, errBroken, true}} {
		h.left["u"] = tt.left
		h.fails["Processes"] = tt.err
		if got := h.l.holds(t.Context(), systemd.Status{Name: "u", State: systemd.Failed}); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
