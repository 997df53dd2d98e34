package accounts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	timeout   = 10 * time.Second // for one question; a directory that is away must not hold up the caller for longer
	maxAnswer = 1 << 20          // bytes; a group's line holds all its members
	nobody    = 65534            // the kernel's overflow id, "nobody" on every supported system
	notFound  = 2                // getent(1): "One or more supplied key could not be found in the database"
)

// get asks for one key and gives the answer's only line.
func (d Directory) get(ctx context.Context, database, key string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	command := d.Command
	if command == "" {
		command = Getent
	}
	cmd := exec.CommandContext(ctx, command, database, key)
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = unprivileged()
	var out bounded
	cmd.Stdout = &out
	return answer(command, &out, cmd.Run())
}

// bounded keeps an answer up to maxAnswer; beyond that the child's writing fails.
type bounded struct{ buffer bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.buffer.Len()+len(p) > maxAnswer {
		return 0, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return b.buffer.Write(p)
}

func answer(command string, out *bounded, err error) (string, error) {
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == notFound:
		return "", ErrNotFound
	case err != nil:
		return "", fmt.Errorf("%s: no answer from the name service: %w", command, err)
	}
	line, more, _ := strings.Cut(out.buffer.String(), "\n")
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
