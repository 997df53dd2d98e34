package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// good is the least that a hub needs.
const good = `[login]
issuer = "https://id.example.org"
client_id = "hub"
callback_url = "https://hub.example.org/hub/oauth_callback"
[tls]
certificate = "/tls.pem"
`

// write makes a directory of settings; names with a slash go into sub-directories.
func write(t *testing.T, files map[string]string) Source {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Host(filepath.Join(dir, "hub.toml"), func(string) (string, bool) { return "", false })
}

func TestProblems(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		want  []string // without the directory
	}{
		"good": {map[string]string{"hub.toml": good}, nil},
		"not TOML": {map[string]string{"hub.toml": good, "hub.d/9.toml": "[http\n"},
			[]string{"hub.d/9.toml:1: cannot read this as TOML: "}},
		"same key twice": {map[string]string{"hub.toml": good,
			"hub.d/9.toml": "[log]\nlevel = \"info\"\nlevel = \"warn\"\n"},
			[]string{"hub.d/9.toml:3: cannot read this as TOML: "}},
		"unknown key": {map[string]string{"hub.toml": good + "\n[http]\n# x\nbase_uri = \"/\"\n"},
			[]string{`hub.toml:10: http.base_uri: unknown key; did you mean "http.base_url"?`}},
		"other section": {map[string]string{"hub.toml": good + "issuer = \"x\"\n"},
			[]string{`hub.toml:7: tls.issuer: unknown key; did you mean "login.issuer"?`}},
		"top level": {map[string]string{"hub.toml": "issuer = \"x\"\n" + good},
			[]string{`hub.toml:1: issuer: unknown key; did you mean "login.issuer"?`}},
		"quoted dots": {map[string]string{"hub.toml": "\"login.issuer\" = \"x\"\n" + good},
			[]string{`hub.toml:1: "login.issuer": unknown key; did you mean "login.issuer"?`}},
		"unknown section": {map[string]string{"hub.toml": good + "[acess]\n"},
			[]string{`hub.toml:7: acess: unknown section; did you mean "access"?`}},
		"nothing near": {map[string]string{"hub.toml": good + "[zzzzzzzz]\nqqqqqqqqqqqqqqq = 1\n"},
			[]string{`hub.toml:7: zzzzzzzz: unknown section; gifford-hub.toml(5) lists all`}},
		"no section": {map[string]string{"hub.toml": "log = 1\n" + good},
			[]string{`hub.toml:1: log: expected a section [log], found a whole number`}},
		"array of tables": {map[string]string{"hub.toml": good + "[[log]]\nlevel = 1\n"},
			[]string{`hub.toml:7: log: expected a section [log], found a list of other things`}},
		"wrong types": {map[string]string{"hub.toml": good +
			"[http]\nredirect_port = \"eighty\"\nbehind_proxy = 1\ndrain_timeout = 5\ntrusted_proxies = [1]\n"},
			[]string{
				"hub.toml:8: http.redirect_port: expected a port from 0 to 65535, found text",
				"hub.toml:9: http.behind_proxy: expected true or false, found a whole number",
				`hub.toml:10: http.drain_timeout: expected a time above zero, such as "30s", "5m" ` +
					`or "24h", found a whole number`,
				`hub.toml:11: http.trusted_proxies: expected a list of addresses or networks, such ` +
					`as ["127.0.0.1", "10.0.0.0/8"], found a list of other things`}},
		"bad values": {map[string]string{"hub.toml": good, "hub.d/1.toml": "http.redirect_port = " +
			"70000\naccess.users = [\"a b\"]\naccess.recheck = \"-1s\"\nlog.level = \"loud\"\nlogin.username_map.x " +
			"= \"../y\"\n"}, []string{
			"hub.d/1.toml:1: http.redirect_port: expected a port from 0 to 65535; 70000 is out of range",
			`hub.d/1.toml:2: access.users: expected a list of user names, such as ["alice", "bob"]; ` +
				`cannot use user name "a b"`,
			`hub.d/1.toml:3: access.recheck: expected a time above zero`,
			`hub.d/1.toml:4: log.level: expected "debug", "info", "warn" or "error"; "loud" is none of these`,
			`hub.d/1.toml:5: login.username_map: expected a table of names`}},
		"both files": {map[string]string{"hub.toml": good + "x = 1\n", "hub.d/1.toml": "y = 1\n"},
			[]string{"hub.toml:7: tls.x: unknown key", "hub.d/1.toml:1: y: unknown key"}},
		"nothing set": {map[string]string{"hub.toml": ""}, []string{"hub.toml: login.issuer: not set",
			"hub.toml: login.client_id: not set",
			"hub.toml: login.callback_url: not set", "hub.toml: tls.certificate: not set"}},
		"TLS behind a proxy": {map[string]string{"hub.toml": good + "[http]\nbehind_proxy = true\n"},
			[]string{"hub.toml:6: tls.certificate: contradicts http.behind_proxy"}},
		"key alone": {map[string]string{"hub.toml": strings.Replace(good, "certificate", "key", 1)},
			[]string{"hub.toml: tls.certificate: not set", "hub.toml:6: tls.key: set without"}},
		"hosts": {map[string]string{"hub.toml": good + "[http]\nhosts = [\"hub.example.org:443\"]\n"},
			[]string{`hub.toml:8: http.hosts: expected a list of host names or addresses`}},
		"hosts with a scheme": {map[string]string{"hub.toml": good + "[http]\nhosts = [\"https://a\"]\n"},
			[]string{`hub.toml:8: http.hosts: expected a list of host names or addresses`}},
		"a public URL beyond ASCII": {map[string]string{"hub.toml": good +
			"[http]\npublic_url = \"https://h\u00fcb.example.org/\"\n", "hub.d/1.toml": "login.callback_url = " +
			"\"https://h\u00fcb.example.org/hub/oauth_callback\"\n"},
			[]string{"hub.toml:8: http.public_url: its host is not in the form in which browsers ask"}},
		"proxies without proxy": {map[string]string{"hub.toml": good + "[http]\ntrusted_proxies = []\n"},
			[]string{"hub.toml:8: http.trusted_proxies: has no effect"}},
		"plain callback": {map[string]string{"hub.toml": good,
			"hub.d/1.toml": "login.callback_url = \"http://hub.example.org/cb\"\n"},
			[]string{"hub.d/1.toml:1: login.callback_url: must begin with https"}},
		"callback is a server": {map[string]string{"hub.toml": good,
			"hub.d/1.toml": "login.callback_url = \"https://hub.example.org/user/cb\"\n"},
			[]string{"hub.d/1.toml:1: login.callback_url: the path /user/cb has another meaning"}},
		"email without pattern": {map[string]string{"hub.toml": good,
			"hub.d/1.toml": "login.username_claim = \"email\"\n"},
			[]string{"hub.toml: login.username_pattern: required when"}},
		"other public host": {map[string]string{"hub.toml": good,
			"hub.d/1.toml": "http.public_url = \"https://other.example.org/\"\n"},
			[]string{"hub.d/1.toml:1: http.public_url: is on https://other.example.org"}},
		"public path": {map[string]string{"hub.toml": good,
			"hub.d/1.toml": "http.public_url = \"https://hub.example.org/x\"\n"},
			[]string{"hub.d/1.toml:1: http.public_url: its path must be http.base_url"}},
		"origin without member": {map[string]string{"hub.toml": good,
			"hub.d/1.toml": "servers.origin = \"https://hub.example.org\"\n"},
			[]string{"hub.d/1.toml:1: servers.origin: must begin with \"https://{user}.\""}},
		"all and some": {map[string]string{"hub.toml": good,
			"hub.d/1.toml": "access.allow_all = true\naccess.users = [\"alice\"]\n"},
			[]string{"hub.d/1.toml:1: access.allow_all: contradicts"}},
		"blocked and listed": {map[string]string{"hub.toml": good,
			"hub.d/1.toml": "access.blocked_users = [\"alice\"]\naccess.users = [\"alice\"]\n"},
			[]string{"hub.d/1.toml:1: access.blocked_users: names alice"}},
		"cull": {map[string]string{"hub.toml": good, "hub.d/1.toml": "[cull]\nenabled = true\nidle = 5\nmax_age = " +
			"\"x\"\nbusy_cpu = -1\nfoo = 1\n[cull.group]\nstaff = 1\n"}, []string{
			"hub.d/1.toml:3: cull.idle: expected a time, such as", "hub.d/1.toml:4: cull.max_age: expected a time",
			"hub.d/1.toml:5: cull.busy_cpu: expected a whole number of percent, such as 5, or 0; -1 is out of range",
			"hub.d/1.toml:6: cull.foo: unknown key", "hub.d/1.toml:8: cull.group.staff: expected a section, found a " +
				"whole number"}},
		"cull group's key": {map[string]string{"hub.toml": good,
			"hub.d/1.toml": "[cull.group.staff]\nidle = \"2h\"\nidel = 1\n"},
			[]string{"hub.d/1.toml:3: cull.group.staff.idel: unknown key; a group has idle, max_age, gpu_idle and " +
				"exempt"}},
		"cull group's value": {map[string]string{"hub.toml": good,
			"hub.d/1.toml": "[cull.group.\"domain users\"]\nexempt = \"yes\"\n"},
			[]string{`hub.d/1.toml:2: cull.group."domain users".exempt: expected true or false, found text`}},
		"cull group's name": {map[string]string{"hub.toml": good, "hub.d/1.toml": "[cull.group.\"a,b\"]\n"},
			[]string{`hub.d/1.toml:1: cull.group."a,b": cannot use group name "a,b": a colon`}},
		"cull notice": {map[string]string{"hub.toml": good,
			"hub.d/1.toml": "[cull]\nenabled = true\nnotice = \"1h\"\n"},
			[]string{"hub.d/1.toml:3: cull.notice: not shorter than idle, so"}},
		"cull group notice": {map[string]string{"hub.toml": good,
			"hub.d/1.toml": "[cull]\nenabled = true\ngroup = { x = { idle = \"5m\" } }\n"},
			[]string{"hub.toml: cull.notice: not shorter than idle of group x"}},
		"cull never": {map[string]string{"hub.toml": good,
			"hub.d/1.toml": "[cull]\nenabled = true\nidle = \"0s\"\n"},
			[]string{"hub.d/1.toml:2: cull.enabled: has no effect"}},
		"cull gpu alone": {map[string]string{"hub.toml": good,
			"hub.d/1.toml": "[cull]\nenabled = true\nidle = \"0s\"\ngpu_idle = \"2h\"\n"}, nil},
		"cull gpu unseen": {map[string]string{"hub.toml": good,
			"hub.d/1.toml": "[cull]\nenabled = true\ngpu_idle = \"2h\"\ngpu_busy = 0\n"},
			[]string{"hub.d/1.toml:3: cull.gpu_idle: contradicts gpu_busy = 0"}},
		"cull gpu notice": {map[string]string{"hub.toml": good,
			"hub.d/1.toml": "[cull]\nenabled = true\ngpu_idle = \"10m\"\n"},
			[]string{"hub.d/1.toml:3: cull.gpu_idle: not longer than notice, so"}},
		"cull gpu at once": {map[string]string{"hub.toml": good,
			"hub.d/1.toml": "[cull]\nenabled = true\nnotice = \"0s\"\ngroup = { x = { gpu_idle = \"1s\" } }\n"},
			[]string{"hub.toml: cull.gpu_idle: shorter than 1m of group x"}},
		"cull gpu action": {map[string]string{"hub.toml": good, "hub.d/1.toml": "[cull]\ngpu_action = \"kill\"\n"},
			[]string{`hub.d/1.toml:2: cull.gpu_action: expected "restart" or "stop"`}},
		"cull gpu above all": {map[string]string{"hub.toml": good, "hub.d/1.toml": "cull.gpu_busy = 101\n"},
			[]string{"hub.d/1.toml:1: cull.gpu_busy: above 100 percent"}},
		"cull is off": {map[string]string{"hub.toml": good,
			"hub.d/1.toml": "[cull]\nidle = \"0s\"\nnotice = \"9h\"\n"}, nil},
		"old file": {map[string]string{"hub.toml": good, "secrets/oauth.env": "A=1\n=x\nB C=1\n"},
			[]string{"secrets/oauth.env:2: the name before", "secrets/oauth.env:3: the name contains a blank"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			src := write(t, tt.files)
			_, err := Load(src)
			var problems settings.Problems
			if err != nil && !errors.As(err, &problems) {
				t.Fatal(err)
			}
			if len(problems) != len(tt.want) {
				t.Fatalf("%d problems, want %d:\n%v", len(problems), len(tt.want), err)
			}
			for i, want := range tt.want {
				if got := strings.TrimPrefix(problems[i].Error(), filepath.Dir(src.File)+"/"); !strings.HasPrefix(got,
					want) {
					t.Errorf("problem %d is\n%s\nwant\n%s", i, got, want)
				}
			}
		})
	}
}

