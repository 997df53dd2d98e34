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
		"ends of ranges":  {"azAZ_09", true},
		"underscore":      {"_", true},
		"digit first":     {"0a", false},
		"hyphen first":    {"-a", false},
		"before a":        {"`", false},
		"after z":         {"{", false},
		"before A":        {"@", false},
		"after Z":         {"[", false},
		"before 0":        {"a/", false},
		"after 9":         {"a:", false},
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
			if tt.ok && u.String() != tt.in || u.IsZero() == tt.ok {
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
		"default":        {"", true},
		"plain":          {"gpu-2", true},
		"one letter":     {"g", true},
		"longest":        {strings.Repeat("a", 30), true},
		"ends of ranges": {"az09", true},
		"before a":       {"`", false},
		"after z":        {"{", false},
		"before 0":       {"a/", false},
		"after 9":        {"a:", false},
		"too long":       {strings.Repeat("a", 31), false},
		"digit first":    {"2gpu", false},
		"hyphen first":   {"-gpu", false},
		"hyphen last":    {"gpu-", false},
		"double hyphen":  {"g--pu", false},
		"capital":        {"Gpu", false},
		"underscore":     {"_", false},
		"dot":            {"a.b", false},
		"slash":          {"a/b", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := ParseServer(tt.in)
			if (err == nil) != tt.ok {
				t.Fatalf("ParseServer(%q): %v; want ok %v", tt.in, err, tt.ok)
			}
			if tt.ok && s.String() != tt.in || !tt.ok && !s.IsDefault() || s.IsDefault() != (s.String() == "") {
				t.Errorf("ParseServer(%q) = %q", tt.in, s)
			}
		})
	}
}

func TestParseKey(t *testing.T) {
	if k, err := ParseKey("alice", "gpu"); err != nil || k != (Key{User{"alice"}, Server{"gpu"}}) {
		t.Errorf("%v, %v", k, err)
	}
	for _, bad := range badUsers {
		if k, err := ParseKey(bad, "gpu"); err == nil || k != (Key{}) {
			t.Errorf("the user %q was taken: %+v", bad, k)
		}
	}
	for _, bad := range badServers {
		if k, err := ParseKey("alice", bad); err == nil || k != (Key{}) {
			t.Errorf("the server %q was taken: %+v", bad, k)
		}
	}
}

// TestNamesOfAKey checks the forms of a key, and that ParseUnit takes that of its unit alone.
func TestNamesOfAKey(t *testing.T) {
	tests := map[Key]struct{ text, unit, path string }{
		{User: User{"alice"}}:            {"alice", "jupyter-alice.service", "/user/alice/"},
		{User{"alice"}, Server{"gpu-2"}}: {"alice:gpu-2", "jupyter-alice:gpu-2.service", "/user/alice/gpu-2/"},
	}
	for key, want := range tests {
		if key.String() != want.text || key.Unit() != want.unit || key.Path() != want.path {
			t.Errorf("%q, %q, %q; want %+v", key, key.Unit(), key.Path(), want)
		}
		if got, err := ParseUnit(want.unit); err != nil || got != key {
			t.Errorf("ParseUnit(%q) = %+v, %v", want.unit, got, err)
		}
	}
	for _, bad := range []string{"", "jupyter-", "alice.service", "jupiter-alice.service", "xjupyter-alice.service",
		"jupyter-alice", "jupyter-alice.socket", "jupyter-alice.service.d", "jupyter-.service", "jupyter-:gpu.service",
		"jupyter-alice:.service", "jupyter-alice:Gpu.service", "jupyter-alice:a:b.service", "jupyter-9.service"} {
		if got, err := ParseUnit(bad); err == nil || got != (Key{}) {
			t.Errorf("ParseUnit(%q) = %+v", bad, got)
		}
	}
}

// TestHashToken fixes the form in which the database has tokens: another one would void them all.
func TestHashToken(t *testing.T) {
	const want = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b" // of sha256sum(1)
	if got := HashToken("secret"); got != want {
		t.Errorf("%s, want %s", got, want)
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
