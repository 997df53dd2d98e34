package gpuwatch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
)

const maxCards = 64 // as many minors of render nodes as there are (Linux, drm_drv.c)

// readROCm reads the answer of rocm-smi of ROCm 5 and 6, whose keys differ in the case of letters and in words in
// brackets.
func readROCm(sys string, output []byte) ([]gpu.Facts, error) {
	start := strings.IndexByte(string(output), '{') // warnings come before
	if start < 0 {
		return nil, fmt.Errorf("cannot parse the output of rocm-smi: %s", oneLine(string(output)))
	}
	var raw map[string]any
	decoder := json.NewDecoder(bytes.NewReader(output[start:]))
	decoder.UseNumber() // bytes are not to be rounded
	if err := decoder.Decode(&raw); err != nil {
		return nil, fmt.Errorf("cannot parse the output of rocm-smi: %w", err)
	}
	var all []gpu.Facts
	for number := range maxCards {
		keys := lower(raw[fmt.Sprintf("card%d", number)])
		node := renderNode(sys, keys["pci bus"])
		if node == "" {
			continue // nothing reports which device it is
		}
		f := gpu.Facts{Node: node, UUID: oneLine(first(keys, "unique id")),
			Model:  oneLine(first(keys, "card series", "card model", "device name", "card sku")),
			Memory: number64(keys["vram total memory (b)"])}
		if busy, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(keys["gpu use (%)"], "%")),
			64); err == nil && busy >= 0 && busy <= 100 {
			f.Now = gpu.Load{Known: true, Busy: busy / 100, Memory: number64(keys["vram total used memory (b)"])}
		}
		all = append(all, f)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("rocm-smi reports no GPU: %s", oneLine(string(output[:min(len(output), 2000)])))
	}
	addROCmProcesses(all, raw["system"])
	return all, nil
}

// renderNode returns the device node of a PCI device ("0000:03:00.0"). The tool's own numbers skip cards of other
// drivers, such as a host's own display.
func renderNode(sys, bus string) string {
	if !filepath.IsLocal(bus) || strings.ContainsAny(bus, "/*?[\\") {
		return ""
	}
	found, err := filepath.Glob(filepath.Join(sys, "bus/pci/devices", strings.ToLower(bus), "drm", "renderD*"))
	if err != nil || len(found) == 0 {
		return ""
	}
	return "/dev/dri/" + filepath.Base(found[0])
}

// addROCmProcesses reads "PID1234": "python, 1, 104857600, 0, 0": name, number of GPUs, memory, and two that are not
// used. The owner chooses the name, which may have commas, so fields are counted from the end. The tool does not report
// which GPUs a process uses, so processes are only added where there is one GPU.
func addROCmProcesses(all []gpu.Facts, system any) {
	reported, ok := system.(map[string]any)
	if !ok || len(all) != 1 {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(reported)) {
		id, isPID := strings.CutPrefix(key, "PID")
		pid, err := strconv.ParseUint(strings.TrimSpace(id), 10, 32)
		fields := strings.Split(fmt.Sprint(reported[key]), ",")
		n := len(fields)
		if !isPID || err != nil || n < 5 || number64(strings.TrimSpace(fields[n-4])) == 0 {
			continue
		}
		name := oneLine(strings.Join(fields[:n-4], ","))
		all[0].Processes = append(all[0].Processes, gpu.Process{PID: uint32(pid), Command: name,
			Memory: number64(strings.TrimSpace(fields[n-3]))})
	}
}

// lower returns the keys and values of a card in one form: ROCm 5 writes all values as texts.
func lower(card any) map[string]string {
	m, ok := card.(map[string]any)
	if !ok {
		return nil
	}
	out := map[string]string{}
	for k, v := range m {
		text, ok := v.(string)
		if n, isNumber := v.(json.Number); isNumber {
			text, ok = n.String(), true
		}
		if ok {
			out[strings.ToLower(strings.TrimSpace(k))] = strings.TrimSpace(text)
		}
	}
	return out
}

// first returns the first known value.
func first(keys map[string]string, names ...string) string {
	for _, n := range names {
		if v := known(keys[n]); v != "" {
			return v
		}
	}
	return ""
}

func known(v string) string {
	switch v = strings.TrimSpace(v); strings.ToUpper(v) {
	case "N/A", "[N/A]":
		return ""
	}
	return v
}

func number64(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
