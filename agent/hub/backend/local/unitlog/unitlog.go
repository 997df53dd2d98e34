// Package unitlog reads the journal of one unit through journalctl, which the process must be allowed to read (group
// systemd-journal). It must never be called with a unit that is not a Jupyter server's: callers pass the name made by
// ident.Key.Unit.
package unitlog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/printable"
)

// maxLine bounds one line that is passed on, in characters. The journal has the whole line.
const maxLine = 2000

// Reader runs journalctl.
type Reader struct {
	// Command is journalctl's path.
	Command string
}

// args selects what the unit's processes wrote and what systemd wrote about the unit, since a time, as bare messages
// (journalctl(1), output "cat").
func args(unit string, since time.Time) []string {
	return []string{"--quiet", "--no-pager", "--output=cat", "--all", "--unit=" + unit,
		fmt.Sprintf("--since=@%d.%06d", since.Unix(), since.Nanosecond()/1000)}
}

// Tail returns the last n lines of the unit written since the given time. It reads all of them. With --lines, systemd
// 252's journalctl searches from the end and may omit the newest entries of a unit whose entries are in two files, the
// system's and the member's.
func (r Reader) Tail(ctx context.Context, unit string, since time.Time, n int) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends journalctl when its output cannot be read
	cmd := exec.CommandContext(ctx, r.Command, args(unit, since)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("journal of %s: %w", unit, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("journal of %s: %w", unit, err)
	}
	var lines []string
	readErr := eachLine(out, func(line string) {
		lines = append(lines[max(0, len(lines)+1-n):], line)
	})
	if readErr != nil {
		cancel()
	}
	if err := errors.Join(readErr, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("journal of %s: %w: %s", unit, err, strings.TrimSpace(stderr.String()))
	}
	return lines, nil
}

// Follow calls line for each line of the unit written since the given time, until ctx
// ends; then it returns nil.
func (r Reader) Follow(ctx context.Context, unit string, since time.Time, line func(string)) error {
	cmd := exec.CommandContext(ctx, r.Command, append(args(unit, since), "--follow", "--lines=all")...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("journal of %s: %w", unit, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("journal of %s: %w", unit, err)
	}
	readErr := eachLine(out, line)
	if readErr != nil {
		// A line too long to read ends the reading. Otherwise journalctl would block on the full pipe.
		_ = cmd.Process.Kill()
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(readErr, err)
}

func eachLine(r io.Reader, line func(string)) error {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 0, 4096), 1<<20)
	for scanner.Scan() {
		line(printable.Cut(printable.Text(scanner.Text()), maxLine))
	}
	return scanner.Err()
}
