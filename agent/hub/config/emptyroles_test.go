package config

import (
	"strings"
	"testing"
)

// TestEmptyRoles checks that an empty list of scopes differs from a missing one, through all files, and that it is
// warned of for the default roles.
func TestEmptyRoles(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "",
		"[roles.user]\nusers = [\"alice\"]\n": "",
		"[roles.user]\nscopes = [\"self\"]\n": "",
		"[roles.own]\nscopes = []\n":          "",
		"[roles.user]\nscopes = []\n":         "user",
		"[roles.server]\nscopes = []\n[roles.token]\nscopes = [\n]\n":      "server token",
		"roles.token.scopes = []\nroles.token.description = \"nothing\"\n": "token",
	} {
		c, err := Load(write(t, map[string]string{"hub.toml": good, "hub.d/50-roles.toml": text}))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		var got []string
		for _, problem := range c.EmptyRoles() {
			got = append(got, strings.Fields(problem)[2])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", text, c.EmptyRoles(), want)
		}
	}
}
