package gpuwatch

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
)

// The parts of "nvidia-smi -q -x" that count (nvsmi_device_v*.dtd; the names are the same
// since driver 418 but for ECC errors).
type (
	nvidiaLog struct {
		XMLName xml.Name    `xml:"nvidia_smi_log"`
		GPUs    []nvidiaGPU `xml:"gpu"`
	}
	nvidiaGPU struct {
		Model  string       `xml:"product_name"`
		UUID   string       `xml:"uuid"`
		Minor  string       `xml:"minor_number"`
		Memory nvidiaMemory `xml:"fb_memory_usage"`
		Busy   string       `xml:"utilization>gpu_util"`
		MIG    []nvidiaMIG  `xml:"mig_devices>mig_device"`
		// Errors that could not be corrected since the driver was loaded; the second is the name
		// before Ampere.
		ECC struct {
			SRAM   string `xml:"sram_uncorrectable"`
			SRAM2  string `xml:"sram_uncorrectable_parity"`
			SRAM3  string `xml:"sram_uncorrectable_secded"`
			DRAM   string `xml:"dram_uncorrectable"`
			Double string `xml:"double_bit>total"`
		} `xml:"ecc_errors>volatile"`
		Rows struct {
			Pending string `xml:"remapped_row_pending"`
			Failure string `xml:"remapped_row_failure"`
		} `xml:"remapped_rows"`
		Recovery  string          `xml:"gpu_recovery_action"`
		Reset     string          `xml:"gpu_reset_status>reset_required"`
		Processes []nvidiaProcess `xml:"processes>process_info"`
	}
	nvidiaMemory struct {
		Total string `xml:"total"`
		Used  string `xml:"used"`
	}
	nvidiaMIG struct {
		Index    string       `xml:"index"`
		GPU      string       `xml:"gpu_instance_id"`
		Instance string       `xml:"compute_instance_id"`
		Memory   nvidiaMemory `xml:"fb_memory_usage"`
		UUID     string       `xml:"uuid"`
	}
	nvidiaProcess struct {
		PID      uint32 `xml:"pid"`
		Used     string `xml:"used_memory"`
		GPU      string `xml:"gpu_instance_id"`
		Instance string `xml:"compute_instance_id"`
	}
)

// readNVIDIA understands nvidia-smi.
func readNVIDIA(_ string, output []byte) ([]gpu.Facts, error) {
	var log nvidiaLog
	if err := xml.Unmarshal(output, &log); err != nil {
		return nil, fmt.Errorf("cannot understand nvidia-smi: %w", err)
	}
	var all []gpu.Facts
	for index, g := range log.GPUs {
		minor, err := strconv.ParseUint(strings.TrimSpace(g.Minor), 10, 16)
		if err != nil {
			continue // a GPU that is lost has no number, and so no device
		}
		f := gpu.Facts{Node: fmt.Sprintf("/dev/nvidia%d", minor), UUID: oneLine(g.UUID), Model: oneLine(g.Model), Health: g.health(), Memory: nvidiaBytes(g.Memory.Total)}
		f.Now = nvidiaLoad(g.Busy, g.Memory.Used)
		for _, p := range g.Processes {
			f.Processes = append(f.Processes, gpu.Process{PID: p.PID, Memory: nvidiaBytes(p.Used)})
		}
		all = append(all, f)
		for _, m := range g.MIG {
			all = append(all, g.instance(f, index, m))
		}
	}
	return all, nil
}

// instance is a part of a GPU. The tool does not tell how busy it is.
func (g nvidiaGPU) instance(whole gpu.Facts, index int, m nvidiaMIG) gpu.Facts {
	f := gpu.Facts{Node: whole.Node, Part: fmt.Sprintf("%d:%s", index, oneLine(m.Index)), UUID: oneLine(m.UUID), Model: whole.Model + " (instance)", Health: whole.Health,
		Memory: nvidiaBytes(m.Memory.Total)}
	for _, p := range g.Processes {
		if p.GPU == m.GPU && p.Instance == m.Instance {
			f.Processes = append(f.Processes, gpu.Process{PID: p.PID, Memory: nvidiaBytes(p.Used)})
		}
	}
	return f
}

// health says what is wrong with a GPU, for people.
func (g nvidiaGPU) health() string {
	yes := func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), "yes") }
	some := func(list ...string) bool {
		for _, s := range list {
			if n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 64); err == nil && n > 0 {
				return true
			}
		}
		return false
	}
	recovery := strings.TrimSpace(g.Recovery)
	switch {
	case strings.Contains(g.Busy+g.Memory.Used+g.Memory.Total, "ERR!"):
		return "the driver cannot talk to it (ERR!)"
	case yes(g.Reset), recovery != "" && recovery != "None" && recovery != "N/A":
		return "it must be reset" + words(": the driver asks for ", recovery)
	case yes(g.Rows.Failure):
		return "its memory has failed (row remapping failure): it must be replaced"
	case some(g.ECC.SRAM, g.ECC.SRAM2, g.ECC.SRAM3, g.ECC.DRAM, g.ECC.Double):
		return "its memory had errors that could not be corrected: it must be reset"
	case yes(g.Rows.Pending):
		return "memory rows wait to be remapped: it must be reset"
	}
	return ""
}

func words(before, text string) string {
	if text = oneLine(text); text == "" || text == "None" || text == "N/A" {
		return ""
	}
	return before + text
}

// nvidiaLoad reads "12 %" and "34 MiB"; "N/A" is not known.
func nvidiaLoad(busy, used string) gpu.Load {
	share, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(busy), "%")), 64)
	if err != nil || share < 0 || share > 100 {
		return gpu.Load{}
	}
	return gpu.Load{Known: true, Busy: share / 100, Memory: nvidiaBytes(used)}
}

func nvidiaBytes(text string) uint64 {
	number, unit, _ := strings.Cut(strings.TrimSpace(text), " ")
	n, err := strconv.ParseUint(number, 10, 40)
	factor, ok := map[string]uint64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[unit]
	if err != nil || !ok {
		return 0
	}
	return n * factor
}
