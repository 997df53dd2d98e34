package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// want is what the four kinds of people get, as answer has it.
type want struct{ nobody, own, other, admin string }

// TestRoutes walks the whole table: each line has a row here, or the test fails. The
// server in the paths is alice's, which is ready; "other" is bob, "admin" dora.
func TestRoutes(t *testing.T) {
	const ok, none = "OK", "Not Found"
	toLogin := func(path string) string { return "See Other /hub/login?next=" + url.QueryEscape(path) }
	const expired = "See Other /hub/login?next=%2Fhub%2Fhome&notice=expired"
	all := func(s string) want { return want{s, s, s, s} }
	tests := map[string]struct {
		target string
		want   want
	}{
		"GET hub": {"/hub", all("Found /hub/")},
		"GET hub/{$}": {"/hub/", want{toLogin("/hub/"), "Found /hub/home", "Found /hub/home",
			"Found /hub/home"}},
		"GET hub/login": {"/hub/login", want{ok, "Found /hub/", "Found /hub/", "Found /hub/"}},
		"GET hub/oauth_login": {"/hub/oauth_login?next=/hub/home",
			all("See Other https://id.example.org/?next=%2Fhub%2Fhome")},
		"POST hub/oauth_login": {"/hub/oauth_login", all("See Other https://id.example.org/?next=")},
		"GET hub/logout":       {"/hub/logout", all("See Other /hub/login?notice=signed-out")},
		"POST hub/logout":      {"/hub/logout", all("See Other /hub/login?notice=signed-out")},
		"GET hub/home":         {"/hub/home", want{toLogin("/hub/home"), ok, ok, ok}},
		"GET hub/spawn": {"/hub/spawn",
			want{toLogin("/hub/spawn"), "Found /user/alice/", "See Other /hub/spawn-pending/bob", ok}},
		"GET hub/spawn/{user}": {"/hub/spawn/alice",
			want{toLogin("/hub/spawn/alice"), "Found /user/alice/", none, "Found /user/alice/"}},
		"GET hub/spawn/{user}/{server}": {"/hub/spawn/alice/x",
			want{toLogin("/hub/spawn/alice/x"), ok, none, ok}},
		"POST hub/spawn": {"/hub/spawn",
			want{expired, "See Other /hub/spawn-pending/alice", "See Other /hub/spawn-pending/bob",
				"See Other /hub/spawn-pending/dora"}},
		"POST hub/spawn/{user}": {"/hub/spawn/alice",
			want{expired, "See Other /hub/spawn-pending/alice", none, "See Other /hub/spawn-pending/alice"}},
		"POST hub/spawn/{user}/{server}": {"/hub/spawn/alice/x",
			want{expired, "See Other /hub/spawn-pending/alice/x", none, "See Other /hub/spawn-pending/alice/x"}},
		"GET hub/spawn-pending/{user}": {"/hub/spawn-pending/alice",
			want{toLogin("/hub/spawn-pending/alice"), "Found /user/alice/", none, "Found /user/alice/"}},
		"GET hub/spawn-pending/{user}/{server}": {"/hub/spawn-pending/alice/x",
			want{toLogin("/hub/spawn-pending/alice/x"), "Failed Dependency", none, "Failed Dependency"}},
		"POST hub/stop/{user}": {"/hub/stop/alice",
			want{expired, "See Other /hub/home", none, "See Other /hub/home"}},
		"POST hub/stop/{user}/{server}": {"/hub/stop/alice/x",
			want{expired, "See Other /hub/home", none, "See Other /hub/home"}},
		"GET hub/share/{user}": {"/hub/share/alice",
			want{toLogin("/hub/share/alice"), ok, none, none}},
		"GET hub/share/{user}/{server}": {"/hub/share/alice/x",
			want{toLogin("/hub/share/alice/x"), ok, none, none}},
		"POST hub/share/{user}":          {"/hub/share/alice", want{expired, "Bad Request", none, none}},
		"POST hub/share/{user}/{server}": {"/hub/share/alice/x", want{expired, "Bad Request", none, none}},
		"GET hub/accept-share": {"/hub/accept-share?code=x",
			want{toLogin("/hub/accept-share?code=x"), none, none, none}},
		"POST hub/accept-share": {"/hub/accept-share", want{expired, none, none, none}},
		"GET hub/token":         {"/hub/token", want{toLogin("/hub/token"), ok, ok, ok}},
		"POST hub/token":        {"/hub/token", want{expired, ok, ok, ok}},
		"POST hub/token/revoke": {"/hub/token/revoke", want{expired, none, none, none}},
		"POST hub/servers": {"/hub/servers",
			want{expired, "Bad Request", "Bad Request", "Bad Request"}},
		"POST hub/delete/{user}/{server}": {"/hub/delete/alice/x",
			want{expired, "See Other /hub/home", none, "See Other /hub/home"}},
		"GET hub/reset/{user}": {"/hub/reset/alice",
			want{toLogin("/hub/reset/alice"), none, none, none}},
		"GET hub/reset/{user}/{server}": {"/hub/reset/alice/x",
			want{toLogin("/hub/reset/alice/x"), none, none, none}},
		"POST hub/reset/{user}": {"/hub/reset/alice",
			want{expired, "See Other /hub/home", none, "See Other /hub/home"}},
		"POST hub/reset/{user}/{server}": {"/hub/reset/alice/x",
			want{expired, "See Other /hub/home", none, "See Other /hub/home"}},
		"POST hub/keep/{user}":          {"/hub/keep/alice", want{expired, none, none, none}},
		"POST hub/keep/{user}/{server}": {"/hub/keep/alice/x", want{expired, none, none, none}},
		"GET hub/admin":                 {"/hub/admin", want{toLogin("/hub/admin"), none, none, ok}},
		"POST hub/admin/users":          {"/hub/admin/users", want{expired, none, none, "Bad Request"}},
		"POST hub/admin/mark":           {"/hub/admin/mark", want{expired, none, none, none}},
		"GET hub/admin/delete-user": {"/hub/admin/delete-user?user=gail",
			want{toLogin("/hub/admin/delete-user?user=gail"), none, none, ok}},
		"POST hub/admin/delete-user": {"/hub/admin/delete-user", want{expired, none, none, none}},
		"GET hub/admin/groups": {"/hub/admin/groups",
			want{toLogin("/hub/admin/groups"), none, none, ok}},
		"POST hub/admin/groups":  {"/hub/admin/groups", want{expired, none, none, "Bad Request"}},
		"POST hub/admin/members": {"/hub/admin/members", want{expired, none, none, "Bad Request"}},
		"GET hub/admin/delete-group": {"/hub/admin/delete-group?group=x",
			want{toLogin("/hub/admin/delete-group?group=x"), none, none, none}},
		"POST hub/admin/delete-group": {"/hub/admin/delete-group", want{expired, none, none, none}},
		"GET hub/admin/usage": {"/hub/admin/usage",
			want{toLogin("/hub/admin/usage"), none, none, ok}},
		"GET hub/admin/usage.csv": {"/hub/admin/usage.csv?month=all",
			want{toLogin("/hub/admin/usage.csv?month=all"), none, none, ok}},
		"GET hub/admin/gpus": {"/hub/admin/gpus",
			want{toLogin("/hub/admin/gpus"), none, none, none}},
		"GET hub/admin/images": {"/hub/admin/images",
			want{toLogin("/hub/admin/images"), none, none, "Service Unavailable"}},
		"POST hub/admin/images/pull": {"/hub/admin/images/pull",
			want{expired, none, none, "Service Unavailable"}},
		"GET hub/admin/images/pull": {"/hub/admin/images/pull?name=x",
			want{toLogin("/hub/admin/images/pull?name=x"), none, none, none}},
		"GET hub/admin/images/progress": {"/hub/admin/images/progress?name=x",
			want{toLogin("/hub/admin/images/progress?name=x"), none, none, "Forbidden"}},
		" hub/user/{user}": {"/hub/user/alice",
			want{toLogin("/hub/user/alice"), "Found /user/alice/?redirects=1", none, ok}},
		" hub/user/{user}/{path...}": {"/hub/user/alice/lab",
			want{toLogin("/hub/user/alice/lab"), "Found /user/alice/lab?redirects=1", none, ok}},
		"POST hub/open/{user}": {"/hub/open/alice",
			want{expired, "See Other /hub/user/alice/", none, "See Other /hub/user/alice/"}},
		"POST hub/open/{user}/{server}": {"/hub/open/alice/x",
			want{expired, "See Other /hub/user/alice/x/", none, "See Other /hub/user/alice/x/"}},
		"GET hub/user-redirect": {"/hub/user-redirect",
			want{toLogin("/hub/user-redirect"), "Found /hub/spawn/alice?next=%2Fuser%2Falice%2F",
				"Found /hub/spawn/bob?next=%2Fuser%2Fbob%2F", "Found /hub/spawn/dora?next=%2Fuser%2Fdora%2F"}},
		"GET hub/user-redirect/{path...}": {"/hub/user-redirect/lab?a=b",
			want{toLogin("/hub/user-redirect/lab?a=b"), "Found /hub/spawn/alice?next=%2Fuser%2Falice%2Flab%3Fa%3Db",
				"Found /hub/spawn/bob?next=%2Fuser%2Fbob%2Flab%3Fa%3Db",
				"Found /hub/spawn/dora?next=%2Fuser%2Fdora%2Flab%3Fa%3Db"}},
		"GET hub/error/{code}":         {"/hub/error/503?url=x", all("Service Unavailable")},
		"GET hub/health":               {"/hub/health", all(ok)},
		"GET hub/static/{file}":        {"/hub/static/style.css", all(ok)},
		"GET hub/logo":                 {"/hub/logo", all(ok)},
		"POST hub/security/csp-report": {"/hub/security/csp-report", all("No Content")},
		" hub/":                        {"/hub/nothing/here", all(none)},
		" user/":                       {"/user/alice/lab?x=1", all("Found /hub/user/alice/lab?x=1")},
		" services/":                   {"/services/x/", all(none)},
	}
	seen := map[string]bool{}
	for _, rt := range routes() {
		name := rt.method + " " + rt.path
		seen[name] = true
		tt, ok := tests[name]
		if !ok {
			t.Errorf("%q is in the table but not in this test", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, twoNamed)
			ask := func(user string) string {
				if rt.method == http.MethodPost {
					h := newHub(t, twoNamed) // what one does is not what the next finds
					return answer(h.post(tt.target, user, nil))
				}
				return answer(h.do(http.MethodGet, tt.target, user))
			}
			got := want{ask(""), ask("alice"), ask("bob"), ask("dora")}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("want(-) got(+):\n%s", diff)
			}
		})
	}
	for name := range tests {
		if !seen[name] {
			t.Errorf("%q is in this test but not in the table", name)
		}
	}
}

