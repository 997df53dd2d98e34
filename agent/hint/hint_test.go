package hint

import (
	"errors"
	"fmt"
	"testing"
)

// refused is an error of another package that knows its next step.
type refused struct{ step string }

func (r refused) Error() string    { return "refused" }
func (r refused) NextStep() string { return r.step }

func TestOf(t *testing.T) {
	plain := errors.New("no")
	tests := map[string]struct {
		err           error
		message, step string
	}{
		"none":                    {plain, "no", ""},
		"a step":                  {New("no", "ask"), "no", "ask"},
		"formatted":               {Withf(plain, "ask %s", "bob"), "no", "ask bob"},
		"wrapped":                 {fmt.Errorf("server x: %w", New("no", "ask")), "server x: no", "ask"},
		"the outermost counts":    {With(New("no", "ask"), "ask bob"), "no", "ask bob"},
		"joined":                  {errors.Join(plain, New("no", "ask")), "no\nno", "ask"},
		"another package's":       {refused{"wait"}, "refused", "wait"},
		"an empty step is none":   {With(plain, ""), "no", ""},
		"one without hides none":  {fmt.Errorf("%w", &outer{New("no", "ask")}), "outer", "ask"},
		"one without, at the end": {refused{}, "refused", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.message {
				t.Errorf("message %q, want %q", got, tt.message)
			}
			if got := Of(tt.err); got != tt.step {
				t.Errorf("step %q, want %q", got, tt.step)
			}
			message, step := Split(Text(tt.err))
			if message != tt.message || step != tt.step {
				t.Errorf("split again: %q and %q", message, step)
			}
		})
	}
	if With(nil, "ask") != nil || Of(nil) != "" {
		t.Error("no error has a step")
	}
	if !errors.Is(With(plain, "ask"), plain) {
		t.Error("the error cannot be found under its hint")
	}
}

// outer is an error with an empty step around another.
type outer struct{ error }

func (o *outer) Error() string    { return "outer" }
func (o *outer) Unwrap() error    { return o.error }
func (o *outer) NextStep() string { return "" }

func TestJoin(t *testing.T) {
	if got := Join("no", "ask"); got != "no\nhint: ask" {
		t.Errorf("%q", got)
	}
	if got := Join("no", ""); got != "no" {
		t.Errorf("%q", got)
	}
	if message, step := Split("no"); message != "no" || step != "" {
		t.Errorf("%q and %q", message, step)
	}
}
