package hub

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/accounting"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// accounting makes what accounts for the servers.
func (h *instance) accounting() (err error) {
	h.usage, err = accounting.New(accounting.Config{Backend: h.launcher, Records: h.store,
		Counters: counters(os.DirFS("/sys/fs/cgroup")), Log: h.log})
	return err
}

// counters reads the counters of units below the cgroup file system (cgroup-v2: cpu.stat
// and memory.current, which everybody may read). Without the memory controller, as on a
// host with the hybrid hierarchy of cgroup-v1, there is no memory.current.
func counters(cgroups fs.FS) func(context.Context, ident.Key) (accounting.Counters, bool) {
	processor := processorUse(cgroups)
	return func(ctx context.Context, key ident.Key) (accounting.Counters, bool) {
		cpu, ok := processor(ctx, key)
		if !ok {
			return accounting.Counters{}, false
		}
		memory, err := firstNumber(cgroups, path.Join(slice, key.Unit(), "memory.current"))
		if err != nil {
			memory = -1
		}
		return accounting.Counters{CPU: cpu, Memory: memory}, true
	}
}

// firstNumber reads a file that holds a number.
func firstNumber(cgroups fs.FS, name string) (int64, error) {
	f, err := cgroups.Open(name)
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
