package ident

import (
	"strings"
	"testing"
)

func TestParseUser(t *testing.T) {
	tests := map[string]struct {
		in string
		ok bool
	}{
		"plain":           {"alice", true},
		"dots and digits": {"a.b-c_9", true},
		"capitals":        {"Alice", true},
		"longest":         {strings.Repeat("a", 32), true},
		"empty":           {"", false},
		"too long":        {strings.Repeat("a", 33), false},
		"colon":           {"alice:x", false},
		"slash":           {"../bob", false},
		"dot":             {".", false},
		"dot dot":         {"..", false},
		"leading hyphen":  {"-rf", false},
		"digits":          {"0", false},
		"at":              {"alice@example.org", false},
		"space":           {"alice bob", false},
		"newline":         {"alice\n", false},
		"NUL":             {"alice\x00", false},
		"comma":           {"alice,dst=/", false},
		"not ASCII":       {"älice", false},
		"full-width":      {"ａlice", false},
		"percent":         {"alice%2Fbob", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			u, err := ParseUser(tt.in)
			if (err == nil) != tt.ok {
				t.Fatalf("ParseUser(%q) = %v, %v; want ok %v", tt.in, u, err, tt.ok)
			}
			if tt.ok && u.String() != tt.in {
				t.Errorf("ParseUser(%q) gave %q", tt.in, u)
			}
		})
	}
}

func TestParseServer(t *testing.T) {
	tests := map[string]struct {
		in string
		ok bool
	}{
		"default":       {"", true},
		"plain":         {"gpu-2", true},
		"one letter":    {"g", true},
		"longest":       {strings.Repeat("a", 30), true},
		"too long":      {strings.Repeat("a", 31), false},
		"digit first":   {"2gpu", false},
		"hyphen first":  {"-gpu", false},
		"hyphen last":   {"gpu-", false},
		"double hyphen": {"g--pu", false},
		"capital":       {"Gpu", false},
		"underscore":    {"_", false},
		"dot":           {"a.b", false},
		"slash":         {"a/b", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseServer(tt.in); (err == nil) != tt.ok {
				t.Fatalf("ParseServer(%q): %v; want ok %v", tt.in, err, tt.ok)
			}
		})
	}
}

// FuzzParseUnit checks that a unit name is accepted only if it is the one and
// only name of the key that it parses to.
func FuzzParseUnit(f *testing.F) {
	for _, s := range []string{"jupyter-alice.service", "jupyter-alice:x.service", "jupyter-a.service.service",
		"jupyter-:.service", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseUnit(s)
		if err == nil && k.Unit() != s {
			t.Errorf("ParseUnit(%q) = %v, whose unit is %q", s, k, k.Unit())
		}
	})
}
