package launcherbus

import (
	"context"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// MaxLogLines is the most lines that one answer of Log has. They have 256 KiB together at most, the newest of them.
const MaxLogLines = 1000

// LogRequest asks for the end of what a server's unit has written to the journal. The unit may have ended.
type LogRequest struct {
	Key   ident.Key
	Since time.Time
	After string // the Cursor of an earlier answer, which counts instead of Since; "" for none
	Lines int    // 1 to MaxLogLines
}

// Log is lines of a journal. They are a stranger's text, and long ones are cut.
type Log struct {
	Lines  []string
	Cursor string // for the next request
}

// fields returns where the two values go, D-Bus types as and s.
func (l *Log) fields() []any { return []any{&l.Lines, &l.Cursor} }

// Log returns the last lines of a server's unit. A launcher of before 0.2 has no such operation, which the error says.
func (c *Client) Log(ctx context.Context, r LogRequest) (Log, error) {
	var answer Log
	err := c.call(ctx, "Log", &answer, r.Key.User.String(), r.Key.Server.String(), micros(r.Since), r.After,
		uint32(r.Lines))
	if unknownMethod(err) {
		err = &Error{Internal, "the launcher is older than the hub and does not pass on what servers write",
			"systemctl restart gifford-launcher"}
	}
	return answer, err
}
