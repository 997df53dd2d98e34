package config

import "testing"

func TestFreeSpace(t *testing.T) {
	tests := map[string]struct {
		text string
		want FreeSpace
		show string // "" where the text is refused
	}{
		"percent": {"5%", FreeSpace{Percent: 5}, `"5%"`}, "fraction": {"99.9%", FreeSpace{Percent: 99.9}, `"99.9%"`},
		"never": {"0%", FreeSpace{}, `"0%"`},
		"size":  {"20G", FreeSpace{Bytes: 20 << 30}, `"20G"`}, "bytes": {"1500", FreeSpace{Bytes: 1500}, `"1500"`},
		"zero":  {"0", FreeSpace{}, `"0%"`},
		"above": {"101%", FreeSpace{}, ""}, "below": {"-1%", FreeSpace{}, ""}, "no number": {"NaN%", FreeSpace{}, ""},
		"unit":  {"5 GB", FreeSpace{}, ""},
		"empty": {"", FreeSpace{}, ""}, "large": {"99999999T", FreeSpace{}, ""}, "unit alone": {"G", FreeSpace{}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseFreeSpace(tt.text)
			if (err == nil) != (tt.show != "") || got != tt.want || err == nil && showFreeSpace(got) != tt.show {
				t.Errorf("got %+v, %v, shown as %s", got, err, showFreeSpace(got))
			}
		})
	}
}
