package lease

import (
	"strconv"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/policy"
)

// TestWishWords checks the words for what a profile asks for.
func TestWishWords(t *testing.T) {
	tests := map[string]policy.GPUWish{
		"1 device": {},
		"1 device of kind nvidia.com/gpu of model *A100* with at least 1.5 GiB of memory": {Kind: "nvidia.com/gpu",
			Model: "*A100*", Memory: 3 << 29},
	}
	for want, wish := range tests {
		if got := (allocation{Request: Request{Wish: wish}}).wish(1); got != want {
			t.Errorf("%+v: %q, want %q", wish, got, want)
		}
	}
}

// TestShortened checks that a message names eight things and counts the rest.
func TestShortened(t *testing.T) {
	var words []string
	for i := range 10 {
		words = append(words, strconv.Itoa(i))
	}
	for n, want := range map[int]string{0: "", 2: "0; 1", 8: "0; 1; 2; 3; 4; 5; 6; 7",
		10: "0; 1; 2; 3; 4; 5; 6; 7; and 2 more"} {
		if got := shortened(words[:n]); got != want {
			t.Errorf("%d words: %q, want %q", n, got, want)
		}
	}
}
