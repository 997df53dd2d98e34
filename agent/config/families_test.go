package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/google/go-cmp/cmp"
)

const token = "0123456789abcdef0123456789abcdef"

func TestFamilyProblems(t *testing.T) {
	tests := map[string]struct {
		text string
		want []string // what stands after the line and key; good has 6 lines
	}{
		"unknown key":        {"[services.a]\nulr = \"x\"\n", []string{`8: services.a.ulr: unknown key; did you mean "services.a.url"?`}},
		"key without a name": {"[services]\nurl = \"x\"\n", []string{`8: services.url: expected a section such as [services.idle-culler], found text`}},

		"list of sections": {"[[services.a]]\n", []string{`7: services.a: expected a section such as [services.idle-culler], found a list`}},

		"family misspelt":       {"[service.a]\n", []string{`7: service: unknown section; did you mean "services"?`}},
		"service's name":        {"[services.Big]\n", []string{`7: services.Big: cannot be a service's name; use 1 to 63`}},
		"service's name, dots":  {"[services.\"..\"]\n", []string{`7: services."..": cannot be a service's name`}},
		"role's name":           {"[roles.ab]\n[roles.x]\n", []string{`7: roles.ab: cannot be a role's name`, `8: roles.x: cannot be a role's name`}},
		"admin":                 {"[roles.admin]\nscopes = []\n", []string{`7: roles.admin: the role "admin" cannot be changed`}},
		"default role's people": {"[roles.user]\nscopes = [\"self\"]\nusers = [\"alice\"]\n", []string{`9: roles.user.users: who has the role "user" is not for settings`}},
		"unknown service":       {"[roles.abc]\nservices = [\"a\"]\n", []string{`8: roles.abc.services: there is no section [services.a]`}},
		"scope's form":          {"[roles.abc]\nscopes = [\"a b\"]\n", []string{`8: roles.abc.scopes: expected a list of scopes`}},
		"unknown scope":         {"[roles.abc]\nscopes = [\"list:users\", \"bad\"]\n", []string{`8: roles.abc.scopes: no such scope "bad"`}},
		"custom not declared":   {"[roles.abc]\nscopes = [\"custom:x!user=a\"]\n", []string{`8: roles.abc.scopes: "custom:x" is not declared; add a section [custom_scopes."custom:x"]`}},
		"custom declared":       {"[roles.abc]\nscopes = [\"custom:x!user=a\"]\n[custom_scopes.\"custom:x\"]\ndescription=\"x\"\n", nil},
		"custom's name":         {"[custom_scopes.\"x:y\"]\ndescription=\"x\"\n", []string{`7: custom_scopes."x:y": cannot be a custom scope`}},
		"custom's subscopes":    {"[custom_scopes.\"custom:x\"]\ndescription=\"x\"\nsubscopes=[\"self\"]\n", []string{`9: custom_scopes."custom:x".subscopes: expected a list of custom scopes`}},
		"custom's words":        {"[custom_scopes.\"custom:x\"]\n", []string{`7: custom_scopes."custom:x".description: not set`}},
		"group's name":          {"[groups.\" a\"]\n", []string{`7: groups." a": cannot be a group's name`}},
		"group's member":        {"[groups.a]\nusers = [\"a b\"]\n", []string{`8: groups.a.users: expected a list of user names`}},
		"nested properties":     {"[groups.a.properties]\nx = [1]\n", []string{`7: groups.a.properties: expected a table of texts, numbers, true and false, such as { a = "b", n = 1 }; x is a list`}},
		"inline":                {"[services]\na = { url = \"http://127.0.0.1:1\", x = 1 }\n", []string{`8: services.a.x: unknown key`}},
		"url elsewhere":         {"[services.a]\nurl = \"http://192.0.2.1:80\"\n", []string{`8: services.a.url: expected "http://127.0.0.1:PORT" or "unix:/PATH"; "http://192.0.2.1:80" is no port of a loopback address`}},
		"url with a path":       {"[services.a]\nurl = \"http://127.0.0.1:80/x\"\n", []string{`8: services.a.url: expected`}},
		"url without a port":    {"[services.a]\nurl = \"http://127.0.0.1\"\n", []string{`8: services.a.url: expected`}},
		"https":                 {"[services.a]\nurl = \"https://127.0.0.1:1\"\n", []string{`8: services.a.url: expected`}},
		"socket up the tree":    {"[services.a]\nurl = \"unix:/run/../x\"\n", []string{`8: services.a.url: expected`}},
		"relative socket":       {"[services.a]\nurl = \"unix:x\"\n", []string{`8: services.a.url: expected`}},
		"oauth without a token": {"[services.a]\nurl = \"http://127.0.0.1:1\"\noauth = true\n", []string{`7: services.a.token_file: there is no token; put one into /etc/gifford-hub/secrets/service-a`}},
		"admin without a token": {"[services.a]\nadmin = true\n", []string{`7: services.a.token_file: there is no token`}},
		"scopes, no token":      {"[services.a]\nscopes = [\"list:users\"]\n", []string{`7: services.a.token_file: there is no token`}},
		"short token":           {"[services.short]\n", []string{`7: services.short.token_file: the token in`}},
		"two lines of token":    {"[services.lines]\n", []string{`7: services.lines.token_file: the token in`}},
		"token of two":          {"[services.t1]\n[services.t2]\n", []string{`8: services.t2.token_file: holds the token of the service "t1" too`}},
		"oauth without pages":   {"[services.t1]\noauth = true\n", []string{`8: services.t1.oauth: needs url`}},
		"oauth keys alone":      {"[services.a]\noauth_no_confirm = true\n", []string{`8: services.a.oauth_no_confirm: has no effect without oauth = true`}},
		"callback of others":    {"[services.t1]\nurl = \"http://127.0.0.1:1\"\noauth = true\noauth_redirect_uri = \"/user/mallory/cb\"\n", []string{`10: services.t1.oauth_redirect_uri: must be below /services/t1/`}},
		"callback up the tree":  {"[services.t1]\noauth_redirect_uri = \"/services/t1/../../user/mallory/\"\n", []string{`8: services.t1.oauth_redirect_uri: expected a path`}},
		"callback elsewhere":    {"[services.t1]\noauth = true\noauth_redirect_uri = \"https://t1.example.org/cb\"\n", nil},
		"client of another":     {"[services.t1]\noauth_client_id = \"jupyterhub-user-alice\"\n", []string{`8: services.t1.oauth_client_id: expected text that begins with "service-"`}},
		"client of two": {"[services.t1]\nurl = \"http://127.0.0.1:1\"\noauth = true\noauth_client_id = \"service-t3\"\n[services.t3]\nurl = \"http://127.0.0.1:1\"\noauth = true\n",
			[]string{`11: services.t3.oauth_client_id: is that of the service "t1" too`}},
		"unit":          {"[services.a]\nunit = \"x; reboot\"\n", []string{`8: services.a.unit: expected a unit`}},
		"named zero":    {"[servers]\nnamed = 0\n", []string{`8: servers.named: expected true, false or a number above zero; 0 is not from 1`}},
		"named text":    {"[servers]\nnamed = \"yes\"\n", []string{`8: servers.named: expected true, false or a number above zero, found text`}},
		"token's times": {"[tokens]\ndefault_expires_in = \"2h\"\nmax_expires_in = \"1h\"\n", []string{`8: tokens.default_expires_in: longer than tokens.max_expires_in`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			src := write(t, map[string]string{"hub.toml": good + tt.text, "secrets/service-short": "abc", "secrets/service-lines": token + "\n" + token,
				"secrets/service-t1": token, "secrets/service-t2": apiToken + token + "\n", "secrets/service-t3": "x" + token})
			src.Scopes = func(*Config) func(string) error {
				return func(s string) error {
					if s == "bad" {
						return errors.New(`no such scope "bad"`)
					}
					return nil
				}
			}
			_, err := Load(src)
			var problems Problems
			if err != nil && !errors.As(err, &problems) {
				t.Fatal(err)
			}
			if len(problems) != len(tt.want) {
				t.Fatalf("%d problems, want %d:\n%v", len(problems), len(tt.want), err)
			}
			for i, want := range tt.want {
				if got := strings.TrimPrefix(problems[i].Error(), src.File+":"); !strings.HasPrefix(got, want) {
					t.Errorf("problem %d is\n%s\nwant\n%s", i, got, want)
				}
			}
		})
	}
}

