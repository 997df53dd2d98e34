package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/cookies"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
	"github.com/gifford-lab/gifford-hub/agent/hub/xsrf"
)

// secret is what only pages of the hub have.
const secret = `name="` + xsrf.Field + `"`

// without takes the headers of Fetch Metadata away from a request.
func without(more ...string) []string {
	return append([]string{"Sec-Fetch-Site", "", "Sec-Fetch-Mode", "", "Sec-Fetch-Dest", ""}, more...)
}

// askers are what may ask for a page in an administrator's browser, with their headers, and which of the readers get
// it.
func askers() map[string]struct {
	headers []string
	gets    bool
} {
	type asker = struct {
		headers []string
		gets    bool
	}
	fetch := func(more ...string) asker {
		return asker{append([]string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest",
			"empty"},
			more...), false}
	}
	frame := func(dest string) asker {
		return asker{[]string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", dest},
			false}
	}
	return map[string]asker{
		"window": {nil, true},
		"link of a server": {[]string{"Sec-Fetch-Site", "same-origin", "Referer",
			"https://example.com/user/bob/x"}, true},
		"link of another site": {[]string{"Sec-Fetch-Site", "cross-site", "Referer",
			"https://wiki.example.org/"}, true},
		"fetch":                            fetch(),
		"fetch that looks like a window's": fetch("Accept", "text/html", "Referer", "https://example.com/hub/home"),
		"iframe":                           frame("iframe"),
		"frame":                            frame("frame"),
		"embed":                            frame("embed"),
		"object":                           frame("object"),
		"script":                           {[]string{"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script"}, false},
		"image":                            {[]string{"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, false},
		"old browser":                      {without(), false},
		"old browser on a page of the hub": {without("Referer", "https://example.com/hub/home"), false},
		"old browser on a server":          {without("Referer", "https://example.com/user/bob/lab"), false},
		"old browser, another site": {without("Referer", "https://wiki.example.org/", "Origin",
			"https://wiki.example.org"), false},
	}
}

// TestReaders asks for each route of the table in every way: only a window of its own gets a page, and none but what
// the table calls so is for anything.
func TestReaders(t *testing.T) {
	fill := strings.NewReplacer("{user}", "alice", "{server}", "x", "{path...}", "lab", "{code}", "503", "{file}",
		"style.css", "{$}", "")
	for _, rt := range routes() {
		t.Run(rt.method+" "+rt.path, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, twoNamed)
			method := rt.method
			if method == "" {
				method = http.MethodGet
			}
			form := url.Values{xsrf.Field: {pageTokens.Of(sessionOf("dora"))}}.Encode()
			for name, a := range askers() {
				resp := send(h.Handler(), method, "/"+fill.Replace(rt.path), form, "dora",
					append([]string{"Content-Type", "application/x-www-form-urlencoded"}, a.headers...)...)
				text := body(t, resp)
				refused := resp.StatusCode == http.StatusForbidden
				switch {
				case method == http.MethodPost && strings.Contains(strings.Join(a.headers, " "), "cross-site"):
					if rt.reader != Anything && !refused {
						t.Errorf("%s: a form of another site: %s", name, answer(resp))
					}
				case rt.reader == Script:
					if !refused {
						t.Errorf("%s without a stream's token: %s", name, answer(resp))
					}
				case rt.reader == Anything:
					if strings.Contains(text, secret) || strings.Contains(text, "dora") {
						t.Errorf("%s gets a page:\n%s", name, text)
					}
				case rt.reader == ServerPage && !refused && !a.gets:
					if resp.Header.Get("Content-Type") != "application/json" ||
						resp.StatusCode != http.StatusServiceUnavailable {
						t.Errorf("%s: %s\n%s", name, answer(resp), text)
					}
				case refused == a.gets:
					t.Errorf("%s: %s", name, answer(resp))
				}
				if !a.gets && (strings.Contains(text, secret) || strings.Contains(text, "dora")) {
					t.Errorf("%s gets a page:\n%s", name, text)
				}
			}
			if len(h.servers.stopped)+len(h.servers.started) > 3 { // the windows' own
				t.Errorf("started %v, stopped %v", h.servers.started, h.servers.stopped)
			}
		})
	}
}