func TestMerge(t *testing.T) {
	src := write(t, map[string]string{
		"hub.toml":            good + "[access]\nunix_groups = [\"cgs\"]\nrecheck = \"2s\"\n",
		"hub.d/10-a.toml":     "[access]\nunix_groups = [\"a\", \"b\"]\n[http]\nbase_url = \"/x\"\n",
		"hub.d/20-b.toml":     "[access]\nunix_groups = [\"c\"]\n",
		"hub.d/30-c.toml.old": "not read",
		"hub.d/.30-c.toml":    "not read",
	})
	c, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"c"}, c.Access.UnixGroups); diff != "" {
		t.Errorf("unix_groups (-want +got):\n%s", diff)
	}
	if c.Access.Recheck != 2*time.Second || c.Access.MaxStale != 24*time.Hour {
		t.Errorf("recheck %v, max_stale %v", c.Access.Recheck, c.Access.MaxStale)
	}
	if c.HTTP.PublicURL != "https://hub.example.org/x/" || c.CallbackPath() != "/hub/oauth_callback" ||
		c.PublicHost() != "hub.example.org" {
		t.Errorf("public URL %q, callback %q, host %q", c.HTTP.PublicURL, c.CallbackPath(), c.PublicHost())
	}
	want := Origin{filepath.Join(filepath.Dir(src.File), "hub.d/20-b.toml"), 2}
	if got, _ := c.Origin("access.unix_groups"); got != want {
		t.Errorf("unix_groups comes from %v, want %v", got, want)
	}
	var shown strings.Builder
	if err := c.Show(&shown); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"20-b.toml:2", "[login.endpoints]", `drain_timeout = "24h"`, "# default",
		"# from login.callback_url"} {
		if !strings.Contains(shown.String(), want) {
			t.Errorf("Show lacks %q:\n%s", want, &shown)
		}
	}
}

