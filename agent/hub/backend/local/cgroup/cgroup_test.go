package cgroup

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// files makes a file system of names and texts.
func files(pairs ...string) fstest.MapFS {
	all := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return all
}

const (
	cpuStat = "sys/fs/cgroup/jupyter.slice/jupyter-alice.service/cpu.stat"
	memory  = "sys/fs/cgroup/jupyter.slice/jupyter-alice.service/memory.current"
)

func TestRead(t *testing.T) {
	const twoSeconds = "usage_usec 2000000\n"
	tests := map[string]struct {
		files fstest.MapFS
		want  Reading
		ok    bool
	}{
		"as the kernel writes them": {files(cpuStat, "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\n",
			memory, "4096\n"), Reading{1234567 * time.Microsecond, 4096}, true},
		"not the first line":  {files(cpuStat, "x 1\nusage_usec 5\n"), Reading{5 * time.Microsecond, -1}, true},
		"no such unit":        {files(), Reading{}, false},
		"no such line":        {files(cpuStat, "user_usec 1\n"), Reading{}, false},
		"no number":           {files(cpuStat, "usage_usec many\n"), Reading{}, false},
		"memory alone":        {files(memory, "4096\n"), Reading{}, false},
		"no memory":           {files(cpuStat, twoSeconds), Reading{2 * time.Second, -1}, true},
		"no number of memory": {files(cpuStat, twoSeconds, memory, "max\n"), Reading{2 * time.Second, -1}, true},
		"no end of line":      {files(cpuStat, twoSeconds, memory, "1"), Reading{2 * time.Second, 1}, true},
	}
	alice, err := ident.ParseKey("alice", "")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := New(tt.files).Read(t.Context(), alice)
			if got != tt.want || ok != tt.ok {
				t.Errorf("%+v, %v; want %+v, %v", got, ok, tt.want, tt.ok)
			}
			cpu, ok := New(tt.files).CPU(t.Context(), alice)
			if cpu != tt.want.CPU || ok != tt.ok {
				t.Errorf("CPU time %v, %v; want %v, %v", cpu, ok, tt.want.CPU, tt.ok)
			}
		})
	}
}

func TestSiblings(t *testing.T) {
	const own, procs = "proc/self/cgroup", "sys/fs/cgroup/system.slice/gifford-hub.service/cgroup.procs"
	const group = "0::/system.slice/gifford-hub.service\n"
	tests := map[string]struct {
		files fstest.MapFS
		want  int
	}{
		"two older": {files(own, "1:name=systemd:/\n"+group, procs, "7\n8\n9\n10\n11\n", "proc/7/comm", "gifford-hub\n",
			"proc/8/comm", "gifford-hub\n", "proc/9/comm", "gifford-hub\n", "proc/10/comm", "podman\n"), 2},
		"none but this one": {files(own, group, procs, "9\n", "proc/9/comm", "gifford-hub\n"), 0},
		"no group":          {files(), 0},
		"no unified group":  {files(own, "1:name=systemd:/\n", procs, "7\n", "proc/7/comm", "gifford-hub\n"), 0},
		"no processes":      {files(own, group), 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := New(tt.files).Siblings("gifford-hub", 9); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}
