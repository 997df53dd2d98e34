package handover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// defaultTimeout is for a Config that sets none: opening the database and
// running its migrations fits in it many times over.
const defaultTimeout = 60 * time.Second

// Config is what a successor is started with.
type Config struct {
	// Path is the new binary, absolute.
	Path string
	// Args are its arguments, without the program's name.
	Args []string
	// Listeners are the sockets to hand over, as Listeners returned them. They
	// stay open here.
	Listeners map[string][]net.Listener
	// Timeout is how long the new process may take to Announce itself; 0 means
	// a minute.
	Timeout time.Duration
	// Stderr is the standard error of the new process; nil means
	// os.Stderr.
	Stderr *os.File
}

func (cfg *Config) check() error {
	if !filepath.IsAbs(cfg.Path) {
		return fmt.Errorf("start the new hub: the path %q is not absolute", cfg.Path)
	}
	if len(cfg.Listeners) == 0 {
		return fmt.Errorf("start the new hub: %w", ErrNoListeners)
	}
	for name := range cfg.Listeners {
		if name == "" || strings.Contains(name, ":") {
			return fmt.Errorf("start the new hub: the listener name %q is empty or has a colon", name)
		}
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Stderr == nil {
		cfg.Stderr = os.Stderr
	}
	return nil
}

// Successor starts a new hub and returns nil once it has announced itself to
// systemd and serves the same sockets. The caller then closes its listeners, drains (Drainer) and
// exits without sending Stopping, which systemd would apply to the new process. On an error no new
// process is left and the caller continues to serve; the error has the last lines that the new
// process wrote to standard error, which cfg.Stderr gets too. The end of ctx, like Timeout, ends
// the new process.
func Successor(ctx context.Context, cfg Config) error {
	if err := cfg.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.Timeout,
		fmt.Errorf("not ready within %s", cfg.Timeout))
	defer cancel()
	started, err := spawn(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = started.ready.Close() }()
	output := record(started.stderr, cfg.Stderr)
	if err := started.await(ctx); err != nil {
		return fmt.Errorf("new hub %s: %w; the old one continues to serve%s", cfg.Path, err, output.last())
	}
	// The caller may exit soon: forward all output of the new process first.
	output.wait()
	return nil
}

// await reaps the intermediate and follows the ready pipe.
func (c *child) await(ctx context.Context) error {
	exited := make(chan error, 1)
	go func() { exited <- reap(c.intermediate) }()
	stop := context.AfterFunc(ctx, func() {
		_ = c.ready.SetReadDeadline(time.Now()) // wakes follow
	})
	defer stop()
	pid, ready, err := follow(c.ready)
	if ready {
		return nil // Announce waited for the intermediate's end
	}
	if err == nil { // the end of the pipe: the process that held it has ended
		if err := <-exited; err != nil {
			return fmt.Errorf("it was not started: %w", err)
		}
		return errors.New("it ended before it was ready")
	}
	// The pipe is still open, so the processes run and their pids have not been reused.
	_ = c.intermediate.Kill() // it has mostly ended before
	if pid > 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-exited
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("it was killed: %w", err)
}

func reap(process *os.Process) error {
	state, err := process.Wait()
	if err != nil {
		return fmt.Errorf("wait for the intermediate process: %w", err)
	}
	if !state.Success() {
		return fmt.Errorf("the intermediate process ended with %s", state)
	}
	return nil
}

// follow reads the ready pipe until the new process is ready, or until all processes that hold its
// other end have ended (ready false, no error).
func follow(pipe *os.File) (pid int, ready bool, err error) {
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		if lines.Text() == strings.TrimSpace(readyLine) {
			return pid, true, nil
		}
		if text, ok := strings.CutPrefix(lines.Text(), pidPrefix); ok {
			if pid, err = strconv.Atoi(text); err != nil {
				return 0, false, fmt.Errorf("read the new process's pid: %w", err)
			}
		}
	}
	return pid, false, lines.Err()
}

// lastLines returns at most n lines from the end of text.
func lastLines(text string, n int) string {
	lines := slices.Collect(strings.Lines(strings.TrimSpace(text)))
	return strings.Join(lines[max(0, len(lines)-n):], "")
}
