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

// describe adds the owner of a process, its name and the system unit that it is in. It only returns the number of one
// that is gone or hidden.
func (p processes) describe(q gpu.Process) gpu.Process {
	dir := filepath.Join(string(p), fmt.Sprint(q.PID))
	// The directory's owner is not the process's: root owns that of a process that cannot be traced.
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

// unitOf returns the system unit of a control group, as proc(5)'s cgroup file has it: the outermost service or scope. A
// delegated unit names the groups below it itself.
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

// uidOf reads the real user of a process: "Uid:", real, effective, saved, file system's. The process's name precedes it
// and has no line end (proc(5) escapes it).
func uidOf(status string) uint32 {
	for line := range strings.Lines(status) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "Uid:" {
			uid, _ := strconv.ParseUint(fields[1], 10, 32)
			return uint32(uid)
		}
	}
	return 0
}
