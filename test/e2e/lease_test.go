//go:build e2e

package e2e

import (
	"encoding/csv"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"
)

// testGPUs lends three devices and a shared one to five members: who gets which nodes, who
// waits, who is next, what restarts, crashes and broken specifications change of it, and
// how an unused device comes back. One server does nothing all the while, since an unused
// device is given back after a minute at the earliest.
func testGPUs(t *testing.T) {
	h := theHost(t)
	withGPUs(t, h)
	withSettings(t, h, "95-gpus.toml", "[servers]\nnamed = 1\n[cull]\nenabled = true\nidle = \"12h\"\nevery = "+
		"\"1s\"\nnotice = \"48s\"\ngpu_idle = \"1m\"\n")
	h.fixture(t, gpusWork, "say")
	all := crew{}
	for _, user := range []string{"gail", "alice", "bob", "dora", "erin"} {
		all[user] = member(t, h, user)
		all[user].stop(user)
	}
	since := time.Now()
	all["gail"].start("gail", "spare")
	all["dora"].start("dora", "jupyterlab")
	all["alice"].start("alice", "gpu")
	all["bob"].start("bob", "gpu")
	for _, part := range []struct {
		name string
		test func(t *testing.T, h host, c crew)
	}{
		{"an unused device is announced", unusedAnnounced}, // first, since its end is what takes longest
		{"exactly the leased nodes", exactNodes},
		{"the third waits", thirdWaits},
		{"the line outlives the hub", lineOutlivesHub},
		{"leases outlive the launcher", leasesOutliveLauncher},
		{"leaves the line", leavesTheLine},
		{"starts without", startsWithout},
		{"a crash makes room", crashMakesRoom},
		{"limit of a member", memberLimit},
		{"shared by two", sharedByTwo},
		{"a stop makes room", stopMakesRoom},
		{"a broken specification", brokenSpec},
		{"a process left behind", processLeft},
		{"pages", gpuPages},
		{"usage", gpuUsage},
		{"an unused device is given back", unusedGivenBack},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.test(t, h, all.of(t)) }) {
			t.Logf("%s has failed:\n%s", part.name, h.run(t, "sh", "-c", "gifford-hub gpus 2>&1 || true"))
		}
	}
	if log := h.journal(t, "gifford-launcher", since); strings.Contains(log, "panic") {
		t.Errorf("the launcher's journal:\n%s", log)
	}
}

// crew are the members by their names.
type crew map[string]*visitor

// of returns them for a part of a test.
func (c crew) of(t *testing.T) crew {
	part := crew{}
	for user, v := range c {
		one := *v
		one.t = t
		part[user] = &one
	}
	return part
}

// exactNodes compares the devices in three containers; dora's has none.
func exactNodes(t *testing.T, h host, c crew) {
	plain := devicesInside(t, h, "dora")
	var leased []string
	for _, user := range []string{"alice", "bob"} {
		name := lease(t, h, user)
		leased = append(leased, name)
		if diff := cmp.Diff(nodesOf[name], extra(devicesInside(t, h, user), plain)); diff != "" {
			t.Errorf("%s holds %q; its nodes (-want +got):\n%s", user, name, diff)
		}
	}
	slices.Sort(leased)
	if diff := cmp.Diff([]string{gpu0, gpu1}, leased); diff != "" {
		t.Errorf("leases (-want +got):\n%s", diff)
	}
	if got := lease(t, h, "dora"); got != "" {
		t.Errorf("dora, whose profile has none, holds %q", got)
	}
	if got := lease(t, h, "gail"); got != spare {
		t.Errorf("gail, who wants 20 GiB of an H100, holds %q", got)
	}
	if got := h.must(t, "", "alice", "--", "sh", "-c", "tr '\\0' '\\n' </proc/1/environ | grep -x LAB_DRIVER=1; "+
		"test -s /usr/share/lab-driver && echo mounted"); got != "LAB_DRIVER=1\nmounted\n" {
		t.Errorf("environment and mounts of the specification: %q", got)
	}
	if out, err := h.try(t.Context(), "gifford-hub", "check", "--user", "alice"); err != nil ||
		!strings.Contains(out, "4 devices") {
		t.Errorf("the check finds something: %v\n%s", err, out)
	}
	c["dora"].stop("dora")
}