// TestTable checks that every field of Config is bound to exactly one setting.
func TestTable(t *testing.T) {
	fields := 0
	var count func(reflect.Type)
	count = func(typ reflect.Type) {
		for f := range typ.Fields() {
			if !f.IsExported() || f.Type == reflect.TypeFor[Secret]() {
				continue
			}
			if f.Type.Kind() == reflect.Struct && f.Type.PkgPath() == typ.PkgPath() &&
				f.Type != reflect.TypeFor[FreeSpace]() {
				count(f.Type)
				continue
			}
			if f.Type.Kind() == reflect.Map && f.Type.Elem().Kind() == reflect.Pointer {
				count(f.Type.Elem().Elem())
				continue
			}
			fields++
		}
	}
	count(reflect.TypeFor[Config]())
	keys := map[string]bool{}
	for _, s := range Settings() {
		if keys[s.Key] || s.Doc == "" || s.Type == "" {
			t.Errorf("setting %s is there twice or lacks words", s.Key)
		}
		keys[s.Key] = true
	}
	if len(keys) != fields {
		t.Errorf("%d settings for %d fields", len(keys), fields)
	}
	if _, err := defaults(); err != nil {
		t.Error(err)
	}
}

// entries names one section of each kind that may occur many times.
const entries = "[roles.thing]\n[groups.thing]\n[services.thing]\n[custom_scopes.\"custom:thing\"]\n"

