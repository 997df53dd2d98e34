package gpuwatch

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
)

// processes is a proc file system (proc(5)).
type processes string

// describe adds whose a process is, what it is called and the system unit that it is in. Of
// one that is gone, or hidden, the number stays.
func (p processes) describe(q gpu.Process) gpu.Process {
	dir := filepath.Join(string(p), fmt.Sprint(q.PID))
	// Who owns the directory does not tell: root does, of a process that cannot be traced.
	if status, err := os.ReadFile(filepath.Join(dir, "status")); err == nil {
		q.UID = uidOf(string(status))
	}
	if comm, err := os.ReadFile(filepath.Join(dir, "comm")); err == nil {
		q.Command = oneLine(string(comm))
	}
	if group, err := os.ReadFile(filepath.Join(dir, "cgroup")); err == nil {
		q.Unit = unitOf(string(group))
	}
	return q
}

// unitOf returns the system unit of a control group, as proc(5)'s cgroup file has it: the
// outermost service or scope. What lies below a delegated unit is
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

// uidOf reads the real user of a process: "Uid:", real, effective, saved, file system's.
// Its name stands before and has no line end (proc(5) escapes it).
func uidOf(status string) uint32 {
	for line := range strings.Lines(status) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "Uid:" {
			uid, _ := strconv.ParseUint(fields[1], 10, 32)
			return uint32(uid)
		}
	}
	return 0
}