// thirdWaits puts dora and erin into the line behind alice and bob.
func thirdWaits(t *testing.T, h host, c crew) {
	dora, erin := c["dora"], c["erin"]
	dora.ask("dora", "gpu")
	p := dora.waits("dora", 1)
	for _, word := range []string{"alice", "bob", gpu0, gpu1} {
		if !strings.Contains(p.body, word) {
			t.Errorf("the page of who waits does not say %s: %s", word, p)
		}
	}
	erin.ask("erin", "gpu")
	erin.waits("erin", 2)
	if got := dora.pending("dora"); got != "spawn" {
		t.Errorf("for the API the server is pending %q", got)
	}
	if state := dora.active("dora"); state != "inactive" {
		t.Errorf("while it waits its unit is %s", state)
	}
	if got := h.gpus(t).holders(); got[gpu0]+got[gpu1] != "alicebob" && got[gpu0]+got[gpu1] != "bobalice" {
		t.Errorf("holders are %v", got)
	}
}

func lineOutlivesHub(t *testing.T, h host, c crew) {
	h.run(t, "systemctl", "restart", "gifford-hub.service")
	for _, v := range c {
		v.http.CloseIdleConnections()
	}
	c["dora"].waits("dora", 1)
	c["erin"].waits("erin", 2)
}

func leasesOutliveLauncher(t *testing.T, h host, c crew) {
	before := h.gpus(t).holders()
	h.run(t, "systemctl", "kill", "--signal=KILL", "gifford-launcher.service")
	eventually(t, "a new launcher knows the leases", 10*time.Second,
		func() bool { return cmp.Equal(before, h.gpus(t).holders()) })
	c["dora"].waits("dora", 1)
}

func leavesTheLine(t *testing.T, _ host, c crew) {
	erin := c["erin"]
	if p := erin.api("DELETE", "/users/erin/server", ""); p.status != http.StatusNoContent &&
		p.status != http.StatusAccepted {
		t.Fatalf("erin cannot leave: %s", p)
	}
	eventually(t, "erin is in no line", 10*time.Second, func() bool { return erin.pending("erin") == "" })
	c["dora"].waits("dora", 1)
}

// startsWithout lets erin take the offer of a start without a device.
func startsWithout(t *testing.T, h host, c crew) {
	erin := c["erin"]
	erin.ask("erin", "gpu")
	for _, f := range erin.waits("erin", 2).forms(t) {
		if f.fields.Get("without_gpus") == "1" {
			erin.submit(f)
		}
	}
	erin.becomesReady("erin")
	if got := lease(t, h, "erin"); got != "" {
		t.Errorf("without a device it holds %q", got)
	}
	if got := h.property(t, "jupyter-erin.service", "Environment"); !strings.Contains(got, "GIFFORD_PROFILE=gpu") {
		t.Errorf("it runs another profile: %s", got)
	}
	erin.stop("erin")
}

// crashMakesRoom kills all of alice's server: dora, who waits, gets its device at once.
func crashMakesRoom(t *testing.T, h host, c crew) {
	freed := lease(t, h, "alice")
	h.run(t, "systemctl", "kill", "--signal=KILL", "jupyter-alice.service")
	ended := time.Now()
	eventually(t, "dora's unit starts", 10*time.Second, func() bool { return c["dora"].active("dora") != "inactive" })
	t.Logf("dora's unit started %v after alice's was killed", time.Since(ended))
	c["dora"].becomesReady("dora")
	if got := lease(t, h, "dora"); got != freed {
		t.Errorf("dora has %q, want %q which alice had", got, freed)
	}
}

