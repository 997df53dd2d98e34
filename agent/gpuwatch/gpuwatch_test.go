package gpuwatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
)

// The parts that count of what two generations of the driver print.
const (
	ampere = `<?xml version="1.0" ?><!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd"><nvidia_smi_log><driver_version>550.54.15</driver_version><attached_gpus>2</attached_gpus>
<gpu id="00000000:01:00.0"><product_name>NVIDIA H100 80GB HBM3</product_name><uuid>GPU-aa</uuid><minor_number>1</minor_number>
<fb_memory_usage><total>81559 MiB</total><reserved>551 MiB</reserved><used>1024 MiB</used><free>79984 MiB</free></fb_memory_usage><utilization><gpu_util>97 %</gpu_util><memory_util>3 %</memory_util></utilization>
<ecc_errors><volatile><sram_correctable>5</sram_correctable><sram_uncorrectable_parity>0</sram_uncorrectable_parity><dram_uncorrectable>0</dram_uncorrectable></volatile></ecc_errors>
<remapped_rows><remapped_row_pending>No</remapped_row_pending><remapped_row_failure>No</remapped_row_failure></remapped_rows><gpu_reset_status><reset_required>No</reset_required></gpu_reset_status>
<processes><process_info><gpu_instance_id>N/A</gpu_instance_id><compute_instance_id>N/A</compute_instance_id><pid>4711</pid><type>C</type><process_name>python</process_name><used_memory>900 MiB</used_memory></process_info></processes></gpu>
<gpu id="00000000:02:00.0"><product_name>NVIDIA A100</product_name><uuid>GPU-bb</uuid><minor_number>0</minor_number><mig_mode><current_mig>Enabled</current_mig></mig_mode>
<mig_devices><mig_device><index>0</index><gpu_instance_id>1</gpu_instance_id><compute_instance_id>0</compute_instance_id><fb_memory_usage><total>20096 MiB</total><used>10 MiB</used></fb_memory_usage></mig_device>
<mig_device><index>1</index><gpu_instance_id>2</gpu_instance_id><compute_instance_id>0</compute_instance_id><fb_memory_usage><total>20096 MiB</total><used>10 MiB</used></fb_memory_usage></mig_device></mig_devices>
<fb_memory_usage><total>40960 MiB</total><used>100 MiB</used></fb_memory_usage><utilization><gpu_util>N/A</gpu_util></utilization>
<processes><process_info><gpu_instance_id>2</gpu_instance_id><compute_instance_id>0</compute_instance_id><pid>12</pid><used_memory>N/A</used_memory></process_info></processes></gpu></nvidia_smi_log>`
	volta = `<?xml version="1.0" ?><nvidia_smi_log><gpu id="1"><product_name>Tesla V100</product_name><uuid>GPU-cc</uuid><minor_number>0</minor_number><fb_memory_usage><total>16160 MiB</total><used>0 MiB</used></fb_memory_usage>
<utilization><gpu_util>0 %%</gpu_util></utilization><ecc_errors><volatile><double_bit><total>%s</total></double_bit></volatile></ecc_errors>%s<processes></processes></gpu></nvidia_smi_log>`
	rocm6 = `WARNING: something
{"card0": {"GPU use (%)": "42", "Unique ID": "0x9a", "PCI Bus": "0000:0C:00.0", "VRAM Total Memory (B)": "68702699520", "VRAM Total Used Memory (B)": "1024", "Card Series": "AMD Instinct MI210", "Card Model": "0x740f"},
 "system": {"PID77": "python3, 1, 2048, 0, 5", "PID78": "idle, 0, 0, 0, 0"}}`
	rocm5 = `{"card0": {"Unique ID": "0x1", "PCI Bus": "0000:03:00.0", "GPU use (%)": "N/A", "Card series": "N/A", "Card model": "0x73bf", "VRAM Total Memory (B)": "100"}, "card1": {"PCI Bus": "0000:0C:00.0", "Card series": "Navi 21", "GPU use (%)": "0"}, "card2": {"PCI Bus": "../../..", "GPU use (%)": "1"}, "card3": {"PCI Bus": "0000:ff:00.0"}, "system": {"PID7": "x, 1, 2, 3, 4"}}`
)

