package gpuwatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

const (
	// toolTime is more than nvidia-smi needs without its persistence daemon: some seconds for
	// each GPU that it has to wake.
	toolTime  = 20 * time.Second
	maxOutput = 4 << 20
)

// errNoTool says that the host does not have a tool.
var errNoTool = errors.New("there is no such tool")

// bounded keeps the beginning of what is written to it.
type bounded struct {
	bytes.Buffer
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxOutput {
		b.over = true
		return len(p), nil
	}
	return b.Buffer.Write(p)
}

// runTool runs a program of the path. It is killed when ctx ends.
func runTool(ctx context.Context, name string, args ...string) ([]byte, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, errNoTool
	}
	cmd := exec.CommandContext(ctx, path, args...)
	var out, failure bounded
	cmd.Stdout, cmd.Stderr = &out, &failure
	// With all that it has started.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// One that hangs in the driver cannot be killed, and its output not be waited for.
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("%s has not answered within %s; the driver may hang: journalctl -k", path, toolTime)
	case err != nil:
		said := oneLine(failure.String() + " " + out.String())
		return nil, fmt.Errorf("%s failed (%w): %s", path, err, said)
	case out.over:
		return nil, fmt.Errorf("%s wrote more than %d bytes", path, maxOutput)
	}
	return out.Bytes(), nil
}
