package policy

import (
	"slices"
	"testing"
)

// TestNumbersAsWords checks that a number that stands for a word is the word in the file, not the number's usual form.
func TestNumbersAsWords(t *testing.T) {
	p, err := Parse("launcher.toml", []byte(`
[host]
home_mode = 711
[profile.lab]
image = "a"
args = [3.10, 0x10, true]
env = { PYTHON = 3.10, "N" = 1_000 }
`))
	if err != nil {
		t.Fatal(err)
	}
	got := p.Profiles[0]
	if !slices.Equal(got.Args, []string{"3.10", "0x10", "true"}) || got.Env["PYTHON"] != "3.10" ||
		got.Env["N"] != "1_000" || p.Host.HomeMode != 0o711 {
		t.Errorf("args %v, env %v, mode %o", got.Args, got.Env, p.Host.HomeMode)
	}
	for _, bad := range []string{"[host]\nhome_mode = 0o711\n", "[host]\numask = 0o27\n", "[host]\nhome_mode = 1.0\n",
		"[defaults]\nmemory_max = 1.0\n", "[defaults]\ngpus = 0x2\n", "[defaults]\ntasks_max = 1e3\n"} {
		if p, err := Parse("launcher.toml", []byte("[profile.lab]\nimage = \"a\"\n"+bad)); err == nil {
			t.Errorf("%q is taken: %+v", bad, p)
		}
	}
}
