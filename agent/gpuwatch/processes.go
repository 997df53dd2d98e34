package gpuwatch

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
)

// processes is a proc file system (proc(5)).
type processes string

// describe adds whose a process is, what it is called and the system unit that it is in. Of
// one that is gone, or hidden, the number stays.
func (p processes) describe(q gpu.Process) gpu.Process {
	dir := filepath.Join(string(p), fmt.Sprint(q.PID))
	if info, err := os.Stat(dir); err == nil {
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			q.UID = s.Uid
		}
	}
	if comm, err := os.ReadFile(filepath.Join(dir, "comm")); err == nil {
		q.Command = oneLine(string(comm))
	}
	if group, err := os.ReadFile(filepath.Join(dir, "cgroup")); err == nil {
		q.Unit = unitOf(string(group))
	}
	return q
}

// unitOf gives the system unit of a control group, as proc(5)'s cgroup file has it: the
// innermost service or scope of the system's manager. What lies below a delegated unit is
// the unit's own matter.
func unitOf(text string) string {
	for line := range strings.Lines(text) {
		path, v2 := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !v2 {
			continue
		}
		for part := range strings.SplitSeq(path, "/") {
			if strings.HasSuffix(part, ".service") || strings.HasSuffix(part, ".scope") {
				return oneLine(part)
			}
		}
	}
	return ""
}
