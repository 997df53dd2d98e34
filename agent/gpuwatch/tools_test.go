package gpuwatch

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
)

// sample is what a tool prints: in testdata, in the layout of the vendor's documents.
func sample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const uuidTail = "000000-1111-2222-3333-444444444444"

func TestRead(t *testing.T) {
	v100 := gpu.Facts{Node: "/dev/nvidia0", UUID: "GPU-cc" + uuidTail, Model: "Tesla V100-PCIE-16GB",
		Memory: 16130 << 20, Now: gpu.Load{Known: true, Busy: 0.61, Memory: 1217 << 20},
		Processes: []gpu.Process{{PID: 29907, Memory: 1207 << 20}, {PID: 29908, Memory: 10 << 20}}}
	h100 := gpu.Facts{Node: "/dev/nvidia1", UUID: "GPU-aa" + uuidTail, Model: "NVIDIA H100 80GB HBM3",
		Memory: 81559 << 20, Now: gpu.Load{Known: true, Busy: 0.97, Memory: 1 << 30},
		Processes: []gpu.Process{{PID: 4711, Memory: 900 << 20}}}
	a100 := gpu.Facts{Node: "/dev/nvidia0", UUID: "GPU-bb" + uuidTail, Model: "NVIDIA A100-SXM4-40GB", Memory: 40 << 30,
		Processes: []gpu.Process{{PID: 12}}}
	first := gpu.Facts{Node: "/dev/nvidia0", Part: "1:0", Model: "NVIDIA A100-SXM4-40GB (instance)",
		Memory: 20096 << 20}
	second := gpu.Facts{Node: "/dev/nvidia0", Part: "1:1", Model: first.Model, Memory: 20096 << 20,
		Processes: []gpu.Process{{PID: 12}},
		Health:    "its memory had errors that could not be corrected: it must be reset"}
	mi210 := gpu.Facts{Node: "/dev/dri/renderD128", UUID: "0x9a1b2c3d4e5f6071", Model: "AMD Instinct MI210",
		Memory: 68702699520, Now: gpu.Load{Known: true, Busy: 0.42, Memory: 1024},
		Processes: []gpu.Process{{PID: 77, Command: "python3", Memory: 2048},
			{PID: 79, Command: "a, 0, 9,b", Memory: 4096}}}
	navi := []gpu.Facts{{Node: "/dev/dri/renderD128", UUID: "0x1", Model: "0x73bf", Memory: 100},
		{Node: "/dev/dri/renderD130", Model: "Navi 31", Now: gpu.Load{Known: true, Busy: 0.07}},
		{Node: "/dev/dri/renderD138", Model: "Navi 21", Now: gpu.Load{Known: true}}}
	const handle = "Unable to determine the device handle for GPU0: 0000:02:00.0: GPU is lost\n"
	mig := sample(t, "nvidia-550-mig.xml")
	tests := map[string]struct {
		read   func(string, []byte) ([]gpu.Facts, error)
		output string
		want   []gpu.Facts
		fails  bool
	}{
		"nvidia, instances": {readNVIDIA, mig, []gpu.Facts{h100, a100, first, second}, false},
		"nvidia, older":     {readNVIDIA, sample(t, "nvidia-418-volta.xml"), []gpu.Facts{v100}, false},
		"nvidia, warning":   {readNVIDIA, handle + mig, []gpu.Facts{h100, a100, first, second}, false},
		"nvidia, none":      {readNVIDIA, `<nvidia_smi_log></nvidia_smi_log>`, nil, false},
		"nvidia, no number": {readNVIDIA,
			`<nvidia_smi_log><gpu><minor_number>[GPU is lost]</minor_number></gpu></nvidia_smi_log>`, nil, false},
		"nvidia, text":        {readNVIDIA, "No devices were found", nil, true},
		"nvidia, cut":         {readNVIDIA, mig[:700], nil, true},
		"nvidia, other shape": {readNVIDIA, "<nvidia_smi_log_of_others/>", nil, true},
		"rocm 6":              {readROCm, sample(t, "rocm-6.json"), []gpu.Facts{mi210}, false},
		"rocm 5":              {readROCm, sample(t, "rocm-5.json"), navi, false},
		"rocm, text":          {readROCm, "ERROR: no driver", nil, true},
		"rocm, cut":           {readROCm, sample(t, "rocm-5.json")[:90], nil, true},
		"rocm, other shape":   {readROCm, `{"card0": [1], "system": 7}`, nil, true},
	}
	sys := t.TempDir()
	for bus, node := range map[string]string{"0000:0c:00.0": "renderD128", "0000:03:00.0": "renderD128",
		"0000:83:00.0": "renderD130", "0000:c3:00.0": "renderD138"} {
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
	ecc := func(text string) string { return "<ecc_errors><volatile>" + text + "</volatile></ecc_errors>" }
	tests := map[string]struct{ fields, want string }{
		"well": {"<gpu_recovery_action>None</gpu_recovery_action>", ""},
		"not known": {ecc("<double_bit><total>N/A</total></double_bit>") +
			"<gpu_recovery_action>N/A</gpu_recovery_action>", ""},
		"correctable": {ecc("<sram_correctable>9</sram_correctable>"), ""},
		"before the driver": {"<ecc_errors><aggregate><dram_uncorrectable>3</dram_uncorrectable></aggregate>" +
			"</ecc_errors>", ""},
		"Volta, uncorrectable": {ecc("<double_bit><total>3</total></double_bit>"), "could not be corrected"},
		"Ampere, SRAM":         {ecc("<sram_uncorrectable>1</sram_uncorrectable>"), "could not be corrected"},
		"Hopper, parity": {ecc("<sram_uncorrectable_parity>1</sram_uncorrectable_parity>"),
			"could not be corrected"},
		"Hopper, SECDED": {ecc("<sram_uncorrectable_secded>1</sram_uncorrectable_secded>"),
			"could not be corrected"},
		"DRAM": {ecc("<dram_uncorrectable>1</dram_uncorrectable>"), "could not be corrected"},
		"reset": {"<gpu_reset_status><reset_required>Yes</reset_required></gpu_reset_status>",
			"must be reset"},
		"recovery": {"<gpu_recovery_action>Drain and Reset</gpu_recovery_action>",
			"the driver asks for it to be recovered: Drain and Reset"},
		"remapping failure": {"<remapped_rows><remapped_row_failure>Yes</remapped_row_failure></remapped_rows>",
			"must be replaced"},
		"remapping pending": {"<remapped_rows><remapped_row_pending>Yes</remapped_row_pending></remapped_rows>",
			"wait to be remapped"},
		"ERR!": {"<utilization><gpu_util>ERR!</gpu_util></utilization>", "cannot talk to it"},
		"unknown error": {"<fb_memory_usage><total>[Unknown Error]</total></fb_memory_usage>",
			"cannot talk to it"},
		"lost": {"<uuid>[GPU is lost]</uuid>", "has lost it"},
		"a process says so": {"<processes><process_info><pid>1</pid><process_name>ERR! GPU is " +
			"lost</process_name></process_info></processes>", ""},
	}
	for name, tt := range tests {
		facts, err := readNVIDIA("",
			fmt.Appendf(nil, "<nvidia_smi_log><gpu><minor_number>0</minor_number>%s</gpu></nvidia_smi_log>", tt.fields))
		if err != nil || len(facts) != 1 || (facts[0].Health == "") != (tt.want == "") ||
			!strings.Contains(facts[0].Health, tt.want) {
			t.Errorf("%s: %+v, %v; want %q", name, facts, err, tt.want)
		}
	}
}

// TestLost checks that a GPU of the specifications that the tool leaves out is not well.
func TestLost(t *testing.T) {
	inv := gpu.Inventory{Devices: []gpu.Device{{Nodes: []string{"/dev/nvidia0"}}, {Nodes: []string{"/dev/nvidia1"}},
		{Nodes: []string{"/dev/nvidia-caps/nvidia-cap3", "/dev/nvidia2"}},
		{Nodes: []string{"/dev/nvidia-caps/nvidia-cap4", "/dev/nvidia2"}}, {Nodes: []string{"/dev/dri/renderD128"}},
		{}}}
	reported := []gpu.Facts{{Node: "/dev/nvidia0"}}
	before := []gpu.Facts{{Node: "/dev/nvidia1", Part: "1:0", Model: "part"},
		{Node: "/dev/nvidia1", Model: "H100", Now: gpu.Load{Known: true}, Processes: []gpu.Process{{PID: 1}}}}
	const why = "nvidia-smi does not report it: the driver may have lost it, or the specification is out of date"
	want := []gpu.Facts{{Node: "/dev/nvidia1", Model: "H100", Health: why}, {Node: "/dev/nvidia2", Health: why}}
	if diff := cmp.Diff(want, lostNVIDIA(reported, before, inv)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
