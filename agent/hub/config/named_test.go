package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/settings"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const token = "0123456789abcdef0123456789abcdef"

func TestNamedProblems(t *testing.T) {
	tests := map[string]struct {
		text string
		want []string // what follows the file's name; good has 6 lines
	}{
		"unknown key": {"[services.a]\nulr = \"x\"\n",
			[]string{`8: services.a.ulr: unknown key; did you mean "services.a.url"?`}},
		"key without a name": {"[services]\nurl = \"x\"\n",
			[]string{`8: services.url: expected a section [services.url], found text`}},
		"list of sections": {"[[services.a]]\n",
			[]string{`7: services.a: expected a section [services.a], found a list`}},
		"kind misspelt": {"[service.a]\n", []string{`7: service: unknown section; did you mean "services"?`}},
		"inline": {"[services]\na = { url = \"http://127.0.0.1:1\", x = 1 }\n",
			[]string{`8: services.a.x: unknown key`}},
		"service's name":       {"[services.Big]\n", []string{`7: services.Big: cannot use service name "Big"`}},
		"service's name, dots": {"[services.\"..\"]\n", []string{`7: services."..": cannot use service name`}},
		"role's name": {"[roles.ab]\n[roles.x]\n", []string{`7: roles.ab: cannot use role name`,
			`8: roles.x: cannot use role name`}},
		"service of a role": {"[roles.abc]\nservices = [\"a b\"]\n",
			[]string{`8: roles.abc.services: expected a list of services`}},
		"custom not declared": {"[roles.abc]\nscopes = [\"custom:xyz!user=a\"]\n",
			[]string{`8: roles.abc.scopes: cannot define role "abc"`}},
		"custom declared": {"[roles.abc]\nscopes = " +
			"[\"custom:xyz!service=a\"]\n[custom_scopes.\"custom:xyz\"]\ndescription=\"x\"\n", nil},
		"custom's subscopes": {"[custom_scopes.\"custom:xyz\"]\ndescription=\"x\"\nsubscopes=[\"self\"]\n",
			[]string{`9: custom_scopes."custom:xyz".subscopes: "self" is not a custom scope`}},
		"custom's words": {"[custom_scopes.\"custom:xyz\"]\n",
			[]string{`7: custom_scopes."custom:xyz".description: not set`}},
		"group's name": {"[groups.\" a\"]\n", []string{`7: groups." a": cannot be a group's name`}},
		"group's member": {"[groups.a]\nusers = [\"a b\"]\n",
			[]string{`8: groups.a.users: expected a list of user names`}},
		"nested properties": {"[groups.a.properties]\nx = [1]\n",
			[]string{`7: groups.a.properties: expected a table of texts, numbers, true and false, ` +
				`such as { a = "b", n = 1 }; x is a list`}},
		"url without a scheme": {"[services.a]\nurl = \"127.0.0.1:80\"\n",
			[]string{`8: services.a.url: expected "http://HOST:PORT"`}},
		"url with a path": {"[services.a]\nurl = \"http://127.0.0.1:80/x\"\n",
			[]string{`8: services.a.url: expected`}},
		"url with a question": {"[services.a]\nurl = \"http://127.0.0.1:80?x\"\n",
			[]string{`8: services.a.url: expected`}},
		"url with a password": {"[services.a]\nurl = \"http://a:b@127.0.0.1:80\"\n",
			[]string{`8: services.a.url: expected`}},
		"url without a host": {"[services.a]\nurl = \"http://:80\"\n", []string{`8: services.a.url: expected`}},
		"url, port": {"[services.a]\nurl = \"http://127.0.0.1:99999\"\n",
			[]string{`8: services.a.url: expected`}},
		"socket up the tree": {"[services.a]\nurl = \"unix:/run/../x\"\n", []string{`8: services.a.url: expected`}},
		"relative socket":    {"[services.a]\nurl = \"unix:x\"\n", []string{`8: services.a.url: expected`}},
		"long socket": {"[services.a]\nurl = \"unix:/" + strings.Repeat("x", 107) + "\"\n",
			[]string{`8: services.a.url: expected`}},
		"oauth without a token": {"[services.a]\nurl = \"http://127.0.0.1:1\"\noauth = true\n",
			[]string{`9: services.a.oauth: needs a token`}},
		"admin without a token": {"[services.a]\nadmin = true\n",
			[]string{`7: services.a.token_file: the service has rights but no token; ` +
				`put one into /etc/gifford-hub/secrets/service-a`}},
		"scopes, no token": {"[services.a]\nscopes = [\"list:users\"]\n",
			[]string{`7: services.a.token_file: the service has rights but no token`}},
		"unknown scope":      {"[services.t1]\nscopes = [\"list:userz\"]\n", []string{`8: services.t1.scopes: `}},
		"short token":        {"[services.short]\n", []string{`7: services.short.token_file: the token in`}},
		"two lines of token": {"[services.lines]\n", []string{`7: services.lines.token_file: `}},
		"token of two": {"[services.t1]\n[services.t2]\n",
			[]string{`8: services.t2.token_file: the token in`}},
		"oauth without pages": {"[services.t1]\noauth = true\n", nil},
		"oauth keys alone": {"[services.a]\noauth_no_confirm = true\n",
			[]string{`8: services.a.oauth_no_confirm: has no effect without oauth = true`}},
		"callback of others": {"[services.t1]\nurl = \"http://127.0.0.1:1\"\noauth = true\noauth_redirect_uri = " +
			"\"/user/mallory/cb\"\n", []string{`10: services.t1.oauth_redirect_uri: must be below /services/t1/`}},
		"callback up the tree": {"[services.t1]\noauth_redirect_uri = \"/services/t1/../../user/mallory/\"\n",
			[]string{`8: services.t1.oauth_redirect_uri: expected a path`}},
		"callback, other host": {"[services.t1]\noauth_redirect_uri = \"//evil.example.org/x\"\n",
			[]string{`8: services.t1.oauth_redirect_uri: expected a path`}},
		"callback elsewhere": {"[services.t1]\noauth = true\noauth_redirect_uri = \"https://t1.example.org/cb\"\n",
			nil},
		"client of two": {"[services.t1]\nurl = \"http://127.0.0.1:1\"\noauth = true\noauth_client_id = " +
			"\"service-t3\"\n[services.t3]\nurl = \"http://127.0.0.1:1\"\noauth = true\n",
			[]string{`11: services.t3.oauth_client_id: is the OAuth client id of service "t1" as well`}},
		"unit": {"[services.a]\nunit = \"x; reboot\"\n", []string{`8: services.a.unit: expected a unit`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			src := write(t, map[string]string{"hub.toml": good + tt.text, "secrets/service-short": "abc",
				"secrets/service-lines": token + "\n" + token,
				"secrets/service-t1":    token, "secrets/service-t2": APIToken + token + "\n",
				"secrets/service-t3": "x" + token})
			_, err := Load(src)
			var problems settings.Problems
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

// TestNamedMerge reads sections of several files, and tokens of both sources.
func TestNamedMerge(t *testing.T) {
	dir := t.TempDir()
	more := filepath.Join(dir, "token")
	src := write(t, map[string]string{
		"hub.toml": good + `[http]
base_url = "/jhub"
[groups."lab/course"]
users = ["alice"]
properties = { room = "1", seats = 4, open = true, ratio = 0.5 }
[services.web]
url = "unix:/run/web/sock"
oauth = true
[services.hidden]
display = false
`,
		"hub.d/1.toml": "[services.web]\nunit = \"web@1.service\"\n[services.hidden]\ntoken_file = " +
			"\"TOKEN\"\n",
		"secrets/service-web":    APIToken + token + "\n",
		"secrets/service-hidden": "token_file goes first",
	})
	replace(t, filepath.Join(filepath.Dir(src.File), "hub.d/1.toml"), "TOKEN", more)
	replace(t, more, "", "a"+token)
	c, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	alice, _ := ident.ParseUser("alice")
	wantGroups := map[string]*Group{"lab/course": {Users: []ident.User{alice},
		Properties: map[string]any{"room": "1", "seats": int64(4), "open": true, "ratio": 0.5}}}
	wantServices := map[string]*Service{
		"web": {URL: "unix:/run/web/sock", OAuth: true, Display: true, Unit: "web@1.service",
			Token: NewSecret(token)},
		"hidden": {Token: NewSecret("a" + token), TokenFile: more},
	}
	same := []cmp.Option{cmp.AllowUnexported(Secret{}, ident.User{}), cmpopts.IgnoreUnexported(Service{})}
	if diff := cmp.Diff(wantGroups, c.Groups, same...); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantServices, c.Services, same...); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	if got := c.RedirectURI("web"); got != "/jhub/services/web/oauth_callback" {
		t.Errorf("the callback is %s", got)
	}
	if file, env := c.TokenFile("web"); !strings.HasSuffix(file, "secrets/service-web") || !env {
		t.Errorf("web's token is from %q, %v", file, env)
	}
	if file, env := c.TokenFile("hidden"); file != more || env {
		t.Errorf("hidden's token is from %q, %v", file, env)
	}
	var shown strings.Builder
	if err := c.Show(&shown); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n[services.web]\n", `[groups."lab/course"]`, "1.toml:2",
		`properties = { open = true, ratio = 0.5, room = "1", seats = 4 }`} {
		if !strings.Contains(shown.String(), want) {
			t.Errorf("Show lacks %q:\n%s", want, &shown)
		}
	}
	if strings.Contains(shown.String(), token) {
		t.Errorf("Show tells a token:\n%s", &shown)
	}
}

// replace changes a file. Without an old text it makes the file of the new text.
func replace(t *testing.T, file, from, to string) {
	t.Helper()
	text := to
	if from != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = strings.ReplaceAll(string(data), from, to)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
