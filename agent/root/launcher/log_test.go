package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

const someCursor = "s=0a;i=1b;b=2c;m=3d;t=4e;x=5f"

// TestLogRequests has a hostile hub ask for what is none of a server's, or by what journalctl would take for something
// else.
func TestLogRequests(t *testing.T) {
	h := newHost(t)
	if err := start(h, h.key("alice", "")); err != nil {
		t.Fatal(err)
	}
	h.units["jupyter-hub.service"] = systemd.Active // an administrator's own
	h.env["jupyter-hub.service"] = []string{"PATH=/bin"}
	tests := map[string]struct {
		user, after string
		lines       int
		want        launcherbus.Code // "" is an answer
	}{
		"running":         {"alice", "", 1, ""},
		"ended":           {"bob", someCursor, launcherbus.MaxLogLines, ""},
		"not a server's":  {"hub", "", 1, launcherbus.Refused},
		"no lines":        {"alice", "", 0, launcherbus.Refused},
		"too many":        {"alice", "", launcherbus.MaxLogLines + 1, launcherbus.Refused},
		"an option":       {"alice", "x --file=/etc/shadow", 1, launcherbus.Refused},
		"a cursor and":    {"alice", someCursor + "\n--file=/etc/shadow", 1, launcherbus.Refused},
		"before a cursor": {"alice", "x" + someCursor, 1, launcherbus.Refused},
		"an endless word": {"alice", strings.Repeat("a", 100), 1, launcherbus.Refused},
		"an endless place": {"alice", strings.Replace(someCursor, "0a", strings.Repeat("a", 65), 1), 1,
			launcherbus.Refused},
	}
	for name, tt := range tests {
		log, err := h.l.Log(t.Context(), launcherbus.LogRequest{Key: h.key(tt.user, ""), After: tt.after,
			Lines: tt.lines})
		if tt.want == "" && (err != nil || len(log.Lines) != 1) || tt.want != "" && (codeOf(err) != tt.want ||
			log.Lines != nil) {
			t.Errorf("%s: %v, %v", name, log, err)
		}
	}
	methods := h.l.Methods(t.Context(), func(context.Context, string) (uint32, error) { return 4321, nil })
	if err := call(t, methods["Log"], "alice", "", uint64(0), "", uint32(1)); err == nil ||
		err.Name != launcherbus.Interface+".Error."+string(launcherbus.Refused) {
		t.Errorf("another account asks: %v", err)
	}
	methods = h.l.Methods(t.Context(), func(context.Context, string) (uint32, error) { return hubUID, nil })
	for _, bad := range [][2]string{{"../x", ""}, {"alice", "a/b"}, {"alice", "--file"}, {"", ""}} {
		if err := call(t, methods["Log"], bad[0], bad[1], uint64(0), "", uint32(1)); err == nil ||
			err.Name != launcherbus.Interface+".Error."+string(launcherbus.Refused) {
			t.Errorf("the log of %q: %v", bad, err)
		}
	}
}

// readJournal reads a journal whose journalctl is a shell script.
func readJournal(t *testing.T, script string, r launcherbus.LogRequest) (launcherbus.Log, error) {
	t.Helper()
	// The reader may run as nobody, who cannot enter the test's own directory.
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	j := NewJournal(uint32(os.Getgid()) + 1)
	j.program = filepath.Join(dir, "journalctl")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(j.program, []byte("#!/bin/sh\n"+script), 0o600),
		os.Chmod(j.program, 0o755)); err != nil {
		t.Fatal(err)
	}
	r.Key = newHost(t).key("alice", "")
	return j.Lines(t.Context(), r)
}

