package memberpodman

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containers/podman/v4/pkg/api/handlers"
	"github.com/containers/podman/v4/pkg/bindings/containers"
	"github.com/sirupsen/logrus"

	"github.com/gifford-lab/gifford-hub/agent/printable"
)

// Exec is a command to run in the container.
type Exec struct {
	Command  []string
	Root     bool // as root of the container, else as the notebook's user
	Terminal bool // in a terminal of the caller's size; standard input must be one
	Env      []string
	// Stdin, Stdout and Stderr are this process's. With a terminal all goes to Stdout.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Run runs a command to its end and returns its exit status. Of what the member's Podman says, errors have no control
// character.
func (s *Session) Run(ctx context.Context, e Exec) (int, error) {
	status, err := s.run(ctx, e)
	if err != nil {
		err = errors.New(printable.Line(err.Error(), maxError))
	}
	return status, err
}

// maxError bounds an error that a member's Podman has made up, in characters.
const maxError = 1000

func (s *Session) run(ctx context.Context, e Exec) (int, error) {
	// The bindings log what goes wrong with the terminal; the caller has an error for that.
	logrus.SetOutput(io.Discard)
	conn, err := s.connect(ctx, !e.Terminal)
	if err != nil {
		return 0, err
	}
	id, err := containers.ExecCreate(conn, s.container, e.config())
	if err != nil {
		return 0, fmt.Errorf("cannot run a command in the container %s: %w", s.container, err)
	}
	err = containers.ExecStartAndAttach(conn, id, new(containers.ExecStartAndAttachOptions).
		WithInputStream(*bufio.NewReader(e.Stdin)).WithAttachInput(true).
		WithOutputStream(noClose{e.Stdout}).WithAttachOutput(true).
		WithErrorStream(noClose{e.Stderr}).WithAttachError(!e.Terminal))
	if ctx.Err() != nil {
		// Podman's API cannot end it, and its process number comes from the member: root must not signal that.
		return 0, errors.New("interrupted; the command goes on in the container until it ends or the server stops")
	} else if err != nil {
		return 0, fmt.Errorf("cannot run a command in the container %s: %w", s.container, err)
	}
	// ExecStartAndAttach has taken over the first connection.
	if conn, err = s.connect(ctx, false); err != nil {
		return 0, fmt.Errorf("cannot learn how the command ended: %w", err)
	}
	session, err := containers.ExecInspect(conn, id, nil)
	if err != nil {
		return 0, fmt.Errorf("cannot learn how the command ended: %w", err)
	}
	return session.ExitCode, nil
}

func (e Exec) config() *handlers.ExecCreateConfig {
	c := &handlers.ExecCreateConfig{}
	c.Cmd, c.Tty, c.Env = e.Command, e.Terminal, e.Env
	c.AttachStdin, c.AttachStdout, c.AttachStderr = true, true, !e.Terminal
	if e.Root {
		c.User = "root"
	}
	return c
}

// noClose stops the bindings from closing the caller's streams.
type noClose struct{ io.Writer }

func (noClose) Close() error { return nil }
