// Package cgroup reads what the kernel counts of units in the unified cgroup hierarchy (cgroup-v2): CPU time, memory in
// use, and the processes of a service. Everybody may read these files. The package must never write there.
package cgroup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Slice is the slice in which the launcher puts the members' units (agent/root/unit).
const Slice = "jupyter.slice"

// Where the files are below the root of the host.
const (
	hierarchy = "sys/fs/cgroup"
	ownGroup  = "proc/self/cgroup"
)

// Host reads below the root directory of a host.
type Host struct{ root fs.FS }

// New returns a Host whose root directory is root, such as os.DirFS("/").
func New(root fs.FS) Host { return Host{root} }

// Reading is what the kernel counts of one unit.
type Reading struct {
	CPU    time.Duration // CPU time since the unit started
	Memory int64         // bytes in use; -1 where nobody counts them
}

// CPU returns the CPU time of a server's unit since it started; ok is false where that cannot be read, as for a unit
// that does not run.
func (h Host) CPU(_ context.Context, key ident.Key) (cpu time.Duration, ok bool) {
	f, err := h.root.Open(path.Join(hierarchy, Slice, key.Unit(), "cpu.stat"))
	if err != nil {
		return 0, false
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "usage_usec "); ok {
			micros, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return 0, false
			}
			return time.Duration(micros) * time.Microsecond, true
		}
	}
	return 0, false
}

// Read returns the counters of a server's unit; ok is false where not even CPU time can be read. Without the memory
// controller, as on a host with the hybrid hierarchy of cgroup-v1, the memory is -1.
func (h Host) Read(ctx context.Context, key ident.Key) (r Reading, ok bool) {
	cpu, ok := h.CPU(ctx, key)
	if !ok {
		return Reading{}, false
	}
	memory, err := h.number(path.Join(hierarchy, Slice, key.Unit(), "memory.current"))
	if err != nil {
		memory = -1
	}
	return Reading{CPU: cpu, Memory: memory}, true
}

// number reads a file that holds one number.
func (h Host) number(name string) (int64, error) {
	f, err := h.root.Open(name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	text, err := bufio.NewReader(f).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(text), 10, 64)
}

// Siblings counts the processes in the cgroup of this process that run the program command (as in /proc/PID/comm) and
// are not the process self. It is 0 where that cannot be read.
func (h Host) Siblings(command string, self int) int {
	group, err := h.own()
	if err != nil {
		return 0
	}
	pids, err := fs.ReadFile(h.root, path.Join(hierarchy, group, "cgroup.procs"))
	if err != nil {
		return 0
	}
	count := 0
	for pid := range strings.FieldsSeq(string(pids)) {
		name, err := fs.ReadFile(h.root, path.Join("proc", pid, "comm"))
		if err == nil && strings.TrimSpace(string(name)) == command && pid != strconv.Itoa(self) {
			count++
		}
	}
	return count
}

// own returns the path of this process's cgroup below the hierarchy.
func (h Host) own() (string, error) {
	text, err := fs.ReadFile(h.root, ownGroup)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if group, unified := strings.CutPrefix(strings.TrimSpace(line), "0::"); unified {
			return group, nil
		}
	}
	return "", fmt.Errorf("/%s names no group of the unified hierarchy", ownGroup)
}
