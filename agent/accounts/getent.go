package accounts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/capped"
)

const (
	timeout   = 10 * time.Second // for one question; a directory that is away must not hold up the caller for longer
	maxAnswer = 1 << 20          // bytes; a group's line holds all its members
	nobody    = 65534            // the kernel's overflow id, "nobody" on every supported system
	notFound  = 2                // getent(1): "One or more supplied key could not be found in the database"
)

// get asks for one key and returns the answer's only line.
func (d Directory) get(ctx context.Context, database, key string) (string, error) {
	return d.run(ctx, database, key)
}

func (d Directory) command() string { return cmp.Or(d.Command, Getent) }

// run runs getent(1) and returns the only line of its output.
func (d Directory) run(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	command := d.command()
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = unprivileged()
	out := capped.New(maxAnswer)
	cmd.Stdout = out
	return answer(command, out, cmd.Run())
}

func answer(command string, out *capped.Buffer, err error) (string, error) {
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == notFound:
		return "", ErrNotFound
	case err != nil:
		return "", fmt.Errorf("%s: no answer from the name service: %w", command, err)
	}
	line, more, _ := strings.Cut(string(out.Bytes()), "\n")
	if more != "" {
		return "", fmt.Errorf("%s: more than one line in the answer", command)
	}
	return line, nil
}

// unprivileged drops root: libraries of the name service that getent loads need none.
func unprivileged() *syscall.SysProcAttr {
	if os.Geteuid() != 0 {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}
