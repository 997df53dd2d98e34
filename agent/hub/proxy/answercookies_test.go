package proxy

import (
	"strings"
	"testing"
)

// TestAnswerCookies is the table of which cookies of an answer pass, and how. PREFIX is the upstream's own path.
func TestAnswerCookies(t *testing.T) {
	cut := "; Path=PREFIX"
	tests := map[string]struct{ sent, want string }{
		"own path": {"a=b; Path=PREFIX", "a=b; Path=PREFIX"},
		"own path, all options": {"a=\"b c\"; Path=PREFIX; HttpOnly; Secure; SameSite=Lax; Max-Age=9; " +
			"Partitioned", ""},
		"as jupyterhub does": {"jupyterhub-user-alice=\"2|1:0|x\"; expires=Sat, 28 Nov 2026 17:34:19 " +
			"GMT; HttpOnly; Path=PREFIX", ""},
		"its state": {"jupyterhub-user-alice-oauth-state=x; HttpOnly; Max-Age=600; Path=PREFIX",
			""},
		"its token for forms":               {"_xsrf=2|1|2|3; Path=PREFIX", ""},
		"deeper":                            {"a=b; path=PREFIXproxy/8787/", ""},
		"without its last slash":            {"a=b; path=NOSLASH", ""},
		"no path":                           {"a=b; HttpOnly", ""},
		"an empty path":                     {"a=b; Path=; Secure", ""},
		"no attributes":                     {"a=b", ""},
		"an empty value":                    {"a=; Max-Age=0; Path=PREFIX", ""},
		"value with a name's sign":          {"a=b=c=d", ""},
		"name of a PHP program":             {"a[b]=c", ""},
		"letters beyond ASCII in the value": {"a=\xc3\xa9; Path=PREFIX", ""},

		"root":                            {"a=b; Path=/", "a=b" + cut},
		"a hub page":                      {"a=b; Path=/hub/home; HttpOnly", "a=b; HttpOnly" + cut},
		"another's":                       {"a=b; Path=/user/bob/", "a=b" + cut},
		"a name that begins":              {"a=b; Path=/user/al", "a=b" + cut},
		"a longer name":                   {"a=b; Path=NOSLASHa/", "a=b" + cut},
		"up":                              {"a=b; Path=PREFIX../", "a=b" + cut},
		"up with backslashes":             {`a=b; Path=PREFIX..\`, "a=b" + cut},
		"relative":                        {"a=b; Path=hub", "a=b" + cut},
		"in quotes":                       {`a=b; Path="/"`, "a=b" + cut},
		"two, the last wide":              {"a=b; Path=PREFIX; Path=/", "a=b; Path=PREFIX" + cut},
		"two, the first wide":             {"a=b; Path=/; Path=PREFIX", "a=b; Path=PREFIX" + cut},
		"two, the last too long to count": {"a=b; Path=/; Path=PREFIX" + strings.Repeat("x", 1024), "a=b" + cut},
		"with blanks and another case":    {"a=b;  pATh =  / ", "a=b" + cut},
		"Domain":                          {"a=b; Domain=example.org; Path=PREFIX", "a=b; Path=PREFIX"},
		"Domain of the host":              {"a=b; domain=hub.example.org", "a=b"},
		"Domain and root":                 {"a=b; Path=/; DOMAIN = .example.org;Secure", "a=b;Secure" + cut},
		"an empty Domain":                 {"a=b; Domain=; Path=PREFIX", "a=b; Path=PREFIX"},

		"prefix __Host-":                 {"__Host-a=b; Secure; Path=/", "none"},
		"prefix __Secure-":               {"__Secure-a=b; Secure; Path=PREFIX", "none"},
		"prefix __Http-":                 {"__Http-a=b; Secure; HttpOnly; Path=PREFIX", "none"},
		"prefix __Host-Http-":            {"__Host-Http-a=b; Secure; HttpOnly; Path=/", "none"},
		"prefix, other case":             {"__hOsT-a=b; Secure; Path=/", "none"},
		"prefix after blanks":            {"   __Host-a=b; Secure; Path=/", "none"},
		"prefix after a tab":             {"\t__Host-a=b; Secure; Path=/", "none"},
		"prefix after a no-break space":  {"\xc2\xa0__Host-a=b; Secure; Path=/", "none"},
		"prefix after an en quad":        {"\xe2\x80\x80__Host-a=b; Path=PREFIX", "none"},
		"prefix in a nameless cookie":    {"=__Host-a=b; Path=/", "none"},
		"prefix as a value without name": {"__Host-a", "none"},
		"a blank name":                   {"  =a", "none"},
		"a prefix alone":                 {"__Host-=x", "none"},

		"the session's id":        {"jupyterhub-session-id=x; Path=PREFIX", "none"},
		"the login":               {"jupyterhub-hub-login=x; Path=PREFIX", "none"},
		"the login's attempt":     {"jupyterhub-hub-login-attempt-1=x; Path=PREFIX", "none"},
		"the cookie for a server": {"gifford-server-abc=x; Path=PREFIX", "none"},
		"the login, other case":   {"JupyterHub-Hub-Login=x; Path=PREFIX", "none"},

		"empty":                    {"", "none"},
		"no name":                  {"abc", "none"},
		"a name with a blank":      {"a b=c", "none"},
		"a name with a quote":      {`"a=c`, "none"},
		"a name with a comma":      {"a,b=c", "none"},
		"a control in the name":    {"a\x01=b", "none"},
		"a control in the value":   {"a=b\x01c", "none"},
		"a tab in the value":       {"a=b\tc", "none"},
		"a control in the path":    {"a=b; Path=/\x01", "none"},
		"beyond ASCII in the path": {"a=b; \xc2\xa0Path=/", "none"},
		"DEL":                      {"a=b\x7f", "none"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, prefix := range []string{"/user/alice/", "/user/alice/gpu/", "/services/board/", "/x/user/alice/"} {
				put := strings.NewReplacer("PREFIX", prefix, "NOSLASH", strings.TrimSuffix(prefix, "/")).Replace
				want := tt.want
				if want == "" {
					want = tt.sent
				}
				got, ok := narrowCookie(put(tt.sent), prefix)
				if !ok {
					got = "none"
				}
				if got != put(want) {
					t.Errorf("%q, want %q", got, put(want))
				}
			}
		})
	}
}

