package scopes

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := map[string]struct{ in, wrong string }{
		"plain":               {"servers", ""},
		"custom":              {"custom:x_y:*", ""},
		"nothing":             {"(no_scope)", ""},
		"user":                {"servers!user=alice", ""},
		"default server":      {"servers!server=alice/", ""},
		"named server":        {"servers!server=alice/gpu", ""},
		"group":               {"users!group=Domain Users", ""},
		"group with signs":    {"users!group=a=b!c/ü", ""},
		"service":             {"access:services!service=culler", ""},
		"own user":            {"users!user", ""},
		"own server":          {"servers!server", ""},
		"own service":         {"access:services!service", ""},
		"empty":               {"", "name is missing"},
		"only a filter":       {"!user=alice", "name is missing"},
		"space":               {"servers ", `may not hold ' '`},
		"capital":             {"Servers", `may not hold 'S'`},
		"no filter":           {"servers!", "no such filter"},
		"unknown filter":      {"servers!host=x", "no such filter"},
		"unknown bare filter": {"servers!me", "no such filter"},
		"bare group":          {"users!group", "!group=NAME"},
		"empty group":         {"users!group=", "name of the group is missing"},
		"longest group":       {"users!group=" + strings.Repeat("g", 255), ""},
		"long group":          {"users!group=" + strings.Repeat("g", 256), "longer than 255"},
		"newline in group":    {"users!group=a\nb", "cannot be shown"},
		"not UTF-8":           {"users!group=\xff", "cannot be shown"},
		"empty user":          {"users!user=", "empty user name"},
		"wrong user":          {"users!user=../bob", "not allowed"},
		"wildcard":            {"users!user=*", "not allowed"},
		"two filters":         {"servers!user=alice!server=alice/", "not allowed"},
		"server by user only": {"servers!server=alice", "USER/SERVER"},
		"server of nobody":    {"servers!server=/x", "empty user name"},
		"wrong server":        {"servers!server=alice/X", "cannot use server name"},
		"two slashes":         {"servers!server=alice/x/y", "cannot use server name"},
		"empty service":       {"access:services!service=", "name of the service is missing"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := Parse(tt.in)
			switch {
			case tt.wrong == "" && err != nil:
				t.Error(err)
			case tt.wrong == "" && s.String() != tt.in:
				t.Errorf("Parse(%q) gave %q", tt.in, s)
			case tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)):
				t.Errorf("Parse(%q): %v; want %q", tt.in, err, tt.wrong)
			}
		})
	}
}

// FuzzParse checks that what is accepted is written in one way only.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"servers", "servers!user=alice", "servers!server=a/", "x!group=a=b", "x!service", "!",
		"a!user=!", "custom:a*!server"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		scope, err := Parse(s)
		if err != nil {
			return
		}
		if scope.String() != s {
			t.Errorf("Parse(%q) gave %q", s, scope)
		}
		if again, err := Parse(scope.String()); err != nil || again != scope {
			t.Errorf("Parse(%q) gave %v, then %v, %v", s, scope, again, err)
		}
	})
}
