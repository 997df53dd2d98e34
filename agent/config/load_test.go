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
)

// good is the least that a hub needs.
const good = `[login]
issuer = "https://id.example.org"
client_id = "hub"
callback_url = "https://hub.example.org/hub/oauth_callback"
[tls]
certificate = "/tls.pem"
`

// write makes a folder of settings; names with a slash go into sub-folders.
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
		want  []string // without the folder
	}{
		"good":            {map[string]string{"hub.toml": good}, nil},
		"not TOML":        {map[string]string{"hub.toml": good, "hub.d/9.toml": "[http\n"}, []string{"hub.d/9.toml:1: cannot read this as TOML: "}},
		"same key twice":  {map[string]string{"hub.toml": good, "hub.d/9.toml": "[log]\nlevel = \"info\"\nlevel = \"warn\"\n"}, []string{"hub.d/9.toml:3: cannot read this as TOML: "}},
		"unknown key":     {map[string]string{"hub.toml": good + "\n[http]\n# x\nbase_uri = \"/\"\n"}, []string{`hub.toml:10: http.base_uri: unknown key; did you mean "http.base_url"?`}},
		"other section":   {map[string]string{"hub.toml": good + "issuer = \"x\"\n"}, []string{`hub.toml:7: tls.issuer: unknown key; did you mean "login.issuer"?`}},
		"top level":       {map[string]string{"hub.toml": "issuer = \"x\"\n" + good}, []string{`hub.toml:1: issuer: unknown key; did you mean "login.issuer"?`}},
		"quoted dots":     {map[string]string{"hub.toml": "\"login.issuer\" = \"x\"\n" + good}, []string{`hub.toml:1: "login.issuer": unknown key; did you mean "login.issuer"?`}},
		"unknown section": {map[string]string{"hub.toml": good + "[acess]\n"}, []string{`hub.toml:7: acess: unknown section; did you mean "access"?`}},
		"nothing near":    {map[string]string{"hub.toml": good + "[zzzzzzzz]\nqqqqqqqqqqqqqqq = 1\n"}, []string{`hub.toml:7: zzzzzzzz: unknown section; gifford-hub.toml(5) lists all`}},
		"no section":      {map[string]string{"hub.toml": "log = 1\n" + good}, []string{`hub.toml:1: log: expected a section [log], found a whole number`}},
		"array of tables": {map[string]string{"hub.toml": good + "[[log]]\nlevel = 1\n"}, []string{`hub.toml:7: log: expected a section [log], found a list of other things`}},
		"wrong types": {map[string]string{"hub.toml": good + "[http]\nredirect_port = \"eighty\"\nbehind_proxy = 1\ndrain_timeout = 5\ntrusted_proxies = [1]\n"}, []string{
			"hub.toml:8: http.redirect_port: expected a port from 0 to 65535, found text",
			"hub.toml:9: http.behind_proxy: expected true or false, found a whole number",
			`hub.toml:10: http.drain_timeout: expected a time above zero, such as "30s", "5m" or "24h", found a whole number`,
			`hub.toml:11: http.trusted_proxies: expected a list of addresses or networks, such as ["127.0.0.1", "10.0.0.0/8"], found a list of other things`}},
		"bad values": {map[string]string{"hub.toml": good, "hub.d/1.toml": "http.redirect_port = 70000\naccess.users = [\"a b\"]\naccess.recheck = \"-1s\"\nlog.level = \"loud\"\nlogin.username_map.x = \"../y\"\n"}, []string{
			"hub.d/1.toml:1: http.redirect_port: expected a port from 0 to 65535; 70000 is out of range",
			`hub.d/1.toml:2: access.users: expected a list of user names, such as ["alice", "bob"]; cannot use user name "a b"`,
			`hub.d/1.toml:3: access.recheck: expected a time above zero`,
			`hub.d/1.toml:4: log.level: expected "debug", "info", "warn" or "error"; "loud" is none of these`,
			`hub.d/1.toml:5: login.username_map: expected a table of names`}},
		"both files": {map[string]string{"hub.toml": good + "x = 1\n", "hub.d/1.toml": "y = 1\n"}, []string{"hub.toml:7: tls.x: unknown key", "hub.d/1.toml:1: y: unknown key"}},
		"nothing set": {map[string]string{"hub.toml": ""}, []string{"hub.toml: login.issuer: not set", "hub.toml: login.client_id: not set",
			"hub.toml: login.callback_url: not set", "hub.toml: tls.certificate: not set"}},
		"TLS behind a proxy":    {map[string]string{"hub.toml": good + "[http]\nbehind_proxy = true\n"}, []string{"hub.toml:6: tls.certificate: contradicts http.behind_proxy"}},
		"key alone":             {map[string]string{"hub.toml": strings.Replace(good, "certificate", "key", 1)}, []string{"hub.toml: tls.certificate: not set", "hub.toml:6: tls.key: set without"}},
		"proxies without proxy": {map[string]string{"hub.toml": good + "[http]\ntrusted_proxies = []\n"}, []string{"hub.toml:8: http.trusted_proxies: has no effect"}},
		"plain callback":        {map[string]string{"hub.toml": good, "hub.d/1.toml": "login.callback_url = \"http://hub.example.org/cb\"\n"}, []string{"hub.d/1.toml:1: login.callback_url: must begin with https"}},
		"callback is a server":  {map[string]string{"hub.toml": good, "hub.d/1.toml": "login.callback_url = \"https://hub.example.org/user/cb\"\n"}, []string{"hub.d/1.toml:1: login.callback_url: the path /user/cb has another meaning"}},
		"email without pattern": {map[string]string{"hub.toml": good, "hub.d/1.toml": "login.username_claim = \"email\"\n"}, []string{"hub.toml: login.username_pattern: required when"}},
		"other public host":     {map[string]string{"hub.toml": good, "hub.d/1.toml": "http.public_url = \"https://other.example.org/\"\n"}, []string{"hub.d/1.toml:1: http.public_url: is on https://other.example.org"}},
		"public path":           {map[string]string{"hub.toml": good, "hub.d/1.toml": "http.public_url = \"https://hub.example.org/x\"\n"}, []string{"hub.d/1.toml:1: http.public_url: its path must be http.base_url"}},
		"all and some":          {map[string]string{"hub.toml": good, "hub.d/1.toml": "access.allow_all = true\naccess.users = [\"alice\"]\n"}, []string{"hub.d/1.toml:1: access.allow_all: contradicts"}},
		"blocked and listed":    {map[string]string{"hub.toml": good, "hub.d/1.toml": "access.blocked_users = [\"alice\"]\naccess.users = [\"alice\"]\n"}, []string{"hub.d/1.toml:1: access.blocked_users: names alice"}},
		"old file":              {map[string]string{"hub.toml": good, "secrets/oauth.env": "A=1\n=x\nB C=1\n"}, []string{"secrets/oauth.env:2: there is no name", "secrets/oauth.env:3: there is a blank"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			src := write(t, tt.files)
			_, err := Load(src)
			var problems Problems
			if err != nil && !errors.As(err, &problems) {
				t.Fatal(err)
			}
			if len(problems) != len(tt.want) {
				t.Fatalf("%d problems, want %d:\n%v", len(problems), len(tt.want), err)
			}
			for i, want := range tt.want {
				if got := strings.TrimPrefix(problems[i].Error(), filepath.Dir(src.File)+"/"); !strings.HasPrefix(got, want) {
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
	if c.HTTP.PublicURL != "https://hub.example.org/x/" || c.CallbackPath() != "/hub/oauth_callback" || c.PublicHost() != "hub.example.org" {
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
	for _, want := range []string{"20-b.toml:2", "[login.endpoints]", `drain_timeout = "24h"`, "# default", "# from login.callback_url"} {
		if !strings.Contains(shown.String(), want) {
			t.Errorf("Show lacks %q:\n%s", want, &shown)
		}
	}
}

// allSettings gives Settings and those of the families' examples.
func allSettings() []Setting {
	all := Settings()
	for _, f := range Families() {
		all = append(all, f.Settings...)
	}
	return all
}

// addExamples gives c an empty section of each family.
func addExamples(t *testing.T, c *Config) {
	t.Helper()
	for _, f := range Families() {
		if problems := apply(c, "f", []byte("["+f.Example+"]")); len(problems) > 0 {
			t.Fatal(problems)
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
			inner := f.Type
			if inner.Kind() == reflect.Map && inner.Elem().Kind() == reflect.Pointer {
				inner = inner.Elem().Elem() // of a family
			}
			if inner.Kind() == reflect.Struct && inner.PkgPath() == typ.PkgPath() {
				count(inner)
				continue
			}
			fields++
		}
	}
	count(reflect.TypeFor[Config]())
	keys := map[string]bool{}
	for _, s := range allSettings() {
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

// TestTableFields sets each setting alone to its example and checks that it changes what
// it shows, and that no other setting does.
func TestTableFields(t *testing.T) {
	base, err := defaults()
	if err != nil {
		t.Fatal(err)
	}
	addExamples(t, base)
	for _, s := range allSettings() {
		if s.Example == "" {
			continue
		}
		t.Run(s.Key, func(t *testing.T) {
			c, _ := defaults()
			addExamples(t, c)
			if problems := apply(c, "f", []byte(s.Key+" = "+s.Example)); len(problems) > 0 {
				t.Fatal(problems)
			}
			for _, other := range allSettings() {
				changed := other.show(c) != other.show(base)
				if changed != (other.Key == s.Key) {
					t.Errorf("%s changed: %v", other.Key, changed)
				}
			}
		})
	}
}

func TestUnreadable(t *testing.T) {
	_, err := Load(Host(filepath.Join(t.TempDir(), "hub.toml"), os.LookupEnv))
	var unreadable *Unreadable
	if !errors.As(err, &unreadable) || !errors.Is(err, os.ErrNotExist) || unreadable.Hint() == "" {
		t.Errorf("Load of nothing: %v", err)
	}
}

func FuzzApply(f *testing.F) {
	for _, s := range []string{good, "[http\n", "a.b.\"c.d\" = {x=1}\n", "[[login]]\n", "[login.username_map]\n\"é\" = \"x\"\n", "http = 1",
		"services = 1\n", "[services.\"a.b\"]\nx = 1\n", "roles = { abc = { scopes = [\"a b\"] }, \"\" = 1 }\n", "[groups.x.properties]\n\"\" = 1\n"} {
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