// TestReadersWithoutACookie checks that programs see what is the same for everybody.
func TestReadersWithoutACookie(t *testing.T) {
	h := newHub(t, nil)
	for target, want := range map[string]string{"/hub/login": "OK",
		"/hub/home":   "See Other /hub/login?next=%2Fhub%2Fhome",
		"/hub/health": "OK"} {
		if got := answer(h.do("GET", target, "", without()...)); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
}

// TestReadersWithoutTLS checks that a page which comes over http says whose link it followed.
func TestReadersWithoutTLS(t *testing.T) {
	login := &fakeLogin{callback: "/hub/oauth_callback", plain: true}
	h := newHub(t, func(c *setup) { c.Login = login })
	h.login = login
	for referer, want := range map[string]string{"": "OK", "http://example.com/hub/token": "OK",
		"http://example.com/user/mallory/x.html": "Forbidden", "http://example.com/services/x/": "Forbidden"} {
		resp := h.do("GET", "/hub/home", "alice", without("Referer", referer)...)
		if got := answer(resp); got != want {
			t.Errorf("from %q: %s, want %s", referer, got, want)
		}
		if text := body(t, resp); want != "OK" && (!strings.Contains(text, "go to the home page") ||
			strings.Contains(text, secret)) {
			t.Errorf("from %q:\n%s", referer, text)
		}
	}
}

// TestFormsNeedTheirToken sends each form of the table without a token and with that of another session.
func TestFormsNeedTheirToken(t *testing.T) {
	fill := strings.NewReplacer("{user}", "alice", "{server}", "x")
	for _, rt := range routes() {
		if rt.method != http.MethodPost || rt.reader == Anything {
			continue
		}
		h := newHub(t, twoNamed)
		for name, token := range map[string]string{"none": "", "of bob": pageTokens.Of(sessionOf("bob")),
			"of a stream": pageTokens.ForStream(sessionOf("dora"), "/"+fill.Replace(rt.path)),
			"the session": sessionOf("dora")} {
			form := url.Values{}
			if token != "" {
				form.Set(xsrf.Field, token)
			}
			resp := send(h.Handler(), "POST", "/"+fill.Replace(rt.path)+"?"+xsrf.Field+"="+
				pageTokens.Of(sessionOf("dora")), form.Encode(), "dora", "Content-Type",
				"application/x-www-form-urlencoded",
				xsrf.Header, pageTokens.Of(sessionOf("dora")), "Sec-Fetch-Site", "same-origin")
			text := body(t, resp)
			if rt.reader == SignInPage {
				if resp.StatusCode != http.StatusSeeOther {
					t.Errorf("%s with token %s: %s", rt.path, name, answer(resp))
				}
				continue
			}
			if resp.StatusCode != http.StatusForbidden || !strings.Contains(text, "too old") ||
				!strings.Contains(text, "load the page again") || strings.Contains(text, secret) {
				t.Errorf("%s with token %s: %s\n%s", rt.path, name, answer(resp), text)
			}
		}
		if len(h.servers.started)+len(h.servers.stopped)+len(h.servers.resets)+len(h.journal.acts) > 0 {
			t.Errorf("%s did something: %v %v %v %v", rt.path, h.servers.started, h.servers.stopped, h.servers.resets,
				h.journal.acts)
		}
	}
}

// TestFormWithoutASession checks that signing out twice is no error, and that a database that fails is.
func TestFormWithoutASession(t *testing.T) {
	h := newHub(t, nil)
	for user, want := range map[string]string{"": "See Other /hub/login?notice=signed-out",
		"revoked": "See Other /hub/login?notice=signed-out", "alice": "Forbidden"} {
		if got := answer(h.do("POST", "/hub/logout", user)); got != want {
			t.Errorf("%q: %s, want %s", user, got, want)
		}
	}
}

// TestPagesOfOthers checks what package web does for the OAuth pages.
func TestPagesOfOthers(t *testing.T) {
	h := newHub(t, nil)
	page := h.ForDocuments(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusTeapot)
		return nil
	})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := page(w, r); err != nil {
			w.WriteHeader(httpx.Public(err).Status)
		}
	})
	good := url.Values{xsrf.Field: {pageTokens.Of(sessionOf("alice"))}}.Encode()
	for name, tt := range map[string]struct {
		method, form string
		headers      []string
		want         int
	}{
		"window":               {"GET", "", nil, http.StatusTeapot},
		"fetch":                {"GET", "", []string{"Sec-Fetch-Mode", "cors"}, http.StatusForbidden},
		"iframe":               {"GET", "", []string{"Sec-Fetch-Dest", "iframe"}, http.StatusForbidden},
		"old browser":          {"GET", "", without(), http.StatusForbidden},
		"form":                 {"POST", good, nil, http.StatusTeapot},
		"form without token":   {"POST", "scopes=x", nil, http.StatusForbidden},
		"form by fetch":        {"POST", good, []string{"Sec-Fetch-Mode", "cors"}, http.StatusForbidden},
		"form, another scheme": {"POST", good, []string{"Origin", "http://example.com"}, http.StatusForbidden},
	} {
		resp := send(handler, tt.method, "/hub/api/oauth2/authorize", tt.form, "alice", append([]string{"Content-Type",
			"application/x-www-form-urlencoded"}, tt.headers...)...)
		if resp.StatusCode != tt.want {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, tt.want)
		}
	}
}

