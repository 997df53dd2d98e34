package gpuwatch

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
)

func TestUnitOf(t *testing.T) {
	tests := map[string]string{
		"0::/jupyter.slice/jupyter-alice:x.service/libpod-payload-12\n":          "jupyter-alice:x.service",
		"0::/user.slice/user-5001.slice/user@5001.service/app.slice/x.service\n": "user@5001.service",
		"1:name=systemd:/old.service\n0::/system.slice/docker-ab.scope\n":        "docker-ab.scope",
		"0::/\n": "",
		"":       "",
	}
	for text, want := range tests {
		if got := unitOf(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// TestDescribe reads this very process, and none.
func TestDescribe(t *testing.T) {
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	p := processes("/proc").describe(gpu.Process{PID: uint32(os.Getpid()), Memory: 7})
	if p.UID != uint32(os.Getuid()) || p.Command != strings.TrimSpace(string(comm)) || p.Memory != 7 {
		t.Errorf("this process is %+v", p)
	}
	gone := gpu.Process{PID: 1 << 30, Command: "what the tool said"}
	if got := processes("/proc").describe(gone); got != gone {
		t.Errorf("one that is gone is %+v", got)
	}
}

func TestHistory(t *testing.T) {
	h, now := history{}, time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	load := func(busy float64, memory uint64) gpu.Load { return gpu.Load{Known: true, Busy: busy, Memory: memory} }
	average, top := h.add("a", now, gpu.Load{})
	if average.Known || top.Known {
		t.Errorf("nothing was measured, and it is %+v, %+v", average, top)
	}
	// Ten readings in a minute count as much as one in the next.
	for i := range 10 {
		h.add("a", now.Add(time.Duration(i)*time.Second), load(1, 100))
	}
	average, top = h.add("a", now.Add(time.Minute), load(0, 300))
	if average != load(0.5, 200) || top != load(1, 300) {
		t.Errorf("average %+v, highest %+v", average, top)
	}
	average, top = h.add("a", now.Add(hour+30*time.Second), load(0.2, 10))
	if average != load(0.1, 155) || top != load(0.2, 300) {
		t.Errorf("an hour later: average %+v, highest %+v", average, top)
	}
	h.forget(now.Add(3 * hour))
	if len(h) != 0 {
		t.Error("a device that is gone is remembered")
	}
}

func TestUIDOf(t *testing.T) {
	for text, want := range map[string]uint32{"Name:\tUid:\nUmask:\t0022\nUid:\t5001\t0\t0\t0\nGid:\t1\n": 5001,
		"Name:\tx\n": 0, "": 0} {
		if got := uidOf(text); got != want {
			t.Errorf("%q is %d, want %d", text, got, want)
		}
	}
}
