// Package auditfile writes the audit records, and who signed in, to a file of the hub's own besides the journal.
// Space in the journal is shared with all that runs on the host, so whoever writes much pushes out what others have
// written; the file has nothing but these records. It must never hold up or refuse an act because a record cannot be
// written, never lose one without saying so in the journal, and never keep a record from the journal.
package auditfile

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"
)

// Name is the file's name in the hub's directory of logs.
const Name = "audit.log"

// otherEvents are those that are recorded though nobody acts on the hub's records; acts have the field by_kind
// (docs/audit.md).
func otherEvents() []string {
	return []string{"login", "login-refused", "logout", "session-ended", "access-refused", "access-lost", "access-back",
		"token-refused", "shared-server-opened", "servers-shell", "servers-shell-end", "socket-refused"}
}

// Config is what New needs.
type Config struct {
	// Journal gets every record. Required.
	Journal slog.Handler
	// Directory is where the file is; systemd's $LOGS_DIRECTORY. Required.
	Directory string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// New returns a handler that passes every record on to the journal, and appends those of the audit to the file, one
// line of JSON each with the same fields.
func New(cfg Config) (slog.Handler, error) {
	if cfg.Journal == nil || cfg.Directory == "" {
		return nil, errors.New("cannot make the audit file: journal and directory are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	events := map[string]bool{}
	for _, e := range otherEvents() {
		events[e] = true
	}
	f := &file{path: filepath.Join(cfg.Directory, Name)}
	return handler{journal: cfg.Journal, lines: slog.NewJSONHandler(f, nil), file: f, events: events,
		quota: &quota{counts: map[string]int{}}, lost: &lost{}, now: cfg.Now}, nil
}

// handler is the journal's, and one that writes lines.
type handler struct {
	journal, lines slog.Handler
	file           *file
	events         map[string]bool
	quota          *quota
	lost           *lost
	now            func() time.Time
}

// Enabled reports whether the journal wants the level. The level of acts is above any that an administrator can set.
func (h handler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || h.journal.Enabled(ctx, level)
}

// Handle writes one record.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	var err error
	if h.journal.Enabled(ctx, r.Level) {
		err = h.journal.Handle(ctx, r)
	}
	if facts := factsOf(r); facts.act || h.events[facts.event] {
		h.write(ctx, r, facts)
	}
	return err
}

// facts are the fields of a record that decide what becomes of it.
type facts struct {
	event, user string
	act         bool
}

func factsOf(r slog.Record) (f facts) {
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "event":
			f.event = a.Value.String()
		case "user":
			f.user = a.Value.String()
		case "by_kind":
			f.act = true
		}
		return true
	})
	return f
}

// write appends a record to the file, unless its author has used up the hour's share.
func (h handler) write(ctx context.Context, r slog.Record, f facts) {
	now := h.now()
	if !f.act || r.Level < slog.LevelWarn { // acts on others' are few, and those of people who may
		admitted, last := h.quota.take(f.user, now)
		if !admitted {
			return
		}
		if last {
			r = r.Clone()
			r.AddAttrs(slog.String("suppressed", "further records of this user are in the journal alone for an hour"))
		}
	}
	if err := h.lines.Handle(ctx, r); err != nil {
		if h.lost.failed(now) {
			h.say(ctx, slog.LevelError, "cannot write the audit file; the journal has all of it", now,
				slog.String("event", "audit-unwritable"), slog.String("error", err.Error()),
				slog.String("hint", "df "+filepath.Dir(h.file.path)+"; systemctl restart gifford-hub"))
		}
	} else if n := h.lost.written(); n > 0 {
		h.say(ctx, slog.LevelWarn, "the audit file is written again", now, slog.String("event", "audit-written-again"),
			slog.Int("missing", n))
	}
}

func (h handler) say(ctx context.Context, level slog.Level, message string, now time.Time, fields ...slog.Attr) {
	r := slog.NewRecord(now, level, message, 0)
	r.AddAttrs(fields...)
	_ = h.journal.Handle(ctx, r)
}

// WithAttrs returns a handler that adds fields to all records.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.journal, h.lines = h.journal.WithAttrs(attrs), h.lines.WithAttrs(attrs)
	return h
}

// WithGroup returns a handler that puts the fields of all records into a group.
func (h handler) WithGroup(name string) slog.Handler {
	h.journal, h.lines = h.journal.WithGroup(name), h.lines.WithGroup(name)
	return h
}
