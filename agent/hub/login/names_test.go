package login

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/google/go-cmp/cmp"
)

func TestSafeNext(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"path": {"/hub/home", "/hub/home"},
		"query": {"/hub/api/oauth2/authorize?client_id=a%20b&x=/y",
			"/hub/api/oauth2/authorize?client_id=a%20b&x=/y"},
		"inner slashes":   {"/user/alice/lab//tree", "/user/alice/lab//tree"},
		"escaped":         {"/user/alice/ä b", "/user/alice/%C3%A4%20b"},
		"all escapes":     {"/\"<>\u00c0\x80~", "/%22%3C%3E%C3%80%80~"},
		"before a blank":  {"/\x1f", "F"},
		"longest":         {"/" + strings.Repeat("a", maxNext-1), "/" + strings.Repeat("a", maxNext-1)},
		"empty":           {"", "F"},
		"relative":        {"hub/home", "F"},
		"other host":      {"https://evil.example/", "F"},
		"no scheme":       {"//evil.example/", "F"},
		"three slashes":   {"///evil.example/", "F"},
		"backslash":       {`/\evil.example`, "F"},
		"later backslash": {`/hub\x`, "F"},
		"tab":             {"/\t/evil.example", "F"},
		"newline":         {"/x\r\nSet-Cookie: a=b", "F"},
		"script":          {"javascript:alert(1)", "F"},
		"DEL":             {"/x\x7f", "F"},
		"bad escape":      {"/%zz", "F"},
		"far too long":    {"/" + strings.Repeat("a", maxNext), "F"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := SafeNext(tt.in, "F"); got != tt.want {
				t.Errorf("SafeNext(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

// FuzzSafeNext checks that no value leads a browser away from this host. A browser
// drops tabs and newlines and takes backslashes for slashes before it looks.
func FuzzSafeNext(f *testing.F) {
	for _, s := range []string{"/hub/", "//x", `/\x`, "/\t/x", "/..//x", "/.//x", "http:x", "/%2f/x", "/ü",
		"/?a=//b#c"} {
		f.Add(s)
	}
	base, _ := url.Parse("https://hub.example/jhub/hub/login")
	browsers := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/")
	f.Fuzz(func(t *testing.T, s string) {
		got := SafeNext(s, "/hub/")
		seen := browsers.Replace(got)
		u, err := base.Parse(seen)
		if err != nil || u.Host != "hub.example" || u.Scheme != "https" || u.User != nil ||
			strings.HasPrefix(seen, "//") {
			t.Errorf("SafeNext(%q) = %q leads to %v (%v)", s, got, u, err)
		}
		for i := range len(got) {
			if got[i] <= ' ' || got[i] >= 0x7f {
				t.Errorf("SafeNext(%q) = %q holds byte %#x", s, got, got[i])
			}
		}
		if again := SafeNext(got, "/hub/"); again != got {
			t.Logf("SafeNext(%q) = %q, then %q", s, got, again) // only longer than allowed by its escapes
			if len(got) <= maxNext {
				t.Error("not stable")
			}
		}
	})
}

// FuzzUserName checks that a claim yields a valid name or a Denied, never a name of
// another domain, and that a mapped name is the map's.
func FuzzUserName(f *testing.F) {
	for _, s := range []string{"alice@mit.edu", "alice@mit.edu.evil.org", "a@mit.edu\n", "zeng@mit.edu", "@mit.edu",
		"x@y@mit.edu"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	re, err := compilePattern("email", `^(.+)@mit\.edu`)
	if err != nil {
		f.Fatal(err)
	}
	bob, err := ident.ParseUser("bob")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, email string, lower bool) {
		n := naming{claim: "email", pattern: re, lowercase: lower, names: map[string]ident.User{"zeng": bob}}
		u, err := n.user(claims{"email": email})
		if err != nil {
			if d, ok := err.(*Denied); !ok || d.Reason == "" || !u.IsZero() {
				t.Errorf("user(%q) = %v, %v", email, u, err)
			}
			return
		}
		local, ours := strings.CutSuffix(email, "@mit.edu")
		if lower {
			local = strings.ToLower(local)
		}
		if local == "zeng" {
			local = "bob"
		}
		if !ours || u.String() != local {
			t.Errorf("user(%q) = %q", email, u)
		}
	})
}

func TestGroupsClaim(t *testing.T) {
	c := claims{"groups": []any{"a", 1, "b"}, "one": "x", "https://h/groups": []any{"c"},
		"realm_access": map[string]any{"roles": []any{"r"}}, "n": 1.0, "empty": []any{}}
	tests := map[string]struct {
		want []string
		ok   bool
	}{
		"groups":             {[]string{"a", "b"}, true},
		"one":                {[]string{"x"}, true},
		"https://h/groups":   {[]string{"c"}, true},
		"realm_access.roles": {[]string{"r"}, true},
		"realm_access.none":  {nil, false},
		"groups.a":           {nil, false},
		"n":                  {nil, true},
		"empty":              {nil, true},
		"absent":             {nil, false},
		"":                   {nil, false},
	}
	for path, tt := range tests {
		t.Run(path, func(t *testing.T) {
			got, ok := c.groups(path)
			if d := cmp.Diff(tt.want, got); d != "" || ok != tt.ok {
				t.Errorf("groups: %v, %v\n%s", got, ok, d)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*Config)
		words  string
	}{
		"email without pattern": {func(c *Config) { c.UsernameClaim = "email" }, "needs a username pattern"},
		"pattern without group": {func(c *Config) { c.UsernamePattern = `^.+@mit\.edu$` }, "parentheses"},
		"bad pattern":           {func(c *Config) { c.UsernamePattern = `(` }, "cannot use username pattern"},
		"relative callback":     {func(c *Config) { c.CallbackURL = "/hub/oauth_callback" }, "callback URL"},
		"no issuer":             {func(c *Config) { c.Issuer = "" }, "issuer"},
		"no client":             {func(c *Config) { c.ClientID = "" }, "client id"},
		"client auth":           {func(c *Config) { c.ClientAuth = "private_key_jwt" }, "client_secret_basic"},
		"base path":             {func(c *Config) { c.BasePath = "/x" }, "base path"},
	}
	s := newSite(t, nil)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := s.svc.c
			tt.change(&c)
			if c.UsernameClaim == "email" {
				c.UsernamePattern = ""
			}
			if _, err := New(t.Context(), c); err == nil || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("New: %v; want %q", err, tt.words)
			}
		})
	}
}

func TestProblems(t *testing.T) {
	s := newSite(t, nil)
	if got := s.svc.Problems(t.Context()); len(got) != 0 {
		t.Errorf("problems of a good setting: %q", got)
	}
	c := s.svc.c
	c.Issuer, c.CallbackURL = "http://login.example.org", "https://hub.example/back"
	c.Access = Access{AllowedGroups: []string{"g"}, AdminUnixGroups: []string{"nosuch"}}
	bad, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(bad.Problems(t.Context()), "\n")
	for _, w := range []string{"no groups claim", `"nosuch" lets nobody in`, "without TLS", "/back"} {
		if !strings.Contains(all, w) {
			t.Errorf("problems lack %q:\n%s", w, all)
		}
	}
	c.Access = Access{}
	if bad, err = New(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(bad.Problems(t.Context()),
		"\n"); !regexp.MustCompile("nobody may sign in").MatchString(all) {
		t.Errorf("problems: %s", all)
	}
}

func TestSecureCookies(t *testing.T) {
	s := newSite(t, func(c *Config) { c.CallbackURL = "https://hub.example/jhub/hub/oauth_callback" })
	resp := s.browser().get("/jhub/hub/start?switch=1")
	if cookies := resp.Cookies(); len(cookies) != 1 || !cookies[0].Secure || !cookies[0].HttpOnly ||
		cookies[0].Path != "/" {
		t.Errorf("cookies %v", cookies)
	}
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	q := to.Query()
	for name, want := range map[string]string{"response_type": "code", "client_id": "hub",
		"scope":        "openid profile email",
		"redirect_uri": "https://hub.example/jhub/hub/oauth_callback", "code_challenge_method": "S256",
		"prompt": "login"} {
		if q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(q.Get(name)) < 22 {
			t.Errorf("%s is %q: too short", name, q.Get(name))
		}
	}
}
