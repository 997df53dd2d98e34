package web

import (
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestUnusedGPU has what the home page says of a server that does not use its GPU, and when its end can be postponed.
func TestUnusedGPU(t *testing.T) {
	notice := func(restart, kept bool) cull.Notice {
		return cull.Notice{At: now.Add(10 * time.Minute), Reason: cull.ReasonGPU, Restart: restart,
			Unused: now.Add(-2 * time.Hour), Postponed: kept}
	}
	tests := map[string]struct {
		notice cull.Notice
		says   string
		button bool
		press  string // the answer to pressing the button all the same
	}{
		"restart": {notice(true, false), "It has not used its GPU for 2 hours; it will be restarted without GPU at",
			true, "See Other /hub/home"},
		"stop": {notice(false, false), "It has not used its GPU for 2 hours; it will be stopped at", true,
			"See Other /hub/home"},
		"kept": {notice(true, true), "The end was postponed once already: use the GPU to keep it. A restart ends " +
			"the kernels.",
			false, "Conflict"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, func(c *setup) {
				c.Cull = func(k ident.Key) (cull.Notice, bool) { return tt.notice, k == key("alice") }
				c.Postpone = func(ident.Key) error {
					if tt.notice.Postponed {
						return cull.ErrPostponedBefore
					}
					return nil
				}
			})
			page := show(t, h.do("GET", "/hub/home", "alice"))
			text := textOf(page.root)
			if !strings.Contains(text, tt.says) || !strings.Contains(text,
				"in 10 minutes, so that others can use it.") {
				t.Errorf("the home page says\n%s\nwant %q", text, tt.says)
			}
			if got := strings.Contains(page.text, `action="/hub/keep/alice"`); got != tt.button {
				t.Errorf("button to postpone: %v", got)
			}
			answered := h.post("/hub/keep/alice", "alice", nil)
			if got := answer(answered); got != tt.press {
				t.Errorf("pressed: %s, want %s", got, tt.press)
			}
			if tt.notice.Postponed && !strings.Contains(show(t, answered).text, "can be postponed once") {
				t.Error("the refusal has no words")
			}
		})
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "less than a minute", 59 * time.Minute: "59 minutes",
		time.Hour + 59*time.Second: "1 hour", 110 * time.Minute: "1 hour 50 minutes",
		121 * time.Minute: "2 hours 1 minute", 25*time.Hour + time.Minute: "1 day", 72 * time.Hour: "3 days"} {
		if got := span(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