func TestEveryRouteHasARule(t *testing.T) {
	for _, rt := range newHub(t, nil).table() {
		if rt.audience == nobody || rt.handler == nil {
			t.Errorf("%s %s has no rule of who may call it", rt.method, rt.path)
		}
	}
}

func TestWrongMethod(t *testing.T) {
	h := newHub(t, nil)
	takesAll := map[string]bool{}
	methods := map[string][]string{}
	for _, rt := range h.table() {
		methods[rt.path] = append(methods[rt.path], rt.method)
		takesAll[rt.path] = takesAll[rt.path] || rt.method == ""
	}
	fill := strings.NewReplacer("{user}", "alice", "{server}", "x", "{path...}", "lab", "{code}", "503", "{file}",
		"style.css", "{$}", "")
	for path, allowed := range methods {
		if takesAll[path] {
			continue
		}
		for _, method := range []string{"GET", "POST", "DELETE", "PUT"} {
			resp := h.do(method, fill.Replace(path), "alice")
			if is := resp.StatusCode == http.StatusMethodNotAllowed; is == contains(allowed, method) {
				t.Errorf("%s %s: %d", method, path, resp.StatusCode)
			}
			if allow := resp.Header.Get("Allow"); resp.StatusCode == http.StatusMethodNotAllowed &&
				!strings.Contains(allow, allowed[0]) {
				t.Errorf("%s %s: Allow is %q", method, path, allow)
			}
		}
	}
}

