package local

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/printable"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// lastWords is what systemd writes last of a unit that has failed.
const lastWords = "Failed with result"

// tidies is what systemd writes for each thread of each process that a unit has left behind. There may be far more of
// these lines than of those that say why a server has failed; Tail leaves them out.
const (
	tidies        = ": Killing process "
	tidiesPerLine = 20
)

// maxLine bounds one line that is passed on, in characters. The journal has the whole line.
const maxLine = 2000

// How often the log of a starting server is read again: each reading is a program that the launcher runs. Without new
// lines the pauses grow.
const (
	firstPause = 500 * time.Millisecond
	lastPause  = 4 * time.Second
)

// Follow calls line for each line that a server's log got since the given time, until ctx ends; then it returns nil. It
// skips lines where many come at once.
func (b *Backend) Follow(ctx context.Context, key ident.Key, since time.Time, line func(string)) error {
	r := launcherbus.LogRequest{Key: key, Since: since, Lines: launcherbus.MaxLogLines}
	for pause := firstPause; ; {
		log, err := b.launcher.Log(ctx, r)
		if ctx.Err() != nil {
			return nil
		} else if err != nil {
			return neutral(err)
		}
		r.After = log.Cursor
		pause = min(2*pause, lastPause)
		if len(log.Lines) > 0 {
			pause = firstPause
		}
		for _, text := range log.Lines {
			line(harmless(text))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// Tail returns the last n lines of a server's log since the given time, and whether they have the last words of a
// server that failed: the journal may be behind the news of the end.
func (b *Backend) Tail(ctx context.Context, key ident.Key, since time.Time, n int) (lines []string, whole bool,
	err error) {
	// journalctl counts from whole seconds that may begin before the hub's own clock reading.
	log, err := b.launcher.Log(ctx, launcherbus.LogRequest{Key: key, Since: since.Add(-time.Second),
		Lines: min(tidiesPerLine*n, launcherbus.MaxLogLines)})
	for _, text := range log.Lines {
		if !strings.HasPrefix(text, key.Unit()+tidies) {
			lines = append(lines, harmless(text))
		}
	}
	lines = lines[max(0, len(lines)-n):]
	return lines, slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, lastWords) }),
		neutral(err)
}

// harmless takes from a line what could mean something to a page or a terminal.
func harmless(line string) string { return printable.Cut(printable.Text(line), maxLine) }
