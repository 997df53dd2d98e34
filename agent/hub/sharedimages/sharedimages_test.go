package sharedimages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// pull is a keeper that goes through steps and ends with an error.
type pull struct {
	steps []imagekeeper.Progress
	every time.Duration
	err   error
}

func (p pull) Ensure(_ context.Context, _ string, step func(imagekeeper.Progress)) error {
	for _, s := range p.steps {
		step(s)
		time.Sleep(p.every)
	}
	return p.err
}

func TestEnsure(t *testing.T) {
	unknown := errors.New("no such file")
	tests := map[string]struct {
		err    error
		ended  bool
		want   string
		hint   string
		logged string
	}{
		"available": {},
		"refused":   {err: &imagekeeper.Error{Message: "no such profile"}, want: "no such profile"},
		"with a hint": {err: &imagekeeper.Error{Message: "no room", Hint: "gifford-hub images prune"},
			want: "no room", hint: "gifford-hub images prune"},
		"another error": {err: unknown, want: "no such file"},
		"no keeper": {err: fmt.Errorf("dial: %w", imagekeeper.ErrUnreachable),
			logged: "images-unreachable"},
		"given up":               {err: unknown, ended: true, want: "context canceled"},
		"given up, and all well": {ended: true, want: "context canceled"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.ended {
				cancel()
			}
			err := New(pull{err: tt.err}, slog.New(slog.NewTextHandler(&log, nil))).Ensure(ctx, "lab", func(string) {})
			if got := text(err); got != tt.want || hint.Of(err) != tt.hint {
				t.Errorf("error %q, hint %q; want %q, hint %q", got, hint.Of(err), tt.want, tt.hint)
			}
			if !strings.Contains(log.String(), tt.logged) || tt.logged == "" && log.Len() > 0 {
				t.Errorf("logged %q, want %q", log.String(), tt.logged)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestSteps(t *testing.T) {
	const mega = 1 << 20
	layer := func(name string, current, total int64) imagekeeper.Progress {
		return imagekeeper.Progress{Layer: name, Current: current, Total: total}
	}
	steps := []imagekeeper.Progress{
		{Message: "pulling x"},
		{Layer: "a", Message: "waiting"}, // a size that nobody knows yet
		layer("a", mega, 10*mega),
		layer("b", mega, 30*mega),
		layer("a", 10*mega, 10*mega),
		{Layer: "b", Done: true},
	}
	tests := map[string]struct {
		every time.Duration
		want  []string
	}{
		"slow": {time.Second, []string{"pulling x", "pulling x: 1 of 10 MB", "pulling x: 2 of 40 MB",
			"pulling x: 11 of 40 MB"}},
		"fast": {time.Millisecond, []string{"pulling x", "pulling x: 1 of 10 MB"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []string
				err := New(pull{steps: steps, every: tt.every}, slog.New(slog.DiscardHandler)).Ensure(t.Context(),
					"lab",
					func(text string) { got = append(got, text) })
				if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
					t.Errorf("error %v, steps (-want +got):\n%s", err, diff)
				}
			})
		})
	}
}