// entry is the name of a setting's entry among them.
func entry(s Setting) string {
	if strings.HasPrefix(s.Key, "custom_scopes.") {
		return "custom:thing"
	}
	return "thing"
}

// shown returns the text that a setting shows, for its entry if there may be many.
func shown(s Setting, c *Config) string {
	return s.Show(c, settings.Entry{Name: entry(s)})
}

// TestTableFields sets each setting alone to its example. It checks that its own output changes and that no other
// setting's does.
func TestTableFields(t *testing.T) {
	fresh := func() *Config {
		c, err := defaults()
		if err != nil {
			t.Fatal(err)
		}
		if problems := apply(c, "e", []byte(entries)); len(problems) > 0 {
			t.Fatal(problems)
		}
		return c
	}
	base := fresh()
	for _, s := range Settings() {
		if s.Example == "" {
			continue
		}
		t.Run(s.Key, func(t *testing.T) {
			c := fresh()
			if problems := apply(c, "f", []byte(strings.Replace(s.Key, "*", settings.QuoteKey(entry(s)), 1)+" = "+
				s.Example)); len(problems) > 0 {
				t.Fatal(problems)
			}
			for _, other := range Settings() {
				changed := shown(other, c) != shown(other, base)
				if changed != (other.Key == s.Key) {
					t.Errorf("%s changed: %v", other.Key, changed)
				}
			}
		})
	}
}

