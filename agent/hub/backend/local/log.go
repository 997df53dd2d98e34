package local

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// lastWords is what systemd writes last of a unit that has failed.
const lastWords = "Failed with result"

// Follow calls line for each line that a server's log got since the given time, until ctx ends.
func (b *Backend) Follow(ctx context.Context, key ident.Key, since time.Time, line func(string)) error {
	return b.journal.Follow(ctx, key.Unit(), since, line)
}

// Tail returns the last n lines of a server's log since the given time, and whether they have the last words of a
// server that failed: the journal may be behind the news of the end.
func (b *Backend) Tail(ctx context.Context, key ident.Key, since time.Time, n int) (lines []string, whole bool,
	err error) {
	// journalctl counts from whole seconds that may begin before the hub's own clock reading.
	lines, err = b.journal.Tail(ctx, key.Unit(), since.Add(-time.Second), n)
	return lines, slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, lastWords) }), err
}
