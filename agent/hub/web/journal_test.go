package web

import (
	"context"
	"log/slog"
	"slices"
	"sync"
)

// journal is a log of which tests read the audit records of acts on what is not one's own, each as
// "event by user=… admin=…".
type journal struct {
	mu   sync.Mutex // guards all below
	acts []string
}

func (*journal) Enabled(context.Context, slog.Level) bool { return true }

func (j *journal) WithAttrs([]slog.Attr) slog.Handler { return j }

func (j *journal) WithGroup(string) slog.Handler { return j }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	known := map[string]string{}
	text := ""
	r.Attrs(func(a slog.Attr) bool {
		known[a.Key] = a.Value.String()
		if !slices.Contains([]string{"event", "by", "by_kind", "outcome", "request", "error"}, a.Key) {
			text += " " + a.Key + "=" + a.Value.String()
		}
		return true
	})
	if known["outcome"] == "failed" {
		text += " failed"
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if r.Message == "administrative action" {
		j.acts = append(j.acts, known["event"]+" "+known["by"]+text)
	}
	return nil
}

// told returns the audit records.
func (h *hub) told() []string {
	h.journal.mu.Lock()
	defer h.journal.mu.Unlock()
	return slices.Clone(h.journal.acts)
}
