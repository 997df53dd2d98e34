// Package journal builds the hub's logger: structured entries in the systemd
// journal when the service manager connected us to it, plain text on standard
// error otherwise (a terminal, a test, a container without systemd).
//
// It must never log on its own account, never drop an entry that journald
// refuses (the entry then goes to standard error), and never let a log field
// overwrite a field that has a meaning in the journal.
package journal

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	slogjournal "github.com/systemd/slog-journal"
)

// Identifier is the SYSLOG_IDENTIFIER of the hub's entries, so that
// `journalctl -t gifford-hub` finds them.
const Identifier = "gifford-hub"

// Config says where and how much to log. All fields are optional.
type Config struct {
	// Identifier is the SYSLOG_IDENTIFIER of the entries; "" means the constant of that name.
	Identifier string
	// Level is the lowest level logged. It becomes debug when systemd restarts
	// the service with RestartMode=debug (systemd.service(5)), which sets
	// DEBUG_INVOCATION.
	Level slog.Level
	// Stderr is standard error; nil means os.Stderr.
	Stderr *os.File
}

// New returns the logger for this process. It logs to the journal when
// $JOURNAL_STREAM (systemd.exec(5)) names the device and inode of cfg.Stderr,
// and as text to cfg.Stderr otherwise. The error says that the socket for the
// journal could not be made.
func New(cfg Config) (*slog.Logger, error) {
	if cfg.Stderr == nil {
		cfg.Stderr = os.Stderr
	}
	if cfg.Identifier == "" {
		cfg.Identifier = Identifier
	}
	if os.Getenv("DEBUG_INVOCATION") != "" {
		cfg.Level = min(cfg.Level, slog.LevelDebug)
	}
	if !connected(os.Getenv("JOURNAL_STREAM"), cfg.Stderr) {
		return slog.New(textHandler(cfg.Stderr, cfg.Level)), nil
	}
	inner, err := slogjournal.NewHandler(&slogjournal.Options{Level: cfg.Level})
	if err != nil {
		return nil, fmt.Errorf("open a socket to the journal: %w; check that systemd-journald runs", err)
	}
	return slog.New(newHandler(identified(inner, cfg.Identifier), textHandler(cfg.Stderr, cfg.Level))), nil
}

func textHandler(w io.Writer, level slog.Level) slog.Handler {
	return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
}

// identified adds our identifier when the program file has another name, which
// the library takes for the identifier. The journal then has both values.
func identified(inner slog.Handler, identifier string) slog.Handler {
	if filepath.Base(os.Args[0]) == identifier {
		return inner
	}
	return inner.WithAttrs([]slog.Attr{slog.String("SYSLOG_IDENTIFIER", identifier)})
}

// connected reports whether stream, "device:inode" in decimal, names file. A
// stream that names something else was inherited by a process whose standard
// error was redirected, whose output must go where it was sent.
func connected(stream string, file *os.File) bool {
	dev, ino, found := strings.Cut(stream, ":")
	if !found {
		return false
	}
	wantDev, err := strconv.ParseUint(dev, 10, 64)
	if err != nil {
		return false
	}
	wantIno, err := strconv.ParseUint(ino, 10, 64)
	if err != nil {
		return false
	}
	info, err := file.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && uint64(stat.Dev) == wantDev && stat.Ino == wantIno
}