func TestFamilies(t *testing.T) {
	src := write(t, map[string]string{
		"hub.toml": good + `[http]
base_url = "/jhub"
[servers]
named = 3
[roles.instructor]
scopes = ["access:servers!group=course", "custom:x"]
groups = ["course"]
[groups."lab/course"]
users = ["alice"]
properties = { room = "1", seats = 4, open = true, ratio = 0.5 }
[custom_scopes."custom:x"]
description = "read x"
[services.web]
url = "unix:/run/web/sock"
oauth = true
[services.old]
display = false
`,
		"hub.d/1.toml":        "[services.web]\nunit = \"web.service\"\n[services.culler]\nscopes = [\"list:users\"]\n",
		"secrets/service-web": apiToken + token + "\n",
		"secrets/service-old": "x",
		"culler":              "a" + token,
	})
	dir := filepath.Dir(src.File)
	src.DropIns = filepath.Join(dir, "hub.d")
	more := filepath.Join(dir, "culler")
	src.File = filepath.Join(dir, "hub.toml")
	appendTo(t, src.File, "token_file = \""+more+"\"\n") // of old, whose credential does not count then
	appendTo(t, filepath.Join(dir, "hub.d/1.toml"), "token_file = \""+filepath.Join(dir, "token")+"\"\n")
	appendTo(t, filepath.Join(dir, "token"), "b"+token)
	c, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	alice, _ := ident.ParseUser("alice")
	want := &Config{Roles: map[string]*Role{"instructor": {Scopes: []string{"access:servers!group=course", "custom:x"}, Groups: []string{"course"}}},
		Groups: map[string]*Group{"lab/course": {Users: []ident.User{alice},
			Properties: map[string]any{"room": "1", "seats": int64(4), "open": true, "ratio": 0.5}}},
		CustomScopes: map[string]*CustomScope{"custom:x": {Description: "read x"}},
		Services: map[string]*Service{
			"web": {URL: "unix:/run/web/sock", OAuth: true, Display: true, Unit: "web.service", Token: NewSecret(token),
				OAuthClientID: "service-web", OAuthRedirectURI: "/jhub/services/web/oauth_callback"},
			"old": {Token: NewSecret("a" + token), TokenFile: more,
				OAuthClientID: "service-old", OAuthRedirectURI: "/jhub/services/old/oauth_callback"},
			"culler": {Scopes: []string{"list:users"}, Display: true, Token: NewSecret("b" + token), TokenFile: filepath.Join(dir, "token"),
				OAuthClientID: "service-culler", OAuthRedirectURI: "/jhub/services/culler/oauth_callback"},
		}}
	same := cmp.AllowUnexported(Secret{}, ident.User{})
	if diff := cmp.Diff([]any{want.Roles, want.Groups, want.CustomScopes, want.Services}, []any{c.Roles, c.Groups, c.CustomScopes, c.Services}, same); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !c.Servers.Named.Allowed() || c.Servers.Named.Limit() != 3 || Unlimited.Limit() != 0 || !c.Web.RedirectToServer {
		t.Errorf("named servers %d", c.Servers.Named)
	}
	var shown strings.Builder
	if err := c.Show(&shown); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n[services.web]\n", `[groups."lab/course"]`, `[custom_scopes."custom:x"]`, "named = 3", `# token = "***"`, "secrets/service-web", "1.toml:2",
		`properties = { open = true, ratio = 0.5, room = "1", seats = 4 }`} {
		if !strings.Contains(shown.String(), want) {
			t.Errorf("Show lacks %q:\n%s", want, &shown)
		}
	}
	if strings.Contains(shown.String(), token) {
		t.Errorf("Show tells a token:\n%s", &shown)
	}
}

func appendTo(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFamilyIsNoSection(t *testing.T) {
	c, err := defaults()
	if err != nil {
		t.Fatal(err)
	}
	got := apply(c, "f", []byte("services = 1\n"))
	want := "f:1: services: expected sections such as [services.idle-culler], found a whole number"
	if len(got) != 1 || got[0].Error() != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