func TestRead(t *testing.T) {
	h100 := gpu.Facts{Node: "/dev/nvidia1", UUID: "GPU-aa", Model: "NVIDIA H100 80GB HBM3", Memory: 81559 << 20, Now: gpu.Load{Known: true, Busy: 0.97, Memory: 1 << 30},
		Processes: []gpu.Process{{PID: 4711, Memory: 900 << 20}}}
	a100 := gpu.Facts{Node: "/dev/nvidia0", UUID: "GPU-bb", Model: "NVIDIA A100", Memory: 40 << 30, Processes: []gpu.Process{{PID: 12}}}
	first := gpu.Facts{Node: "/dev/nvidia0", Part: "1:0", Model: "NVIDIA A100 (instance)", Memory: 20096 << 20}
	second := gpu.Facts{Node: "/dev/nvidia0", Part: "1:1", Model: "NVIDIA A100 (instance)", Memory: 20096 << 20, Processes: []gpu.Process{{PID: 12}}}
	tests := map[string]struct {
		read   func(string, []byte) ([]gpu.Facts, error)
		output string
		want   []gpu.Facts
		fails  bool
	}{
		"nvidia, instances": {readNVIDIA, ampere, []gpu.Facts{h100, a100, first, second}, false},
		"nvidia, older":     {readNVIDIA, fmt.Sprintf(volta, "0", ""), []gpu.Facts{{Node: "/dev/nvidia0", UUID: "GPU-cc", Model: "Tesla V100", Memory: 16160 << 20, Now: gpu.Load{Known: true}}}, false},
		"nvidia, none":      {readNVIDIA, `<nvidia_smi_log></nvidia_smi_log>`, nil, false},
		"nvidia, text":      {readNVIDIA, "No devices were found", nil, true},
		"nvidia, cut":       {readNVIDIA, ampere[:700], nil, true},
		"rocm 6": {readROCm, rocm6, []gpu.Facts{{Node: "/dev/dri/renderD129", UUID: "0x9a", Model: "AMD Instinct MI210", Memory: 68702699520, Now: gpu.Load{Known: true, Busy: 0.42, Memory: 1024},
			Processes: []gpu.Process{{PID: 77, Command: "python3", Memory: 2048}}}}, false},
		"rocm 5":            {readROCm, rocm5, []gpu.Facts{{Node: "/dev/dri/renderD128", UUID: "0x1", Model: "0x73bf", Memory: 100}, {Node: "/dev/dri/renderD129", Model: "Navi 21", Now: gpu.Load{Known: true}}}, false},
		"rocm, text":        {readROCm, "ERROR: no driver", nil, true},
		"rocm, other shape": {readROCm, `{"card0": [1]}`, nil, true},
	}
	sys := t.TempDir()
	for bus, node := range map[string]string{"0000:03:00.0": "renderD128", "0000:0c:00.0": "renderD129"} {
		if err := os.MkdirAll(filepath.Join(sys, "bus/pci/devices", bus, "drm", node), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tt.read(sys, []byte(tt.output))
			if (err != nil) != tt.fails {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestHealth(t *testing.T) {
	tests := map[string]struct{ errors, more, want string }{
		"well":              {"0", "<gpu_recovery_action>None</gpu_recovery_action>", ""},
		"not known":         {"N/A", "<gpu_recovery_action>N/A</gpu_recovery_action>", ""},
		"uncorrectable":     {"3", "", "could not be corrected"},
		"reset":             {"0", "<gpu_reset_status><reset_required>Yes</reset_required></gpu_reset_status>", "must be reset"},
		"recovery":          {"0", "<gpu_recovery_action>Drain and Reset</gpu_recovery_action>", "the driver asks for Drain and Reset"},
		"remapping failure": {"0", "<remapped_rows><remapped_row_failure>Yes</remapped_row_failure></remapped_rows>", "must be replaced"},
		"remapping pending": {"0", "<remapped_rows><remapped_row_pending>Yes</remapped_row_pending></remapped_rows>", "wait to be remapped"},
		"ERR!":              {"0", "<utilization><gpu_util>ERR!</gpu_util></utilization>", "cannot talk to it"},
	}
	for name, tt := range tests {
		facts, err := readNVIDIA("", []byte(fmt.Sprintf(volta, tt.errors, tt.more)))
		if err != nil || len(facts) != 1 || (facts[0].Health == "") != (tt.want == "") || !strings.Contains(facts[0].Health, tt.want) {
			t.Errorf("%s: %+v, %v; want %q", name, facts, err, tt.want)
		}
	}
}

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

// TestDescribe looks at this very process, and at none.
func TestDescribe(t *testing.T) {
	p := processes("/proc").describe(gpu.Process{PID: uint32(os.Getpid()), Memory: 7})
	if p.UID != uint32(os.Getuid()) || p.Command == "" || p.Memory != 7 {
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
		t.Error("a device that is gone is kept")
	}
}

// newWatch has a specification and tools of the test's making.
func newWatch(t *testing.T, run func(ctx context.Context, name string, args ...string) ([]byte, error)) (w *Watch, spec string, log *strings.Builder) {
	t.Helper()
	dir := t.TempDir()
	spec, log = filepath.Join(dir, "a.yaml"), &strings.Builder{}
	if err := os.WriteFile(spec, []byte("cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices: [{name: \"0\", containerEdits: {deviceNodes: [{path: /dev/nvidia1}]}}]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w, err := New(Config{Dirs: []string{dir}, File: filepath.Join(t.TempDir(), "state.json"), Proc: "/proc", Sys: "/sys", Every: Every, Log: slog.New(slog.NewTextHandler(log, nil)), Run: run})
	if err != nil {
		t.Fatal(err)
	}
	return w, spec, log
}

// TestRun follows the file from the first specification to the last.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // guards fails
		var fails error
		set := func(err error) {
			mu.Lock()
			defer mu.Unlock()
			fails = err
		}
		w, spec, log := newWatch(t, func(_ context.Context, name string, _ ...string) ([]byte, error) {
			if name != "nvidia-smi" {
				return nil, errNoTool
			}
			mu.Lock()
			defer mu.Unlock()
			return []byte(ampere), fails
		})
		ended := make(chan error)
		ready := 0
		go func() { ended <- w.Run(t.Context(), func() { ready++ }) }()
		time.Sleep(time.Second)
		synctest.Wait()
		read := func() gpu.State {
			t.Helper()
			s, err := gpu.ReadState(w.cfg.File)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		if s := read(); len(s.Devices) != 4 || s.Devices[0].Hour.Busy != 0.97 || len(s.Tools) != 1 || s.Tools[0].Error != "" || ready != 1 {
			t.Errorf("state %+v, ready %d times", s, ready)
		}
		if info, err := os.Stat(w.cfg.File); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("the file: %v, %v", info, err)
		}
		set(errors.New("it hangs"))
		time.Sleep(5 * Every)
		synctest.Wait()
		if s := read(); len(s.Devices) != 0 || s.Tools[0].Error != "it hangs" {
			t.Errorf("a tool that fails: %+v", s)
		}
		set(nil)
		time.Sleep(2 * Every)
		synctest.Wait()
		if err := os.Remove(spec); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "tells nothing"); n != 1 || !strings.Contains(log.String(), "works again") {
			t.Errorf("the log:\n%s", log)
		}
		if _, err := os.Stat(w.cfg.File); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the file after the end: %v", err)
		}
	})
}

// TestRunTool runs real programs.
func TestRunTool(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	script := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script("good", `echo "$1"`)
	script("bad", "echo 'NVIDIA-SMI has failed\nbecause it could not' >&2; exit 9")
	script("hangs", "sleep 600 & wait")
	script("endless", "yes")
	if out, err := runTool(t.Context(), "good", "hello"); err != nil || string(out) != "hello\n" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := runTool(t.Context(), "no-such-tool"); !errors.Is(err, errNoTool) {
		t.Errorf("no tool: %v", err)
	}
	if _, err := runTool(t.Context(), "bad"); err == nil || !strings.Contains(err.Error(), "NVIDIA-SMI has failed because it could not") {
		t.Errorf("a tool that fails: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := runTool(ctx, "hangs"); err == nil || !strings.Contains(err.Error(), "has not answered") {
		t.Errorf("a tool that hangs: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := runTool(ctx, "endless"); err == nil {
		t.Error("endless output is taken")
	}
}
