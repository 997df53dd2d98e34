package auditfile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// audited is a logger with its journal and its directory.
type audited struct {
	*slog.Logger
	journal bytes.Buffer
	dir     string
	now     time.Time
}

func newAudited(t *testing.T, level slog.Level) *audited {
	t.Helper()
	a := &audited{dir: t.TempDir(), now: time.Unix(1_700_000_000, 0)}
	h, err := New(Config{Journal: slog.NewTextHandler(&a.journal, &slog.HandlerOptions{Level: level}), Directory: a.dir,
		Now: func() time.Time { return a.now }})
	if err != nil {
		t.Fatal(err)
	}
	a.Logger = slog.New(h)
	return a
}

// lines reads the file, which must be JSON.
func (a *audited) lines(t *testing.T) (all []map[string]any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(a.dir, Name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		record := map[string]any{}
		if err := json.Unmarshal(line, &record); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		all = append(all, record)
	}
	return all
}

// TestRecords checks what stands in the file: acts and sign-ins, and nothing else. The journal gets all.
func TestRecords(t *testing.T) {
	a := newAudited(t, slog.LevelInfo)
	a.Warn("administrative action", "event", "user-deleted", "by", "dora", "by_kind", "user", "user", "bob\n\"x")
	a.Info("a member signed in", "event", "login", "user", "alice")
	a.Info("server ready", "event", "server-ready", "user", "alice")
	a.Debug("nothing", "event", "login")
	got := a.lines(t)
	if len(got) != 2 || got[0]["event"] != "user-deleted" || got[0]["by"] != "dora" || got[0]["user"] != "bob\n\"x" ||
		got[0]["level"] != "WARN" || got[0]["time"] == nil || got[1]["event"] != "login" {
		t.Errorf("the file has %v", got)
	}
	if n := strings.Count(a.journal.String(), "\n"); n != 3 {
		t.Errorf("the journal has %d lines:\n%s", n, a.journal.String())
	}
	info, err := os.Stat(filepath.Join(a.dir, Name))
	if err != nil || info.Mode().Perm()&0o027 != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestQuietJournal checks that a journal that wants errors alone does not silence the file.
func TestQuietJournal(t *testing.T) {
	a := newAudited(t, slog.LevelError)
	a.With("surface", "api").WithGroup("g").Info("action on one's own", "event", "token-created", "by_kind", "user")
	if got := a.lines(t); len(got) != 1 || got[0]["surface"] != "api" || a.journal.Len() > 0 {
		t.Errorf("the file has %v, the journal %s", got, a.journal.String())
	}
}

// TestMoved checks that a file that logrotate has moved away is made again.
func TestMoved(t *testing.T) {
	a := newAudited(t, slog.LevelInfo)
	a.Info("x", "event", "login")
	if err := os.Rename(filepath.Join(a.dir, Name), filepath.Join(a.dir, Name+".1")); err != nil {
		t.Fatal(err)
	}
	a.Info("y", "event", "logout")
	if got := a.lines(t); len(got) != 1 || got[0]["event"] != "logout" {
		t.Errorf("the new file has %v", got)
	}
}

// TestUnwritable checks that the journal says once a minute that the file cannot be written, and how many are missing
// when it can again.
func TestUnwritable(t *testing.T) {
	a := newAudited(t, slog.LevelInfo)
	if err := os.Symlink("elsewhere", filepath.Join(a.dir, Name)); err != nil {
		t.Fatal(err)
	}
	says := func(want int, of string) {
		t.Helper()
		if n := strings.Count(a.journal.String(), of); n != want {
			t.Errorf("%d times %q, want %d:\n%s", n, of, want, a.journal.String())
		}
	}
	for range 3 {
		a.Info("x", "event", "login")
	}
	says(1, "audit-unwritable")
	says(1, "hint=")
	a.now = a.now.Add(sayEvery)
	a.Info("x", "event", "login")
	says(2, "audit-unwritable")
	says(4, "event=login")
	if err := os.Remove(filepath.Join(a.dir, Name)); err != nil {
		t.Fatal(err)
	}
	a.Info("x", "event", "login")
	a.Info("x", "event", "login")
	says(1, "missing=4")
	if len(a.lines(t)) != 2 {
		t.Errorf("%d lines", len(a.lines(t)))
	}
	if err := errors.Join(os.Remove(filepath.Join(a.dir, Name)),
		unix.Mkfifo(filepath.Join(a.dir, Name), 0o600)); err != nil {
		t.Fatal(err)
	}
	a.Info("x", "event", "login") // nobody reads it: no waiting
	says(3, "audit-unwritable")
}

// TestQuota checks that a member cannot fill the disk with acts on their own, and takes nothing from others by it.
func TestQuota(t *testing.T) {
	a := newAudited(t, slog.LevelInfo)
	act := func(level slog.Level, by, user string) {
		a.Log(context.Background(), level, "act", "event", "token-created", "by", by, "by_kind", "user", "user", user)
	}
	for range perHour + 5 {
		act(slog.LevelInfo, "mallory", "mallory")
	}
	act(slog.LevelInfo, "alice", "alice")
	act(slog.LevelWarn, "dora", "mallory")
	got := a.lines(t)
	count := map[string]int{}
	for i, line := range got {
		count[fmt.Sprint(line["by"])]++
		if (line["suppressed"] != nil) != (i == perHour-1) {
			t.Errorf("line %d: %v", i, line)
		}
	}
	if count["mallory"] != perHour || count["alice"] != 1 || count["dora"] != 1 {
		t.Errorf("lines of each: %v", count)
	}
	a.now = a.now.Add(time.Hour)
	act(slog.LevelInfo, "mallory", "mallory")
	if n := len(a.lines(t)); n != len(got)+1 {
		t.Errorf("an hour later there are %d lines", n)
	}
}

// TestTorn checks that a line that a full disk cut off takes no other with it.
func TestTorn(t *testing.T) {
	a := newAudited(t, slog.LevelInfo)
	f := &file{path: filepath.Join(a.dir, Name), torn: true}
	if err := os.WriteFile(f.path, []byte(`{"event":"log`), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := f.Write([]byte("{}\n")); n != 3 || err != nil {
			t.Errorf("Write: %d, %v", n, err)
		}
	}
	if data, err := os.ReadFile(f.path); string(data) != "{\"event\":\"log\n{}\n{}\n" {
		t.Errorf("%q, %v", data, err)
	}
}

// TestConfig refuses what is not complete.
func TestConfig(t *testing.T) {
	for _, cfg := range []Config{{}, {Directory: "/"}, {Journal: slog.DiscardHandler}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v is enough", cfg)
		}
	}
}