// TestCookiesOverTheWire has answers with several cookies, some of which pass.
func TestCookiesOverTheWire(t *testing.T) {
	passes(t, []string{"Set-Cookie: a=b; Path=/", "Set-Cookie: __Host-x=y; Secure; Path=/",
		"set-cookie: c=d; Domain=example.org",
		"Set-Cookie: =x", "Set-Cookie: e=f;\r\n Path=/hub/"},
		[]string{"Set-Cookie: a=b; Path=PREFIX", "Set-Cookie: c=d", "Set-Cookie: e=f; Path=PREFIX"})
	passes(t, []string{"Set-Cookie: __Host-x=y; Secure; Path=/"}, nil)
}

// FuzzNarrowCookie checks what must hold of every cookie that passes: read as RFC 6265bis has it, it is for the prefix
// alone, has no Domain and no reserved name.
func FuzzNarrowCookie(f *testing.F) {
	for _, s := range []string{"a=b", "a=b; Path=/", "a=b;path=/;path=/user/alice/", "__Host-a=b", "=a=b;Domain=x", ";",
		"a=b;=;;"} {
		f.Add(s)
	}
	const prefix = "/user/alice/"
	f.Fuzz(func(t *testing.T, line string) {
		got, ok := narrowCookie(line, prefix)
		if !ok {
			return
		}
		parts := strings.Split(got, ";")
		name, _, named := strings.Cut(parts[0], "=")
		if name = strings.Trim(name, " \t"); !named || name == "" ||
			strings.HasPrefix(strings.ToLower(name), "__host-") {
			t.Errorf("%q passes as %q", line, got)
		}
		path := ""
		for _, part := range parts[1:] {
			key, value, _ := strings.Cut(part, "=")
			value = strings.Trim(value, " \t")
			switch strings.ToLower(strings.Trim(key, " \t")) {
			case "domain":
				t.Errorf("%q passes with a Domain: %q", line, got)
			case "path":
				if len(value) <= maxCookiePath {
					path = value
				}
			}
		}
		if path != "" && path+"/" != prefix && !strings.HasPrefix(path, prefix) {
			t.Errorf("%q passes with the path %q", line, path)
		}
		if again, ok := narrowCookie(got, prefix); !ok || again != got {
			t.Errorf("%q is cut to %q, and then to %q", line, got, again)
		}
	})
}
