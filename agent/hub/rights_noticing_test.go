package hub

import (
	"context"
	"errors"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestNoticing checks that a change of groups is announced, and where it cannot be known, too.
func TestNoticing(t *testing.T) {
	broken := errors.New("cannot read")
	for name, tt := range map[string]struct {
		before, after []string
		err           error
		want          int
	}{
		"the same":  {[]string{"lab"}, []string{"lab"}, nil, 0},
		"one less":  {[]string{"lab"}, nil, nil, 1},
		"one more":  {nil, []string{"lab"}, nil, 1},
		"not known": {nil, nil, broken, 1},
		"no groups": {nil, nil, nil, 0},
	} {
		now, times := tt.before, 0
		failure := errors.New("cannot write")
		err := noticing(func(context.Context, ident.User, []string) error { now = tt.after; return failure },
			func(context.Context, ident.User) ([]string, error) { return now, tt.err },
			func() { times++ })(t.Context(), testUser(t, "alice"), nil)
		if times != tt.want || !errors.Is(err, failure) {
			t.Errorf("%s: announced %d times, %v", name, times, err)
		}
	}
}