// memberLimit asks for a second server with a device, which the policy allows nobody.
func memberLimit(t *testing.T, h host, c crew) {
	out := h.fails(t, "gifford-hub", "servers", "start", "bob:second", "--profile", "card")
	for _, word := range []string{"bob", "1"} {
		if !strings.Contains(out, word) {
			t.Errorf("the refusal does not say %q: %s", word, out)
		}
	}
	if got := c["bob"].pending("bob"); got != "" {
		t.Errorf("bob, who waits for nothing, is pending %s", got)
	}
}

// sharedByTwo lends the card to its two places, and has dora wait for it.
func sharedByTwo(t *testing.T, h host, c crew) {
	c["alice"].start("alice", "card")
	c["erin"].start("erin", "card")
	for _, user := range []string{"alice", "erin"} {
		if got := lease(t, h, user); got != card {
			t.Errorf("%s holds %q", user, got)
		}
	}
	c["dora"].stop("dora")
	c["dora"].ask("dora", "card")
	c["dora"].waits("dora", 1)
}

// stopMakesRoom stops erin's server as she would, which lets dora in.
func stopMakesRoom(t *testing.T, h host, c crew) {
	c["erin"].stop("erin")
	c["dora"].becomesReady("dora")
	if got := lease(t, h, "dora"); got != card {
		t.Errorf("dora holds %q", got)
	}
}

// brokenSpec puts a specification beside the others that is none.
func brokenSpec(t *testing.T, h host, c crew) {
	const file = "/etc/cdi/lab-broken.json"
	h.put(t, file, "0644", `{"cdiVersion": "0.5.0", "kind": "lab.example/broken", `)
	defer h.run(t, "rm", "-f", file)
	if out := h.fails(t, "gifford-hub", "check"); !strings.Contains(out, file+" cannot be used") {
		t.Errorf("the check does not name it:\n%s", out)
	}
	eventually(t, "gifford-hub gpus names it", 10*time.Second, func() bool {
		return strings.Contains(h.run(t, "gifford-hub", "gpus"), file)
	})
	c["erin"].start("erin", "gpu") // others work
	if got := lease(t, h, "erin"); got != gpu0 && got != gpu1 {
		t.Errorf("erin holds %q", got)
	}
}

// processLeft has a process on a device that no server of its user holds.
func processLeft(t *testing.T, h host, c crew) {
	h.run(t, "systemd-run", "-q", "--uid=gail", "--unit=e2e-left", "sleep", "600")
	defer h.run(t, "systemctl", "stop", "e2e-left.service")
	pid := h.property(t, "e2e-left.service", "MainPID")
	h.fixture(t, "process 0 "+pid+" 312 sleep\n"+strings.Replace(gpusWork, "0 50", "0 97", 1), "say")
	defer h.fixture(t, gpusWork, "say")
	eventually(t, "the process is named", 30*time.Second, func() bool {
		out := h.run(t, "gifford-hub", "gpus")
		return strings.Contains(out, "process "+pid) && strings.Contains(out, "gail") && strings.Contains(out, "97%")
	})
	if out, _ := h.try(t.Context(), "gifford-hub", "check"); !strings.Contains(out, "process "+pid) {
		t.Errorf("the check does not name the process:\n%s", out)
	}
	if p := c["dora"].get("/hub/admin/gpus"); !strings.Contains(p.body, pid) {
		t.Errorf("the page does not name the process: %s", p)
	}
}

