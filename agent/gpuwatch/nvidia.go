package gpuwatch

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
)

// The parts of "nvidia-smi -q -x" that are read (nvsmi_device_v*.dtd; except for ECC errors the names are the same
// since driver 418).
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
		ECC    nvidiaECC    `xml:"ecc_errors>volatile"`
		Rows   struct {
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
	// Errors that could not be corrected since the driver was loaded, by the names of Ampere,
	// of drivers since 530, and of what was before Ampere.
	nvidiaECC struct {
		SRAM   string `xml:"sram_uncorrectable"`
		Parity string `xml:"sram_uncorrectable_parity"`
		SECDED string `xml:"sram_uncorrectable_secded"`
		DRAM   string `xml:"dram_uncorrectable"`
		Double string `xml:"double_bit>total"`
	}
	nvidiaMIG struct {
		Index    string       `xml:"index"`
		GPU      string       `xml:"gpu_instance_id"`
		Instance string       `xml:"compute_instance_id"`
		Memory   nvidiaMemory `xml:"fb_memory_usage"`
		ECC      nvidiaECC    `xml:"ecc_error_count>volatile_count"`
		UUID     string       `xml:"uuid"`
	}
	nvidiaProcess struct {
		PID      uint32 `xml:"pid"`
		Used     string `xml:"used_memory"`
		GPU      string `xml:"gpu_instance_id"`
		Instance string `xml:"compute_instance_id"`
	}
)

// readNVIDIA reads the answer of nvidia-smi.
func readNVIDIA(_ string, output []byte) ([]gpu.Facts, error) {
	document, err := harmless(output)
	if err != nil {
		return nil, err
	}
	var log nvidiaLog
	if err := xml.Unmarshal(document, &log); err != nil {
		return nil, fmt.Errorf("cannot parse the output of nvidia-smi: %w", err)
	}
	var all []gpu.Facts
	for index, g := range log.GPUs {
		minor, err := strconv.ParseUint(strings.TrimSpace(g.Minor), 10, 16)
		if err != nil {
			continue // one that is lost may have no number: lostNVIDIA names it by its device
		}
		f := gpu.Facts{Node: fmt.Sprintf("/dev/nvidia%d", minor), UUID: oneLine(known(g.UUID)),
			Model: oneLine(known(g.Model)), Health: g.health(), Memory: nvidiaBytes(g.Memory.Total)}
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

// instance describes a part of a GPU. The tool does not report how busy it is.
func (g nvidiaGPU) instance(whole gpu.Facts, index int, m nvidiaMIG) gpu.Facts {
	f := gpu.Facts{Node: whole.Node, Part: fmt.Sprintf("%d:%s", index, oneLine(m.Index)), UUID: oneLine(known(m.UUID)),
		Model: whole.Model + " (instance)", Health: cmp.Or(whole.Health, m.ECC.health()),
		Memory: nvidiaBytes(m.Memory.Total)}
	for _, p := range g.Processes {
		if p.GPU == m.GPU && p.Instance == m.Instance {
			f.Processes = append(f.Processes, gpu.Process{PID: p.PID, Memory: nvidiaBytes(p.Used)})
		}
	}
	return f
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
	n, err := strconv.ParseUint(number, 10, 32)
	factor, ok := map[string]uint64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[unit]
	if err != nil || !ok {
		return 0
	}
	return n * factor
}
