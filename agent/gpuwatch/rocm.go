package gpuwatch

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
)

// readROCm understands rocm-smi of ROCm 5 and 6, whose keys differ in their letters' case
// and in words in brackets.
func readROCm(sys string, output []byte) ([]gpu.Facts, error) {
	start := strings.IndexByte(string(output), '{') // warnings come before
	if start < 0 {
		return nil, fmt.Errorf("cannot understand rocm-smi: %s", oneLine(string(output)))
	}
	var raw map[string]map[string]string
	if err := json.Unmarshal(output[start:], &raw); err != nil {
		return nil, fmt.Errorf("cannot understand rocm-smi: %w", err)
	}
	var all []gpu.Facts
	for _, card := range slices.Sorted(maps.Keys(raw)) {
		keys := lower(raw[card])
		node := renderNode(sys, keys["pci bus"])
		if !strings.HasPrefix(card, "card") || node == "" {
			continue // nothing tells which device it is
		}
		f := gpu.Facts{Node: node, UUID: oneLine(known(keys["unique id"])),
			Model: oneLine(first(keys, "card series", "card model", "card sku")), Memory: number64(keys["vram total memory (b)"])}
		if busy, err := strconv.ParseFloat(strings.TrimSuffix(keys["gpu use (%)"], "%"), 64); err == nil && busy >= 0 && busy <= 100 {
			f.Now = gpu.Load{Known: true, Busy: busy / 100, Memory: number64(keys["vram total used memory (b)"])}
		}
		all = append(all, f)
	}
	addROCmProcesses(all, raw["system"])
	return all, nil
}

// renderNode gives the device node of a PCI device ("0000:03:00.0"). The tool's own numbers
// leave out cards of other drivers, such as a server's own display.
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

// addROCmProcesses reads "PID1234": "python, 1, 104857600, 0, 0": name, number of GPUs,
// memory, and what does not count here. Which GPUs they are is not told, so a process is
// named where there is one GPU alone.
func addROCmProcesses(all []gpu.Facts, system map[string]string) {
	if len(all) != 1 {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(system)) {
		pid, err := strconv.ParseUint(strings.TrimPrefix(key, "PID"), 10, 32)
		fields := strings.Split(system[key], ",")
		if err != nil || !strings.HasPrefix(key, "PID") || len(fields) < 3 || strings.TrimSpace(fields[1]) == "0" {
			continue
		}
		all[0].Processes = append(all[0].Processes, gpu.Process{PID: uint32(pid), Command: oneLine(fields[0]), Memory: number64(strings.TrimSpace(fields[2]))})
	}
}

func lower(m map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[strings.ToLower(strings.TrimSpace(k))] = strings.TrimSpace(v)
	}
	return out
}

// first gives the first value that tells something.
func first(keys map[string]string, names ...string) string {
	for _, n := range names {
		if v := known(keys[n]); v != "" {
			return v
		}
	}
	return ""
}

func known(v string) string {
	if strings.EqualFold(v, "N/A") {
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
