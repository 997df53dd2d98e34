package gpuwatch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/capped"
)

const (
	// toolTime exceeds what nvidia-smi needs without its persistence daemon: some seconds for each GPU that it has to
	// wake.
	toolTime  = 20 * time.Second
	maxOutput = 4 << 20
)

// ErrNoTool says that the host does not have a tool.
var ErrNoTool = errors.New("tool not found")

// runner runs tools. A tool that hangs in the driver cannot be killed (proc(5), state D). runner abandons it and does
// not start it again while it exists.
type runner struct {
	mu   sync.Mutex // guards busy
	busy map[string]bool
}

// begin reports whether the tool may be started.
func (r *runner) begin(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[name] {
		return false
	}
	if r.busy == nil {
		r.busy = map[string]bool{}
	}
	r.busy[name] = true
	return true
}

func (r *runner) end(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, name)
}

// run runs a program of the path until ctx ends. It returns the error of one that failed and what it wrote.
func (r *runner) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, ErrNoTool
	}
	if !r.begin(name) {
		return nil, hangs(path)
	}
	type answer struct {
		out []byte
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		out, err := output(ctx, path, args...)
		r.end(name)
		answers <- answer{out, err}
	}()
	select {
	case a := <-answers:
		return a.out, a.err
	case <-ctx.Done():
	}
	select { // it was killed, and ends at once
	case a := <-answers:
		return a.out, a.err
	case <-time.After(2 * time.Second):
		return nil, hangs(path)
	}
}

func hangs(path string) error {
	return fmt.Errorf("%s has not answered within %s; the driver may hang: journalctl -k", path, toolTime)
}

func output(ctx context.Context, path string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	out, failure := capped.New(maxOutput), capped.New(maxOutput)
	cmd.Stdout, cmd.Stderr = out, failure
	// With all processes that it has started.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // for output of processes that have left the group
	err, over := cmd.Run(), cmp.Or(out.Err(), failure.Err())
	switch {
	case err == nil:
		return out.Bytes(), nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, hangs(path)
	case over != nil:
		return nil, fmt.Errorf("%s failed: %w", path, over)
	}
	return out.Bytes(), fmt.Errorf("%s failed (%w): %s", path, err,
		oneLine(head(failure.Bytes())+" "+head(out.Bytes())))
}

// head returns what a tool writes before its document.
func head(out []byte) string {
	text, _, _ := bytes.Cut(out, []byte("<?xml"))
	return string(text[:min(len(text), 2000)])
}
