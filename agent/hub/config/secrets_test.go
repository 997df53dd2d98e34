package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const bare = "[login]\nissuer = \"https://id.example.org\"\n[tls]\ncertificate = \"/tls.pem\"\n"

func TestOldEnvFile(t *testing.T) {
	old := "# made in " +
		"2016\nOAUTH_CALLBACK_URL=https://hub.example.org/hub/oauth2_callback\n" +
		"OAUTH_CLIENT_ID=old\nOAUTH_CLIENT_SECRET=\"a=b# c\"\nOTHER=1\n"
	tests := map[string]struct {
		files              map[string]string
		env                map[string]string
		id, secret, origin string
	}{
		"file of the old set-up": {map[string]string{"secrets/oauth.env": old}, nil, "old", `"a=b# c"`, "oauth.env"},
		"settings go first": {map[string]string{"secrets/oauth.env": old,
			"hub.d/1.toml": "login.client_id = \"new\"\n"}, nil, "new", `"a=b# c"`, "oauth.env"},
		"secret as credential": {map[string]string{"secrets/oauth.env": old, "secrets/client-secret": "s3\r\n"}, nil,
			"old", "s3", "client-secret"},
		"environment": {nil, map[string]string{"OAUTH_CALLBACK_URL": "https://hub.example.org/cb",
			"OAUTH_CLIENT_ID": "env", "OAUTH_CLIENT_SECRET": "e"},
			"env", "e", "$OAUTH_CLIENT_SECRET"},
		"name alone": {map[string]string{"secrets/oauth.env": "OAUTH_CLIENT_SECRET\nOAUTH_CLIENT_ID=x\n" +
			"OAUTH_CALLBACK_URL=https://h/cb\n"},
			map[string]string{"OAUTH_CLIENT_SECRET": "e"}, "x", "e", "oauth.env"},
		"no secret": {map[string]string{"secrets/oauth.env": "OAUTH_CLIENT_ID=x\nOAUTH_CALLBACK_URL=https://h/cb\n"},
			nil, "x", "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"hub.toml": bare}
			for n, text := range tt.files {
				files[n] = text
			}
			src := write(t, files)
			src.Lookup = func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok }
			c, err := Load(src)
			if err != nil {
				t.Fatal(err)
			}
			o, _ := c.Origin("login.client_secret")
			if c.Login.ClientID != tt.id || c.Login.ClientSecret.Reveal() != tt.secret ||
				!strings.HasSuffix(o.File, tt.origin) {
				t.Errorf("client %q, secret %q from %q", c.Login.ClientID, c.Login.ClientSecret.Reveal(), o.File)
			}
			var shown strings.Builder
			if err := c.Show(&shown); err != nil {
				t.Fatal(err)
			}
			if tt.secret != "" && (strings.Contains(shown.String(), "\""+tt.secret+"\"") ||
				!strings.Contains(shown.String(), "***")) {
				t.Errorf("Show tells the secret:\n%s", &shown)
			}
		})
	}
}

// TestCredentials checks the names that systemd chooses for a directory's files, and that the directory itself is then
// not read.
func TestCredentials(t *testing.T) {
	src := write(t, map[string]string{"hub.toml": bare,
		"creds/hub_oauth.env":     "OAUTH_CLIENT_ID=x\nOAUTH_CALLBACK_URL=https://h/cb\n",
		"creds/hub_client-secret": "from systemd\n", "secrets/client-secret": "not this"})
	src.Credentials = strings.Replace(src.Secrets, "secrets", "creds", 1)
	c, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Login.ClientSecret.Reveal(); got != "from systemd" || c.Login.ClientID != "x" {
		t.Errorf("client %q with secret %q", c.Login.ClientID, got)
	}
}

func TestSecretHides(t *testing.T) {
	s := NewSecret("hunter2")
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "s", s, "in", struct{ S Secret }{s})
	encoded, err := json.Marshal(struct{ S Secret }{s})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s),
		fmt.Sprintf("%#v", struct{ S Secret }{s}), log.String(), string(encoded)} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the secret is told: %s", text)
		}
	}
}

func TestParseEnvFile(t *testing.T) {
	lookup := func(name string) (string, bool) { return "of " + name, name == "SET" }
	got, problems := ParseEnvFile("f", []byte("\ufeffA=1\r\n  # no\n\tB= two "+
		"\nC='q'\nD=a=b\nSET\nUNSET\nA=2\nE=\n#\n\n"), lookup)
	want := map[string]string{"A": "2", "B": " two ", "C": "'q'", "D": "a=b", "SET": "of SET", "E": ""}
	if diff := cmp.Diff(want, got); diff != "" || len(problems) > 0 {
		t.Errorf("problems %v (-want +got):\n%s", problems, diff)
	}
	for text, line := range map[string]int{"=x": 1, "\nA B=1": 2, "A\xff=1": 1, "A=\x00": 1} {
		if _, problems := ParseEnvFile("f", []byte(text), lookup); len(problems) != 1 || problems[0].Line != line {
			t.Errorf("%q: %v", text, problems)
		}
	}
}

func FuzzParseEnvFile(f *testing.F) {
	f.Add("A=1\n#x\nB\n")
	f.Add("\ufeff=\r\n\x00")
	f.Fuzz(func(t *testing.T, s string) {
		got, problems := ParseEnvFile("f", []byte(s), func(string) (string, bool) { return "", false })
		for name, value := range got {
			if name == "" || strings.ContainsAny(name, " \t=\n") || strings.ContainsAny(value, "\n\x00") {
				t.Errorf("%q gave %q=%q", s, name, value)
			}
		}
		for _, p := range problems {
			if p.Line < 1 || p.Line > 1+strings.Count(s, "\n") {
				t.Errorf("%q: problem at line %d", s, p.Line)
			}
		}
	})
}
