package journal

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gifford-lab/gifford-hub/agent/printable"
)

// maxShown is the most characters of one value repeated in MESSAGE; the field
// itself keeps the whole value.
const maxShown = 512

// pair is one log field after groups are flattened: path is the group names
// and the key.
type pair struct {
	path  []string
	value string
}

// handler renames fields for the journal and writes an entry's fields into
// its message too. It flattens groups itself and so never calls WithGroup or
// WithAttrs of inner.
type handler struct {
	inner    slog.Handler // the journal
	fallback slog.Handler // standard error, for entries the journal refuses
	groups   []string
	pairs    []pair
}

func newHandler(inner, fallback slog.Handler) *handler {
	return &handler{inner: inner, fallback: fallback}
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.inner.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.fallback = h.fallback.WithAttrs(attrs)
	next.pairs = slices.Clip(h.pairs)
	for _, attr := range attrs {
		next.pairs = flatten(next.pairs, h.groups, attr)
	}
	return &next
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.fallback = h.fallback.WithGroup(name)
	next.groups = append(slices.Clip(h.groups), name)
	return &next
}

// Handle implements slog.Handler. An entry that the journal refuses goes to standard error: a lost entry is worse than
// one without fields.
func (h *handler) Handle(ctx context.Context, record slog.Record) error {
	pairs := slices.Clip(h.pairs)
	record.Attrs(func(attr slog.Attr) bool {
		pairs = flatten(pairs, h.groups, attr)
		return true
	})
	entry := slog.NewRecord(record.Time, record.Level, message(record.Message, pairs), record.PC)
	for _, p := range pairs {
		entry.AddAttrs(slog.String(fieldName(p.path), p.value))
	}
	if err := h.inner.Handle(ctx, entry); err != nil {
		return h.fallback.Handle(ctx, record)
	}
	return nil
}

// flatten appends attr, or all that is in it, to pairs, by the rules that
// slog.Handler sets for empty attributes and groups.
func flatten(pairs []pair, groups []string, attr slog.Attr) []pair {
	attr.Value = attr.Value.Resolve()
	if attr.Equal(slog.Attr{}) {
		return pairs
	}
	path := slices.Clip(groups)
	if attr.Value.Kind() != slog.KindGroup {
		return append(pairs, pair{path: append(path, attr.Key), value: text(attr.Value)})
	}
	if attr.Key != "" {
		path = append(path, attr.Key)
	}
	for _, member := range attr.Value.Group() {
		pairs = flatten(pairs, path, member)
	}
	return pairs
}

func text(value slog.Value) string {
	if value.Kind() == slog.KindTime {
		return value.Time().Format(time.RFC3339Nano)
	}
	return value.String()
}

// message returns text followed by the fields that a reader of plain
// journalctl output wants: all but the event, which says what the constant
// text says already, and the request number, which is for searching.
func message(text string, pairs []pair) string {
	var b strings.Builder
	b.WriteString(text)
	for _, p := range pairs {
		key := strings.Join(p.path, ".")
		if key == "event" || key == "request" || p.value == "" {
			continue
		}
		b.WriteString(" " + shown(key) + "=" + shown(p.value))
	}
	return b.String()
}

// shown returns s fit for one line of text. It is quoted when it contains anything that could be read as another field
// or another line.
func shown(s string) string {
	s = printable.Cut(s, maxShown)
	if s == "" || !utf8.ValidString(s) || strings.ContainsFunc(s, needsQuotes) {
		return strconv.Quote(s)
	}
	return s
}

func needsQuotes(r rune) bool {
	return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '"' || r == '='
}