// gpuPages reads the pages in the browser, wide and narrow.
func gpuPages(t *testing.T, h host, c crew) {
	if p := c["alice"].get("/hub/admin/gpus"); p.status != http.StatusNotFound {
		t.Errorf("alice sees the administrators' page: %s", p)
	}
	ctx := browser(t)
	signInWith(t, ctx, h, "dora")
	for _, page := range []string{"home", "admin", "admin/gpus", "admin/usage", "spawn"} {
		for _, size := range []struct {
			name          string
			width, height int64
		}{{"wide", 1280, 900}, {"narrow", 360, 740}} {
			do(t, ctx, size.name, chromedp.EmulateViewport(size.width, size.height))
			do(t, ctx, page, chromedp.Navigate("https://"+h.ip+"/hub/"+page))
			picture(t, ctx, "page-gpus-"+strings.ReplaceAll(page, "/", "-")+"-"+size.name)
			if do(t, ctx, "width",
				chromedp.Evaluate[bool](`document.documentElement.scrollWidth > window.innerWidth`)) {
				t.Errorf("the page %s is wider than the window at %d", page, size.width)
			}
		}
	}
	home := c["alice"].get("/hub/home")
	for _, word := range []string{"Lab H100", card, "bob", gpu0} {
		if !strings.Contains(home.body, word) {
			t.Errorf("alice's home page does not say %s: %s", word, home)
		}
	}
}

// gpuUsage looks for the hours of those who held devices.
func gpuUsage(t *testing.T, h host, _ crew) {
	table, err := csv.NewReader(strings.NewReader(h.run(t, "gifford-hub", "usage", "--csv"))).ReadAll()
	if err != nil || len(table) < 2 {
		t.Fatalf("the table: %v: %v", err, table)
	}
	column := slices.Index(table[0], "gpu_hours")
	if column < 0 {
		t.Fatalf("no gpu_hours among %v", table[0])
	}
	hours := map[string]float64{}
	for _, row := range table[1:] {
		n, err := strconv.ParseFloat(row[column], 64)
		if err != nil {
			t.Errorf("gpu_hours of %v: %v", row, err)
		}
		hours[row[slices.Index(table[0], "user")]] += n
	}
	for _, user := range []string{"alice", "bob", "gail"} {
		if hours[user] <= 0 || hours[user] > 1 {
			t.Errorf("%s has %v GPU-hours", user, hours[user])
		}
	}
}

func unusedEnd(v *visitor) bool {
	at, reason := v.announcedEnd("gail")
	return !at.IsZero() && reason == "gpu-idle"
}

// unusedAnnounced has gail keep her device once.
func unusedAnnounced(t *testing.T, h host, c crew) {
	gail := c["gail"]
	eventually(t, "the end is announced", time.Minute, func() bool { return unusedEnd(gail) })
	home := gail.get("/hub/home")
	if !strings.Contains(home.body, "restarted without GPU") {
		t.Errorf("the home page does not tell of the end: %s", home)
	}
	if p := gail.press(home, "/hub/keep/gail"); p.status != http.StatusOK ||
		strings.Contains(p.body, "restarted without GPU") {
		t.Errorf("after Keep: %s", p)
	}
	for _, user := range []string{"alice", "bob"} { // whose devices work
		if at, reason := c[user].announcedEnd(user); !at.IsZero() {
			t.Errorf("the end of %s's server is announced: %s", user, reason)
		}
	}
}

// unusedGivenBack waits for the end of gail's lease, which cannot be postponed twice.
func unusedGivenBack(t *testing.T, h host, c crew) {
	gail := c["gail"]
	eventually(t, "the end is announced again", time.Minute, func() bool { return unusedEnd(gail) })
	for _, f := range gail.get("/hub/home").forms(t) {
		if strings.HasSuffix(f.action.Path, "/hub/keep/gail") {
			t.Error("it can be postponed twice")
		}
	}
	began := time.Now()
	eventually(t, "gail's server runs without a device", 90*time.Second, func() bool {
		ready, _ := gail.server("gail")
		return ready && lease(t, h, "gail") == ""
	})
	t.Logf("waited %v for gail's device", time.Since(began))
	// The hub reads the devices every two seconds at most.
	eventually(t, "nobody holds "+spare, 10*time.Second, func() bool { return h.gpus(t).holders()[spare] == "" })
}
