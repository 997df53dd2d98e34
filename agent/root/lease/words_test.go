package lease

import (
	"strconv"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/ident"
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

// TestUnknownWords checks when a refusal says that memory or model of devices is not known.
func TestUnknownWords(t *testing.T) {
	device := func(kind string, memory uint64, model string) Device {
		return Device{Device: gpu.Device{Kind: kind, Name: kind + "=0"}, Facts: gpu.Facts{Memory: memory, Model: model}}
	}
	big, a100 := policy.GPUWish{Count: 1, Memory: 1 << 30}, policy.GPUWish{Count: 1, Model: "*A100*"}
	tests := map[string]struct {
		wish policy.GPUWish
		has  Device
		want bool
	}{
		"memory not known":             {big, device("a.org/gpu", 0, "A100"), true},
		"memory known":                 {big, device("a.org/gpu", 1, "A100"), false},
		"model not known":              {a100, device("a.org/gpu", 1, ""), true},
		"model known":                  {a100, device("a.org/gpu", 1, "H100"), false},
		"nothing known, nothing asked": {policy.GPUWish{Count: 1}, device("a.org/gpu", 0, ""), false},
		"memory asked, model unknown":  {big, device("a.org/gpu", 1, ""), false},
		"model asked, memory unknown":  {a100, device("a.org/gpu", 0, "H100"), false},
		"of another kind": {policy.GPUWish{Count: 1, Kind: "b.org/gpu", Memory: 1 << 30},
			device("a.org/gpu", 0, ""), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := (allocation{Request: Request{Wish: tt.wish}, all: []Device{tt.has}}).unknown(); got != tt.want {
				t.Errorf("unknown is %v, want %v", got, tt.want)
			}
		})
	}
}

// TestServersNamed checks that eight servers are named and more are not.
func TestServersNamed(t *testing.T) {
	var all []Lease
	for i := range 9 {
		key, err := ident.ParseKey("u"+strconv.Itoa(i), "")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, Lease{Key: key})
	}
	if got := servers(all[:8], ", "); strings.Contains(got, "others") || strings.Count(got, ", ") != 7 {
		t.Errorf("eight servers: %q", got)
	}
	if got := servers(all, ", "); !strings.HasSuffix(got, ", others") || strings.Count(got, ", ") != 8 {
		t.Errorf("nine servers: %q", got)
	}
}
