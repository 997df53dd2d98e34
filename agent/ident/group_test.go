package ident

import (
	"strings"
	"testing"
)

func TestParseGroup(t *testing.T) {
	tests := map[string]struct {
		in string
		ok bool
	}{
		"plain":                {"cgs", true},
		"blank within":         {"domain users", true},
		"domain":               {`LAB\domain users`, true},
		"realm":                {"domain users@example.org", true},
		"not ASCII":            {"domänen-benutzer", true},
		"digits and a letter":  {"7up", true},
		"plus and a letter":    {"+admins", true},
		"longest":              {strings.Repeat("g", 256), true},
		"too long":             {strings.Repeat("g", 257), false},
		"empty":                {"", false},
		"option":               {"-s", false},
		"gid":                  {"6001", false},
		"gid with a sign":      {"+6001", false},
		"sign alone":           {"+", false},
		"blank first":          {" cgs", false},
		"blank last":           {"cgs ", false},
		"blank alone":          {" ", false},
		"gid after a blank":    {" 6001", false},
		"colon":                {"a:b", false},
		"comma":                {"a,b", false},
		"slash":                {"a/b", false},
		"tab within":           {"domain\tusers", false},
		"newline":              {"cgs\nx", false},
		"NUL":                  {"cgs\x00x", false},
		"delete":               {"cgs\x7fx", false},
		"not UTF-8":            {"cgs\xff", false},
		"change of direction":  {"cgs\u202ex", false},
		"no-break space":       {"domain\u00a0users", false},
		"no-break space first": {"\u00a0cgs", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseGroup(tt.in)
			if (err == nil) != tt.ok || tt.ok && got != tt.in || !tt.ok && got != "" {
				t.Errorf("ParseGroup(%q) = %q, %v; want ok %v", tt.in, got, err, tt.ok)
			}
		})
	}
}

func FuzzParseGroup(f *testing.F) {
	f.Add("domain users")
	f.Add("+12")
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := ParseGroup(s); err == nil && (got != s || s[0] == '-' || strings.ContainsAny(s, ":,/\n\t\x00")) {
			t.Errorf("%q is accepted", s)
		}
	})
}