func contains(all []string, s string) bool {
	for _, a := range all {
		if a == s {
			return true
		}
	}
	return false
}

// TestBaseURL checks that nothing escapes a base URL, and what is redirected into it.
func TestBaseURL(t *testing.T) {
	h := newHub(t, func(c *setup) { c.BaseURL = "/x/"; c.Login = &fakeLogin{callback: "/x/hub/oauth2_callback"} })
	for target, want := range map[string]string{
		"/":                      "Found /x/hub/",
		"/x":                     "Found /x/hub/",
		"/x/":                    "Found /x/hub/",
		"/x/hub":                 "Found /x/hub/",
		"/x/hub/":                "Found /x/hub/home",
		"/x/foo/bar?q=1":         "Found /x/hub/foo/bar?q=1",
		"/foo":                   "Found /x/hub/foo",
		"/x/user/alice/a%20b?c":  "Found /x/hub/user/alice/a%20b?c",
		"/x/user-redirect/lab":   "Found /x/hub/user-redirect/lab",
		"/x/hub/user/alice/lab":  "Found /x/user/alice/lab?redirects=1",
		"/x/hub/oauth2_callback": "See Other /hub/",
	} {
		if got := answer(h.do("GET", target, "alice")); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
}

func TestForgedRequests(t *testing.T) {
	h := newHub(t, nil)
	for _, target := range []string{"/hub/spawn", "/hub/spawn/alice", "/hub/stop/alice", "/hub/logout",
		"/hub/oauth_login",
		"/hub/servers", "/hub/delete/alice/x", "/hub/keep/alice", "/hub/token", "/hub/token/revoke", "/hub/share/alice",
		"/hub/accept-share",
		"/hub/admin/users", "/hub/admin/mark", "/hub/admin/delete-user", "/hub/admin/groups", "/hub/admin/members",
		"/hub/admin/delete-group"} {
		for name, headers := range map[string][]string{
			"fetch metadata":    {"Sec-Fetch-Site", "cross-site"},
			"same site":         {"Sec-Fetch-Site", "same-site"},
			"origin of another": {"Origin", "https://evil.example"},
		} {
			if resp := h.do("POST", target, "alice", headers...); resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s by %s: %s", target, name, answer(resp))
			}
		}
	}
	if len(h.servers.started)+len(h.servers.stopped) > 0 {
		t.Errorf("a forged request started %v and stopped %v", h.servers.started, h.servers.stopped)
	}
	if resp := h.do("POST", "/hub/security/csp-report", "", "Sec-Fetch-Site",
		"cross-site"); resp.StatusCode != http.StatusNoContent {
		t.Errorf("a browser's report is refused: %s", answer(resp))
	}
	if resp := h.post("/hub/stop/alice", "alice", nil); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("our own form is refused: %s", answer(resp))
	}
}

func TestStaticIsCached(t *testing.T) {
	h := newHub(t, nil)
	versioned, err := h.staticURL("style.css")
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{versioned: "public, max-age=31536000, immutable",
		"/hub/static/style.css":       "no-cache",
		"/hub/static/style.css?v=old": "no-cache", "/hub/logo": "no-cache"} {
		resp := h.do("GET", target, "")
		if got := resp.Header.Get("Cache-Control"); got != want || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d, Cache-Control %q, want %q", target, resp.StatusCode, got, want)
		}
		if resp := h.do("GET", target, "", "If-None-Match",
			resp.Header.Get("ETag")); resp.StatusCode != http.StatusNotModified {
			t.Errorf("%s again: %d", target, resp.StatusCode)
		}
	}
	for _, target := range []string{"/hub/static/nothing.css", "/hub/static/..%2Ftemplates%2Fhome.html",
		"/hub/static/"} {
		if resp := h.do("GET", target, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", target, resp.StatusCode)
		}
	}
}

func TestReportIsBounded(t *testing.T) {
	h := newHub(t, nil)
	resp := send(h.Handler(), "POST", "/hub/security/csp-report", strings.Repeat("x", maxReport+1), "")
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%d", resp.StatusCode)
	}
}
