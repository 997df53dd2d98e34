package gpuwatch

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
)

// health describes a fault of a GPU, for people.
func (g nvidiaGPU) health() string {
	fields := g.Busy + g.Memory.Used + g.Memory.Total + g.Recovery + g.Reset + g.UUID + g.Model
	recovery := oneLine(g.Recovery)
	switch {
	case strings.Contains(fields, "GPU is lost"):
		return "the driver has lost it: the host must be restarted"
	case strings.Contains(fields, "ERR!"), strings.Contains(fields, "Unknown Error"):
		return "the driver cannot talk to it (ERR!)"
	case yes(g.Reset):
		return "it must be reset"
	case strings.HasPrefix(recovery, "Reset"), strings.HasPrefix(recovery, "Reboot"),
		strings.HasPrefix(recovery, "Drain"):
		return "the driver asks for it to be recovered: " + recovery
	case yes(g.Rows.Failure):
		return "its memory has failed (row remapping failure): it must be replaced"
	case yes(g.Rows.Pending):
		return "memory rows wait to be remapped: it must be reset"
	}
	return g.ECC.health()
}

func (e nvidiaECC) health() string {
	for _, s := range []string{e.SRAM, e.Parity, e.SECDED, e.DRAM, e.Double} {
		if n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 64); err == nil && n > 0 {
			return "its memory had errors that could not be corrected: it must be reset"
		}
	}
	return ""
}

func yes(s string) bool { return strings.EqualFold(strings.TrimSpace(s), "yes") }

// The parts that may not be well-formed: some drivers' lists of clocks, and names of processes, which members choose
// and the tool does not escape.
var (
	clocks   = regexp.MustCompile(`(?s)<supported_clocks>.*?</supported_clocks>`)
	ofOne    = regexp.MustCompile(`<process_name>.*</process_name>`)
	ofMany   = regexp.MustCompile(`(?s)<process_name>.*?</process_name>`)
	document = []byte("<nvidia_smi_log")
)

// harmless returns the document without those parts. Warnings may precede it.
func harmless(output []byte) ([]byte, error) {
	start := bytes.Index(output, document)
	if start < 0 {
		return nil, errors.New("cannot parse the output of nvidia-smi: " +
			oneLine(string(output[:min(len(output), 2000)])))
	}
	output = output[start:]
	for _, without := range []*regexp.Regexp{clocks, ofOne, ofMany} {
		output = without.ReplaceAll(output, nil)
	}
	return output, nil
}

var nvidiaNode = regexp.MustCompile(`^/dev/nvidia[0-9]+$`)

// lostNVIDIA returns the GPUs of the specifications that are missing in an answer of nvidia-smi, which leaves out those
// that the driver has lost. before is what was known of them.
func lostNVIDIA(reported, before []gpu.Facts, inv gpu.Inventory) (lost []gpu.Facts) {
	var nodes []string
	for _, d := range inv.Devices {
		nodes = append(nodes, d.Nodes...)
	}
	slices.Sort(nodes)
	for _, node := range slices.Compact(nodes) {
		is := func(f gpu.Facts) bool { return f.Node == node && f.Part == "" }
		if !nvidiaNode.MatchString(node) || slices.ContainsFunc(reported, is) {
			continue
		}
		f := gpu.Facts{Node: node}
		if i := slices.IndexFunc(before, is); i >= 0 {
			f = still(before[i])
		}
		f.Health = "nvidia-smi does not report it: the driver may have lost it, or the specification is out of date"
		lost = append(lost, f)
	}
	return lost
}

// still returns the constant facts of a device.
func still(f gpu.Facts) gpu.Facts {
	f.Now, f.Hour, f.Busiest, f.Processes = gpu.Load{}, gpu.Load{}, gpu.Load{}, nil
	return f
}
