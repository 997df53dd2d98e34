package cookies

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheck(t *testing.T) {
	n := New("/", true)
	session := n.Login() + "=x"
	fill := func(size int) string { return "a=" + strings.Repeat("x", size-2) }
	for name, tt := range map[string]struct {
		lines []string
		want  Trouble
	}{
		"none":                      {nil, None},
		"a session":                 {[]string{"a=b; " + session}, None},
		"two sessions":              {[]string{session + "; " + session}, Twice},
		"two sessions in two lines": {[]string{session, "a=b; " + session}, Twice},
		"one of another hub":        {[]string{session + "; jupyterhub-hub-login=x"}, None},
		"as much as may be":         {[]string{fill(MaxBytes)}, None},
		"too much":                  {[]string{fill(MaxBytes + 1)}, TooLarge},
		"too much in two lines":     {[]string{fill(MaxBytes), "b"}, TooLarge},
		"both":                      {[]string{session, session, fill(MaxBytes)}, Twice},
	} {
		if got := n.Check(http.Header{"Cookie": tt.lines}); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// request is one for a page, with cookies.
func request(target string, lines ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Header["Cookie"] = lines
	return r
}

func TestExpire(t *testing.T) {
	n := New("/", true)
	got := n.Expire(request("https://hub.example.org:8443/hub/home", "small=x; large=xxxxxx", n.Login()+"=x"))
	var want []string
	for _, name := range []string{"large", "small", ""} {
		for _, path := range []string{"/", "/hub", "/hub/", "/hub/home"} {
			for _, domain := range []string{"", ";Domain=hub.example.org", ";Domain=example.org"} {
				want = append(want, name+"=x;Path="+path+domain+";Max-Age=0;Secure;HttpOnly")
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want(-) got(+):\n%s", diff)
	}
}

// TestExpireOfTwoSessions checks that neither is kept: nobody knows whose they are.
func TestExpireOfTwoSessions(t *testing.T) {
	n := New("/", false)
	r := request("http://10.0.0.1/hub/", n.Login()+"=x; a=b", n.Login()+"=y")
	got := n.Expire(r)
	for _, path := range []string{"/", "/hub", "/hub/"} {
		if want := n.Login() + "=x;Path=" + path + ";Max-Age=0"; !slices.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}

// TestExpireEmptiesABrowser sends what a hostile page has set until nothing is left, as the answers come.
func TestExpireEmptiesABrowser(t *testing.T) {
	n := New("/", true)
	jar := map[string]string{} // "name path domain" -> value
	for i := range 180 {       // what Chromium holds for a domain
		path := []string{"/", "/hub", "/hub/", "/hub/home"}[i%4]
		domain := []string{"", ";Domain=hub.example.org"}[i%2]
		jar[fmt.Sprintf("c%d;Path=%s%s", i, path, domain)] = strings.Repeat("x", 4000)
	}
	for round := 1; len(jar) > 0; round++ {
		if round > 4 {
			t.Fatalf("%d cookies are left", len(jar))
		}
		var pairs []string
		for key, value := range jar {
			name, _, _ := strings.Cut(key, ";")
			pairs = append(pairs, name+"="+value)
		}
		size := 0
		for _, line := range n.Expire(request("https://hub.example.org/hub/home", strings.Join(pairs, "; "))) {
			size += len(line)
			name, rest, _ := strings.Cut(line, "=x;")
			where, _, _ := strings.Cut(rest, ";Max-Age=0")
			delete(jar, name+";"+where)
		}
		if size > maxExpired {
			t.Errorf("an answer has %d bytes of cookies", size)
		}
	}
}

func TestOutdated(t *testing.T) {
	old := http.Header{"Cookie": {"a=b; jupyterhub-hub-login=x"}}
	if got := New("/x/", true).Outdated(old); got != "jupyterhub-hub-login=x; Path=/x/hub/; Max-Age=0" {
		t.Errorf("got %q", got)
	}
	if got := New("/x/", true).Outdated(http.Header{"Cookie": {"a=jupyterhub-hub-login"}}); got != "" {
		t.Errorf("without one: %q", got)
	}
	if got := New("/", false).Outdated(old); got != "" {
		t.Errorf("the session in use: %q", got)
	}
}

// FuzzExpire checks that no cookie of a request makes a line that is more than one cookie.
func FuzzExpire(f *testing.F) {
	f.Add("a=b; c", "/hub/home", "hub.example.org")
	f.Add("a\x00;;=b", "/hub//;Domain=x/", "[::1]:80")
	f.Fuzz(func(t *testing.T, line, path, host string) {
		r := request("https://hub.example.org/", line)
		r.URL.Path, r.Host = path, host
		for _, set := range New("/", true).Expire(r) {
			if n := strings.Count(set, ";"); n > 5 {
				t.Errorf("%q", set)
			}
		}
	})
}