// TestGrants reads roles, groups, services and custom scopes.
func TestGrants(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"good": {`[roles.reader]
scopes = ["list:users", "custom:board:write"]
services = ["board"]
[groups."lab one"]
users = ["alice"]
[services.board]
url = "http://127.0.0.1:9001"
oauth = true
token_file = "TOKEN"
oauth_client_allowed_scopes = ["read:servers!user"]
[custom_scopes."custom:board:write"]
description = "write"
[tokens]
max_expires_in = "720h"`, ""},
		"role of another shape": {"[roles]\nreader = 1",
			`f:2: roles.reader: expected a section [roles.reader], found`},
		"name of a role": {"[roles.A]\n", `f:1: roles.A: cannot use role name "A"`},
		"the role admin": {"[roles.admin]\nscopes = [\"list:users\"]", `f:1: roles.admin: cannot be changed`},
		"unknown scope":  {"[roles.reader]\nscopes = [\"list:userz\"]", `hub.toml:2: roles.reader.scopes`},
		"unknown service": {"[roles.reader]\nservices = [\"x\"]",
			`hub.toml:2: roles.reader.services: names the service "x"`},
		"unknown key": {"[services.board]\nurll = \"x\"",
			`f:2: services.board.urll: unknown key; did you mean "services.board.url"?`},
		"name of a service": {"[services.\"a/b\"]\n", `cannot use service name "a/b"`},
		"client without a secret": {"[services.board]\noauth = true",
			`hub.toml:2: services.board.oauth: needs a token`},
		"a server's client id": {"[services.board]\ntoken_file = \"TOKEN\"\noauth_client_id = \"jupyterhub-user-x\"",
			`expected text that begins with "service-"`},
		"custom scope": {"[custom_scopes.x]\n", `hub.toml:1: custom_scopes.x: cannot define scope`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			token := filepath.Join(dir, "token")
			if err := os.WriteFile(token, []byte("0123456789abcdef\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(tt.text, "TOKEN", token)
			file := filepath.Join(dir, "hub.toml")
			for f, content := range map[string]string{file: text, filepath.Join(dir, "hub.d", "50.toml"): good} {
				_ = os.Mkdir(filepath.Join(dir, "hub.d"), 0o755)
				if err := os.WriteFile(f, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c, err := Load(Host(file, func(string) (string, bool) { return "", false }))
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(tt.want, "f:")) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.Services["board"].Token.Reveal() != "0123456789abcdef" || c.ClientID("board") != "service-board" ||
				c.RedirectURI("board") != "/services/board/oauth_callback" || len(c.Groups["lab one"].Users) != 1 {
				t.Errorf("got %+v", c.Services["board"])
			}
		})
	}
}

func TestUnreadable(t *testing.T) {
	_, err := Load(Host(filepath.Join(t.TempDir(), "hub.toml"), os.LookupEnv))
	var unreadable *Unreadable
	if !errors.As(err, &unreadable) || !errors.Is(err, os.ErrNotExist) || unreadable.NextStep() == "" {
		t.Errorf("Load of nothing: %v", err)
	}
}

func FuzzApply(f *testing.F) {
	for _, s := range []string{good, "[http\n", "a.b.\"c.d\" = {x=1}\n", "[[login]]\n",
		"[login.username_map]\n\"é\" = \"x\"\n", "http = 1",
		"services = 1\n", "[services.\"a.b\"]\nx = 1\n", "roles = { abc = { scopes = [\"a b\"] }, \"\" = 1 }\n",
		"[groups.x.properties]\n\"\" = 1\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := defaults()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range apply(c, "f", []byte(s)) {
			if p.Line < 1 || p.Line > 1+strings.Count(s, "\n") {
				t.Errorf("%q: problem at line %d: %v", s, p.Line, p)
			}
		}
	})
}