// TestJournal checks what is read of journalctl's output, and its arguments. The real one is tested end to end.
func TestJournal(t *testing.T) {
	const end = "\necho '-- cursor: " + someCursor + "'"
	since := time.Unix(1_700_000_000, 5_000)
	tests := map[string]struct {
		script string
		r      launcherbus.LogRequest
		want   launcherbus.Log
		err    string
	}{
		"arguments": {`echo "$@"` + end, launcherbus.LogRequest{Lines: 9, Since: since},
			launcherbus.Log{Lines: []string{
				"--quiet --no-pager --output=cat --all --show-cursor --unit=jupyter-alice.service " +
					"--since=@1700000000.000005"},
				Cursor: someCursor}, ""},
		"after": {`for i; do :; done; echo "$i"` + end, launcherbus.LogRequest{Lines: 9, Since: since,
			After: someCursor},
			launcherbus.Log{Lines: []string{"--after-cursor=" + someCursor}, Cursor: someCursor}, ""},
		"environment": {`/usr/bin/env | grep -v '^PWD\|^_\|^SHLVL'` + end, launcherbus.LogRequest{Lines: 9},
			launcherbus.Log{Lines: []string{"LC_ALL=C"}, Cursor: someCursor}, ""},
		"from the beginning": {`for i; do :; done; echo "$i"` + end, launcherbus.LogRequest{Lines: 9},
			launcherbus.Log{Lines: []string{"--since=@0.000000"}, Cursor: someCursor}, ""},
		"nothing new": {"", launcherbus.LogRequest{Lines: 9, After: someCursor},
			launcherbus.Log{Lines: []string{}, Cursor: someCursor}, ""},
		"the last": {"seq 1 20000" + end, launcherbus.LogRequest{Lines: 2},
			launcherbus.Log{Lines: []string{"19999", "20000"}, Cursor: someCursor}, ""},
		"a false end": {"echo '-- cursor: s=1'" + end, launcherbus.LogRequest{Lines: 2},
			launcherbus.Log{Lines: []string{"-- cursor: s=1"}, Cursor: someCursor}, ""},
		"bytes": {`printf 'a\377b\000c\n'` + end, launcherbus.LogRequest{Lines: 2},
			launcherbus.Log{Lines: []string{"a\uFFFDbc"}, Cursor: someCursor}, ""},
		"no cursor": {"echo x", launcherbus.LogRequest{Lines: 2}, launcherbus.Log{}, `ends with "x"`},
		"failure": {"echo 'No journal files were opened' >&2; exit 1", launcherbus.LogRequest{Lines: 2},
			launcherbus.Log{},
			"No journal files"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := readJournal(t, tt.script, tt.r)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); err == nil && diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestJournalAccount checks as whom the journal is read.
func TestJournalAccount(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another; the end-to-end tests run as root")
	}
	got, err := readJournal(t, "id -u; id -G; echo '-- cursor: "+someCursor+"'", launcherbus.LogRequest{Lines: 9})
	if want := fmt.Sprintf("65534 %d", os.Getgid()+1); err != nil || strings.Join(got.Lines, " ") != want {
		t.Errorf("%v, %v; want %s", got, err, want)
	}
	if _, err := NewJournal(0).Lines(t.Context(), launcherbus.LogRequest{}); err == nil ||
		!strings.Contains(err.Error(), "no group") {
		t.Errorf("without the group: %v", err)
	}
}

// TestJournalBounds checks what a server that writes without end can do to the launcher.
func TestJournalBounds(t *testing.T) {
	long := strings.Repeat("x", 3*maxLogLine) + "\n" + strings.Repeat("y", maxLogLine-1) + "\n"
	lines, err := lastLines(strings.NewReader(strings.Repeat(long, 100)), 1000)
	size := 0
	for i, l := range lines {
		size += len(l)
		if len(l) > maxLogLine || strings.Trim(l, "x") != "" && strings.Trim(l, "y") != "" {
			t.Errorf("line %d has %d bytes", i, len(l))
		}
	}
	if err != nil || size > maxLogBytes || size < maxLogBytes-maxLogLine {
		t.Errorf("%d lines of %d bytes, %v", len(lines), size, err)
	}
	if lines, err := lastLines(iotest.ErrReader(errBroken), 9); !errors.Is(err, errBroken) || lines != nil {
		t.Errorf("%v, %v", lines, err)
	}
	j := NewJournal(1)
	for range logReaders {
		j.readers <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := j.Lines(ctx, launcherbus.LogRequest{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with as many readers as may be: %v", err)
	}
}

// FuzzLastLines checks that whatever a server writes can be sent over D-Bus, in bounds.
func FuzzLastLines(f *testing.F) {
	f.Add("a\nb\r\n\x00\xff", 1)
	f.Fuzz(func(t *testing.T, text string, n int) {
		lines, err := lastLines(strings.NewReader(text), max(1, n))
		if err != nil || len(lines) > max(1, n) {
			t.Errorf("%d lines, %v", len(lines), err)
		}
		for _, l := range lines {
			if !utf8.ValidString(l) || strings.ContainsAny(l, "\x00\n") {
				t.Errorf("line %q", l)
			}
		}
	})
}