// TestLogoutAsks checks whose links sign somebody out at once.
func TestLogoutAsks(t *testing.T) {
	h := newHub(t, nil)
	const out, asks = "See Other /hub/login?notice=signed-out", "OK"
	for name, tt := range map[string]struct {
		headers []string
		want    string
	}{
		"typed": {nil, out},
		"the hub's link": {[]string{"Sec-Fetch-Site", "same-origin", "Referer",
			"https://example.com/hub/home"}, out},
		"JupyterLab's menu": {[]string{"Sec-Fetch-Site", "same-origin", "Referer",
			"https://example.com/user/alice/lab"}, out},
		"a named server's menu": {[]string{"Sec-Fetch-Site", "same-origin", "Referer",
			"https://example.com/user/alice/x/lab"}, out},
		"another person's server": {[]string{"Sec-Fetch-Site", "same-origin", "Referer",
			"https://example.com/user/alice2/"}, asks},
		"a service": {[]string{"Sec-Fetch-Site", "same-origin", "Referer",
			"https://example.com/services/x/"}, asks},
		"no referrer": {[]string{"Sec-Fetch-Site", "same-origin"}, asks},
		"another site": {[]string{"Sec-Fetch-Site", "cross-site", "Referer", "https://example.com/hub/home"},
			asks},
		"prefetch": {[]string{"Sec-Purpose", "prefetch"}, asks},
		"fetch":    {[]string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, "Forbidden"},
		"image":    {[]string{"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, "Forbidden"},
	} {
		resp := h.do("GET", "/hub/logout", "alice", tt.headers...)
		if got := answer(resp); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
		if text := body(t, resp); tt.want == asks && !strings.Contains(text, secret) {
			t.Errorf("%s: the question has no token:\n%s", name, text)
		}
	}
}

// TestLogoutFromOnesOwnOrigin checks the same where each member has an origin of their own.
func TestLogoutFromOnesOwnOrigin(t *testing.T) {
	at, err := origins.New("https://example.com/", "https://{user}.example.com")
	if err != nil {
		t.Fatal(err)
	}
	h := newHub(t, func(c *setup) { c.Origins = at })
	for referer, want := range map[string]string{
		"https://alice.example.com/":          "See Other /hub/login?notice=signed-out",
		"https://alice.example.com/user/bob/": "See Other /hub/login?notice=signed-out",
		"https://bob.example.com/":            "OK",
		"http://alice.example.com/":           "OK",
		"https://example.com/user/bob/":       "OK",
		"https://wiki.example.com/":           "OK",
	} {
		resp := h.do("GET", "/hub/logout", "alice", "Sec-Fetch-Site", "same-site", "Referer", referer)
		if got := answer(resp); got != want {
			t.Errorf("from %s: %s, want %s", referer, got, want)
		}
	}
	resp := h.do("GET", "/hub/logout", "alice", "Sec-Fetch-Site", "cross-site", "Referer", "https://alice.example.com/")
	if got := answer(resp); got != "OK" {
		t.Errorf("by a redirect of another site: %s", got)
	}
}

// TestCookies checks the answers for a browser with cookies that it should not have.
func TestCookies(t *testing.T) {
	h := newHub(t, nil)
	name := cookies.New("/", true).Login()
	inner := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	filled := "a=" + strings.Repeat("x", cookies.MaxBytes)
	for what, tt := range map[string]struct {
		cookie  string
		headers []string
		status  int
		text    string
		expires bool
	}{
		"a session":    {name + "=alice; a=b", nil, http.StatusTeapot, "", false},
		"two sessions": {name + "=alice; " + name + "=mallory", nil, 400, "Two sessions", true},
		"full":         {filled, nil, 431, "Too many cookies", true},
		"full, by a script": {filled, []string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, 431, "home page",
			false},
		"full, in a frame": {filled, []string{"Sec-Fetch-Dest", "iframe"}, 431, "home page", false},
		"full, a form":     {filled, []string{"method", "POST"}, 431, "home page", false},
	} {
		method := http.MethodGet
		if len(tt.headers) > 0 && tt.headers[0] == "method" {
			method = http.MethodPost
		}
		resp := send(h.InFront(inner), method, "/hub/home", "", "", append(tt.headers, "Cookie", tt.cookie)...)
		text := body(t, resp)
		if resp.StatusCode != tt.status || !strings.Contains(text, tt.text) || strings.Contains(text, "alice") {
			t.Errorf("%s: %d\n%s", what, resp.StatusCode, text)
		}
		if expires := len(resp.Header["Set-Cookie"]) > 0; expires != tt.expires {
			t.Errorf("%s: cookies %q", what, resp.Header["Set-Cookie"])
		}
		if tt.text != "" && strings.Contains(text, "<script") {
			t.Errorf("%s needs a script", what)
		}
	}
	resp := send(h.InFront(inner), "GET", "/hub/home", "", "", "Cookie", "jupyterhub-hub-login=old")
	if got := resp.Header["Set-Cookie"]; resp.StatusCode != http.StatusTeapot || len(got) != 1 ||
		!strings.HasPrefix(got[0], "jupyterhub-hub-login=x; Path=/hub/; Max-Age=0") {
		t.Errorf("the session of before the upgrade: %d %q", resp.StatusCode, got)
	}
}

// TestHSTS checks that only answers over TLS ask for more of it.
func TestHSTS(t *testing.T) {
	for target, on := range map[string]bool{"https://example.com/hub/login": true,
		"http://example.com/hub/login": false} {
		for _, setting := range []bool{true, false} {
			h := newHub(t, func(c *setup) { c.HSTS = setting })
			resp := send(h.InFront(h.Handler()), "GET", target, "", "")
			want := ""
			if on && setting {
				want = "max-age=31536000"
			}
			if got := resp.Header.Get("Strict-Transport-Security"); got != want {
				t.Errorf("%s with %v: %q", target, setting, got)
			}
		}
	}
}
