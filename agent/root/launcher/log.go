package launcher

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/capped"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// cursorForm is sd_journal_get_cursor(3)'s in all versions of systemd that the package supports.
var cursorForm = regexp.MustCompile(`^s=[0-9a-f]{1,64};i=[0-9a-f]{1,32};b=[0-9a-f]{1,64};m=[0-9a-f]{1,32};` +
	`t=[0-9a-f]{1,32};x=[0-9a-f]{1,32}$`)

// Log returns the last lines of a server's unit. Of a unit that is gone only the name says whose it was; one that is
// there must be the launcher's.
func (l *Launcher) Log(ctx context.Context, r launcherbus.LogRequest) (launcherbus.Log, error) {
	if r.Lines < 1 || r.Lines > launcherbus.MaxLogLines {
		return launcherbus.Log{}, fail(launcherbus.Refused, "cannot return %d lines of a log, but 1 to %d", r.Lines,
			launcherbus.MaxLogLines)
	}
	if r.After != "" && !cursorForm.MatchString(r.After) {
		return launcherbus.Log{}, fail(launcherbus.Refused, "%.80q is no place in a log", r.After)
	}
	u, err := l.cfg.Units.Get(ctx, r.Key.Unit())
	if err != nil && !errors.Is(err, systemd.ErrNotLoaded) {
		return launcherbus.Log{}, err
	}
	if _, ours := contract.ReadMetadata(u.Name, u.Environment); err == nil && !ours {
		return launcherbus.Log{}, fail(launcherbus.Refused, "unit %q is none of a server", r.Key.Unit())
	}
	return l.cfg.Journal(ctx, r)
}

// Bounds of a reading of the journal.
const (
	journalctl   = "/usr/bin/journalctl"
	logTime      = 10 * time.Second
	logReaders   = 8         // at a time
	maxLogLine   = 8 << 10   // bytes; of a longer line the beginning counts
	maxLogBytes  = 256 << 10 // of an answer
	cursorPrefix = "-- cursor: "
)

// Journal reads the journal through journalctl, which may read what the group systemd-journal may. Make it with
// NewJournal.
type Journal struct {
	program string // journalctl; tests have another
	gid     uint32
	readers chan struct{}
}

// NewJournal returns the host's journal. gid is the group systemd-journal's; with 0 nothing can be read.
func NewJournal(gid uint32) *Journal {
	return &Journal{journalctl, gid, make(chan struct{}, logReaders)}
}

// Lines returns what Launcher.Log does. It reads all since r.Since: with --lines, systemd 252's journalctl searches
// from the end and may omit the newest entries of a unit whose entries are in two files.
func (j *Journal) Lines(ctx context.Context, r launcherbus.LogRequest) (launcherbus.Log, error) {
	if j.gid == 0 {
		return launcherbus.Log{}, errors.New("cannot read the journal: there is no group systemd-journal")
	}
	ctx, cancel := context.WithTimeout(ctx, logTime)
	defer cancel()
	select {
	case j.readers <- struct{}{}:
		defer func() { <-j.readers }()
	case <-ctx.Done():
		return launcherbus.Log{}, fmt.Errorf("cannot read the journal: %d others do: %w", logReaders, ctx.Err())
	}
	from := fmt.Sprintf("--since=@%d.%06d", max(0, r.Since.Unix()), r.Since.Nanosecond()/1000)
	if r.After != "" {
		from = "--after-cursor=" + r.After
	}
	cmd := exec.CommandContext(ctx, j.program, "--quiet", "--no-pager", "--output=cat", "--all", "--show-cursor",
		"--unit="+r.Key.Unit(), from)
	cmd.Env, cmd.Dir, cmd.WaitDelay = []string{"LC_ALL=C"}, "/", time.Second
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: j.gid}}
	}
	return readLog(cmd, r)
}

func readLog(cmd *exec.Cmd, r launcherbus.LogRequest) (launcherbus.Log, error) {
	problem := capped.New(64 << 10)
	cmd.Stderr = problem
	out, err := cmd.StdoutPipe()
	if err != nil {
		return launcherbus.Log{}, fmt.Errorf("cannot read the journal: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return launcherbus.Log{}, fmt.Errorf("cannot read the journal: %w", err)
	}
	lines, readErr := lastLines(out, r.Lines+1)
	if err := errors.Join(readErr, cmd.Wait()); err != nil {
		return launcherbus.Log{}, fmt.Errorf("cannot read the journal: %w: %.500s", err,
			bytes.TrimSpace(problem.Bytes()))
	}
	answer := launcherbus.Log{Lines: []string{}, Cursor: r.After}
	if n := len(lines); n > 0 { // the last is journalctl's own
		cursor := strings.TrimPrefix(lines[n-1], cursorPrefix)
		if !cursorForm.MatchString(cursor) {
			return answer, fmt.Errorf("cannot read the journal: journalctl ends with %.80q", lines[n-1])
		}
		answer = launcherbus.Log{Lines: lines[:n-1], Cursor: cursor}
	}
	return answer, nil
}

// lastLines returns the last n lines, in a form that D-Bus takes.
func lastLines(from io.Reader, n int) (lines []string, err error) {
	reader, size := bufio.NewReaderSize(from, maxLogLine), 0
	for {
		line, more, err := reader.ReadLine()
		if errors.Is(err, io.EOF) {
			return lines, nil
		} else if err != nil {
			return nil, err
		}
		text := strings.ReplaceAll(strings.ToValidUTF8(string(line), "\uFFFD"), "\x00", "")
		for more && err == nil {
			_, more, err = reader.ReadLine()
		}
		lines, size = append(lines, text), size+len(text)
		for len(lines) > n || size > maxLogBytes {
			size -= len(lines[0])
			lines = lines[1:]
		}
	}
}
