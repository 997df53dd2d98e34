package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/cookies"
	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/oauth"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/hub/xsrf"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// shown is a page as a test asks for it.
type shown struct {
	status int
	text   string
	root   *html.Node
	policy string
}

func show(t testing.TB, resp *http.Response) shown {
	t.Helper()
	text := body(t, resp)
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return shown{resp.StatusCode, text, root, resp.Header.Get("Content-Security-Policy")}
}

// elements returns all elements of the page with one of the names.
func (p shown) elements(names ...string) []*html.Node {
	var all []*html.Node
	for n := range p.root.Descendants() {
		if n.Type == html.ElementNode && slices.Contains(names, n.Data) {
			all = append(all, n)
		}
	}
	return all
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// textOf returns the text of a node.
func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// What clients ask people for.
var (
	aliceKey      = key("alice")
	askForServer  = oauth.Question{Client: oauth.Client{Server: &aliceKey, Path: "/user/alice/"}}
	askForService = oauth.Question{Client: oauth.Client{Service: "grades", Path: "/services/grades/"},
		Raw: []string{"read:servers!user", "custom:x"},
		Scopes: []scopes.Description{{Scope: "read:servers!user", Text: "Read servers", Filter: "only you"},
			{Scope: "custom:x", Text: "Do <b>this</b>"}}}
)

// newRich is a hub in which there is something of everything.
func newRich(t testing.TB) *hub {
	t.Helper()
	grades := services.Service{Name: "grades", Prefix: "/services/grades/", Display: true, ClientID: "service-grades"}
	h := newHub(t, func(c *setup) {
		c.NamedServers, c.PublicURL = 2, "https://hub.example.org/"
		c.Services = func() []services.Service {
			return []services.Service{grades, {Name: "hidden", Prefix: "/services/hidden/"}}
		}
		everybody := access.Role{Role: scopes.Role{Name: "visitors",
			Scopes: []string{"access:services!service=grades"}}, Users: users("alice")}
		c.Authority = roles(t, c.db, sharer, everybody)
		c.Cull = func(k ident.Key) (cull.Notice, bool) {
			return cull.Notice{At: now.Add(time.Hour), Reason: cull.ReasonIdle}, k == aliceKey
		}
		c.Postpone = func(ident.Key) error { return nil }
		c.Disk = fakeDisks{low: true}
	})
	must := func(_ any, err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, alice := t.Context(), aliceKey.User
	open := []string{"access:servers!server=alice/"}
	must(nil, spend(ctx, h.db))
	must(nil, h.db.CreateGroups(ctx, []store.Group{{Name: hostileName, Users: users("carol")}}))
	must(h.db.GrantShare(ctx, store.Share{Key: aliceKey, User: key("carol").User, Scopes: open}))
	must(h.db.GrantShare(ctx, store.Share{Key: aliceKey, Group: hostileName, Scopes: open}))
	must(h.db.CreateShareCode(ctx, store.ShareCode{Hash: ident.HashToken("good-code"), Key: aliceKey, Scopes: open,
		Created: now, Expires: now.Add(time.Hour)}))
	must(h.db.CreateToken(ctx, store.Token{Hash: "1", Kind: store.APIToken, User: alice, Scopes: []string{"inherit"},
		Note: "a <b>note</b>", Created: now}))
	must(h.db.CreateToken(ctx, store.Token{Hash: "2", Kind: store.OAuthToken, User: alice, ClientID: "service-grades",
		Scopes: []string{"access:services!service=grades"}, Created: now}))
	must(h.db.CreateToken(ctx, store.Token{Hash: "3", Kind: store.OAuthToken, User: alice,
		ClientID: "jupyterhub-user-bob", Scopes: []string{"access:servers!server=bob/"}, Created: now}))
	return h
}

// everyPage asks for each page that there is.
func everyPage(t testing.TB, h *hub) map[string]shown {
	t.Helper()
	get := func(target, user string, headers ...string) shown {
		return show(t, h.do("GET", target, user, headers...))
	}
	direct := func(f http.HandlerFunc) shown { return show(t, send(f, "GET", "/hub/x", "", "dora")) }
	failing := newHub(t, func(c *setup) { c.BaseURL = h.cfg.BaseURL })
	failing.login.fails = &httpx.Error{Status: http.StatusServiceUnavailable,
		Public: "the sign-in server cannot be reached", Hint: "try again in a minute"}
	base := strings.TrimSuffix(h.cfg.BaseURL, "/")
	rich := newRich(t)
	keeper := &fakeImages{steps: make(chan imagekeeper.Progress, 2)}
	images := newImages(t, keeper)
	images.post("/hub/admin/images/pull", "dora", url.Values{"name": {latest}})
	t.Cleanup(func() { close(keeper.steps) })
	ask := func(target, user string) shown { return show(t, rich.do("GET", target, user)) }
	form := func(target, user string, f url.Values) shown { return show(t, rich.post(target, user, f)) }
	devices := newHub(t, withGPUs(t, &fakeLauncher{known: fourGPUs()}))
	return map[string]shown{
		"gpus":             show(t, devices.do("GET", "/hub/admin/gpus", "dora")),
		"home, gpus":       show(t, devices.do("GET", "/hub/home", "alice")),
		"sign in":          get(base+"/hub/login?next=/user/alice/lab", ""),
		"signed out":       get(base+"/hub/login?notice=signed-out", ""),
		"expired":          get(base+"/hub/login?notice=expired", ""),
		"provider is down": show(t, failing.do("GET", base+"/hub/login", "")),
		"sign-in failed":   show(t, failing.do("GET", "/hub/oauth_callback?code=x", "")),
		"denied": direct(func(w http.ResponseWriter, r *http.Request) {
			h.Error(w, r, &login.Denied{Reason: login.NotInGroup, User: key("carol").User, Detail: "cgs"})
		}),
		"two sessions": direct(func(w http.ResponseWriter, r *http.Request) {
			h.cookiesPage(w, r, cookies.Twice)
		}),
		"too many cookies": direct(func(w http.ResponseWriter, r *http.Request) {
			h.cookiesPage(w, r, cookies.TooLarge)
		}),
		"sign out?":       get(base+"/hub/logout", "alice", "Sec-Fetch-Site", "cross-site"),
		"home, running":   get(base+"/hub/home", "alice"),
		"home, starting":  get(base+"/hub/home", "bob"),
		"home, stopping":  get(base+"/hub/home", "carol"),
		"home, failed":    get(base+"/hub/home", "erin"),
		"home, stopped":   get(base+"/hub/home", "gail"),
		"start":           get(base+"/hub/spawn?next=/user/gail/lab", "gail"),
		"starting":        get(base+"/hub/spawn-pending/bob", "bob"),
		"waiting":         get(base+"/hub/spawn-pending/frank", "frank"),
		"stopping":        get(base+"/hub/spawn-pending/carol", "carol"),
		"failed":          get(base+"/hub/spawn-pending/erin", "erin"),
		"starting, admin": get(base+"/hub/spawn-pending/bob", "dora"),
		"not running":     get(base+"/hub/user/gail/lab", "gail"),
		"not found":       get(base+"/hub/nothing", "alice"),
		"bad gateway":     get(base+"/hub/error/502", ""),
		"server is silent": direct(func(w http.ResponseWriter,
			r *http.Request) {
			h.Unavailable(w, r, key("alice"), http.StatusBadGateway)
		}),
		"may it know": direct(func(w http.ResponseWriter,
			r *http.Request) {
			_ = h.Confirm(w, r, askForServer)
		}),
		"may the service": direct(func(w http.ResponseWriter,
			r *http.Request) {
			_ = h.Confirm(w, r, askForService)
		}),
		"home with everything": ask("/hub/home", "alice"),
		"home, a wrong name": form("/hub/servers", "alice",
			url.Values{"name": {`A"b`}, "display_name": {hostileName}}),
		"home, shared with":  ask("/hub/home", "carol"),
		"named, not running": ask("/hub/user/alice/x/lab", "alice"),
		"tokens":             ask("/hub/token", "alice"),
		"a new token":        form("/hub/token", "alice", url.Values{"note": {hostileName}, "expires": {"3600"}}),
		"a token that cannot be": form("/hub/token", "alice",
			url.Values{"note": {hostileName}, "scopes": {`shutdown "x`}}),
		"share": ask("/hub/share/alice", "alice"),
		"share with nobody known": form("/hub/share/alice", "alice",
			url.Values{"do": {"grant"}, "kind": {"group"}, "name": {"no " + hostileName}}),
		"share by a link":      form("/hub/share/alice/x", "alice", url.Values{"do": {"link"}, "hours": {"24"}}),
		"accept":               ask("/hub/accept-share?code=good-code", "carol"),
		"accept, bad code":     ask("/hub/accept-share?code=bad-code", "carol"),
		"accept, one's own":    ask("/hub/accept-share?code=good-code", "alice"),
		"users":                ask("/hub/admin", "dora"),
		"users, none":          ask("/hub/admin?q=%22nobody&page=3", "dora"),
		"users, a wrong name":  form("/hub/admin/users", "dora", url.Values{"names": {`zoe "x`}}),
		"groups":               ask("/hub/admin/groups", "dora"),
		"groups, a wrong name": form("/hub/admin/groups", "dora", url.Values{"group": {hostileName}}),
		"delete a user?":       ask("/hub/admin/delete-user?user=gail", "dora"),
		"delete a busy user?":  ask("/hub/admin/delete-user?user=alice", "dora"),
		"delete a group?":      ask("/hub/admin/delete-group?"+url.Values{"group": {hostileName}}.Encode(), "dora"),
		"images":               show(t, images.do("GET", "/hub/admin/images", "dora")),
		"images, no keeper":    ask("/hub/admin/images", "dora"),
		"usage":                ask("/hub/admin/usage?month=2026-02", "dora"),
		"usage of all months":  ask("/hub/admin/usage?month=all", "dora"),
		"usage, nothing":       ask("/hub/admin/usage?month=1999-01", "dora"),
		"a pull":               show(t, images.do("GET", "/hub/admin/images/pull?name="+latest, "dora")),
		"request of others": show(t, h.do("POST", base+"/hub/stop/alice", "alice", "Sec-Fetch-Site",
			"cross-site")),
	}
}

// TestEveryPage checks what must hold for each page: the policy needs no exception,
// forms lead to routes that take them, and a screen reader finds its way.
func TestEveryPage(t *testing.T) {
	h := newHub(t, func(c *setup) { c.Announcement = "Maintenance <b>tonight</b>" })
	for name, p := range everyPage(t, h) {
		t.Run(name, func(t *testing.T) {
			checkPolicy(t, p)
			checkForms(t, h, p)
			checkReaders(t, p)
		})
	}
}

func checkPolicy(t *testing.T, p shown) {
	t.Helper()
	for n := range p.root.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s> has an inline %s", n.Data, a.Key)
			}
			if (a.Key == "src" || n.Data == "link" && a.Key == "href") && !strings.HasPrefix(a.Val, "/hub/") {
				t.Errorf("<%s> loads %q from elsewhere", n.Data, a.Val)
			}
		}
	}
	for _, n := range p.elements("script", "style") {
		if n.FirstChild != nil || n.Data == "style" {
			t.Errorf("an inline <%s>", n.Data)
		}
	}
	leaves := false
	for _, f := range p.elements("form") {
		leaves = leaves || attr(f, "action") == "/hub/oauth_login"
	}
	if strings.Contains(p.policy, "form-action") == leaves {
		t.Errorf("the policy %q does not fit the forms", p.policy)
	}
}

func checkForms(t *testing.T, h *hub, p shown) {
	t.Helper()
	mux := http.NewServeMux()
	for _, rt := range h.table() {
		mux.Handle(strings.TrimSpace(rt.method+" "+rt.path), http.NotFoundHandler())
	}
	for _, f := range p.elements("form") {
		if attr(f, "role") == "search" || attr(f, "action") == "/hub/home" {
			continue // changes nothing
		}
		first := slices.Collect(f.ChildNodes())
		if len(p.elements("nav")) > 0 && (len(first) == 0 || attr(first[0], "name") != xsrf.Field ||
			len(attr(first[0], "value")) < 40) {
			t.Errorf("the form for %q has no token", attr(f, "action"))
		}
		if attr(f, "method") != "post" {
			t.Errorf("a form of method %q", attr(f, "method"))
		}
		action := attr(f, "action")
		if action == "" {
			continue // posts to its own address: the OAuth page, which is the API's
		}
		r, err := http.NewRequest("POST", action, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, pattern := mux.Handler(r); !strings.HasPrefix(pattern, "POST ") {
			t.Errorf("a form posts to %q, which is no route but %q", action, pattern)
		}
	}
	for _, a := range p.elements("a") {
		r, err := http.NewRequest("GET", attr(a, "href"), nil)
		if err != nil || strings.HasPrefix(attr(a, "href"), "mailto:") || strings.HasPrefix(attr(a, "href"), "#") {
			continue
		}
		if _, pattern := mux.Handler(r); pattern == "/hub/" || pattern == "/" {
			t.Errorf("a link leads to %q, which is no page", attr(a, "href"))
		}
	}
}

func checkReaders(t *testing.T, p shown) {
	t.Helper()
	if len(p.elements("main")) != 1 || len(p.elements("header")) != 1 || len(p.elements("h1")) != 1 {
		t.Errorf("needs one <main>, one <header> and one <h1>")
	}
	if page := p.elements("html"); attr(page[0], "lang") != "en" {
		t.Error("has no language")
	}
	ids, labelled := map[string]bool{}, map[string]bool{}
	for n := range p.root.Descendants() {
		if id := attr(n, "id"); id != "" {
			if ids[id] {
				t.Errorf("the id %q stands twice", id)
			}
			ids[id] = true
		}
	}
	for _, l := range p.elements("label") {
		labelled[attr(l, "for")] = true
	}
	for _, n := range p.elements("input", "select", "textarea", "progress", "section", "pre", "button", "fieldset") {
		switch n.Data {
		case "input", "select", "textarea":
			if attr(n, "type") != "hidden" && !labelled[attr(n, "id")] {
				t.Errorf("the field %q has no label", attr(n, "name"))
			}
		case "progress":
			if attr(n, "aria-label") == "" {
				t.Error("a progress bar has no label")
			}
		case "button":
			if textOf(n) == "" {
				t.Error("a button has no words")
			}
		}
		for _, a := range []string{"aria-labelledby", "aria-describedby"} {
			if id := attr(n, a); id != "" && !ids[id] {
				t.Errorf("<%s> refers to %q, which is not there", n.Data, id)
			}
		}
	}
	for _, n := range p.elements("img") {
		if !slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "alt" }) {
			t.Error("a picture has no alt")
		}
	}
}

// TestWords checks what the pages say.
func TestWords(t *testing.T) {
	h := newHub(t, func(c *setup) { c.Announcement = "Maintenance <b>tonight</b>" })
	pages := everyPage(t, h)
	tests := map[string]struct {
		status int
		want   []string
	}{
		"sign in": {200, []string{"Sign in with Example University",
			`name="next" value="/user/alice/lab"`, "mailto:hub@example.org", "Maintenance &lt;b&gt;tonight"}},
		"signed out":   {200, []string{"You are signed out"}},
		"expired":      {200, []string{"session has ended"}},
		"two sessions": {400, []string{"only one of them can be yours", "sign in again", "<button>Continue"}},
		"too many cookies": {431, []string{"except your sign-in", "the hub takes", "hub@example.org",
			"<button>Continue"}},
		"provider is down": {200, []string{"the sign-in server cannot be reached", "try again in a minute"}},
		"sign-in failed": {503, []string{"the sign-in server cannot be reached",
			"Sign in with Example University"}},
		"denied": {403, []string{"<strong>carol</strong>",
			"carol is in no group that may use this hub (cgs)", "hub@example.org", `name="switch" value="1"`}},
		"sign out?": {200, []string{"Another site or another person"}},
		"home, running": {200, []string{"Running", "JupyterLab with a GPU", "3 hours", "4 minutes ago",
			`href="/user/alice/"`, `action="/hub/stop/alice"`}},
		"home, starting": {200, []string{`href="/hub/spawn-pending/bob"`, `http-equiv="refresh"`}},
		"home, stopping": {200, []string{"being stopped", `http-equiv="refresh"`}},
		"home, failed": {200, []string{"exit status 1", "journalctl -u jupyter-erin",
			"cannot find the licence server", "Try again"}},
		"home, stopped": {200, []string{`action="/hub/spawn"`, "Python, R and Julia", "PyTorch and CUDA",
			">Start<"}},
		"starting": {200, []string{`data-progress="/hub/api/users/bob/server/progress?_xsrf=`,
			`data-next="/user/bob/"`, `<noscript><meta http-equiv="refresh"`, "aria-live=\"polite\""}},
		"starting, admin": {200, []string{"belongs to <strong>bob</strong>",
			`data-progress="/hub/api/users/bob/server/progress?_xsrf=`}},
		"stopping": {200, []string{"being stopped"}},
		"failed":   {500, []string{"exit status 1", "Try again", "cannot find the licence server"}},
		"not running": {424, []string{"/user/gail/lab", `action="/hub/spawn/gail"`,
			`name="next" value="/user/gail/lab"`}},
		"not found":        {404, []string{"Status 404"}},
		"server is silent": {502, []string{"the server of alice does not answer"}},
		"may it know": {200, []string{"The server of <strong>alice</strong>", "wants to know who you are",
			"<strong>dora</strong>"}},
		"may the service": {200, []string{"Sign in to grades?", "/services/grades/",
			`value="read:servers!user"`, "only you", "&lt;b&gt;", `<input type="hidden" name="scopes" value="">`}},
		"home with everything": {200, []string{"Your servers with names",
			"Mine &#34;&lt;script&gt;alert(1)&lt;/script&gt;", `action="/hub/delete/alice/x"`,
			`href="/hub/spawn/alice/x"`, `href="/hub/share/alice"`, `href="/services/grades/"`,
			"It will be stopped at ", "in 1 hour, because nobody uses it.", `action="/hub/keep/alice"`}},
		"home, a wrong name": {400, []string{"use 1 to 30 of a-z", `value="A&#34;b"`}},
		"home, shared with":  {200, []string{"Shared with you", `href="/hub/user/alice/"`}},
		"named, not running": {424, []string{"Your server x does not run", `action="/hub/spawn/alice/x"`,
			`name="next" value="/user/alice/x/lab"`}},
		"tokens": {200, []string{"a &lt;b&gt;note&lt;/b&gt;", "Service grades", "Server at /user/bob/",
			"Everything that you may do", "Open servers and work in them", `name="client" value="service-grades"`,
			"30 days", "1 year", "never"}},
		"a new token": {200, []string{"Your new token", "Authorization: token ",
			"https://hub.example.org/hub/api/user"}},
		"a token that cannot be": {400, []string{"cannot use scope", "shutdown &#34;x"}},
		"share": {200, []string{"carol", "Open servers and work in them", "1 hour",
			`value="revoke-link"`, "Share with somebody"}},
		"share by a link": {200, []string{"https://hub.example.org/hub/accept-share?code="}},
		"accept": {200, []string{"alice shares a server with you", "Open servers and work in them",
			`value="good-code"`}},
		"accept, bad code":        {404, []string{"this link shares nothing"}},
		"accept, one's own":       {400, []string{"your own server"}},
		"share with nobody known": {400, []string{"there is no group", "no Mine"}},
		"users": {200, []string{"alice", "gail", "7 of 7", `action="/hub/stop/alice"`,
			`href="/hub/spawn/gail"`, `href="/hub/user/alice/"`, "Make admin", "hub/admin/delete-user?user=gail",
			"Mine &#34;&lt;script&gt;"}},
		"users, none":          {200, []string{"No user matches", `value="&#34;nobody"`}},
		"users, a wrong name":  {400, []string{"cannot use user name", "zoe &#34;x"}},
		"groups":               {200, []string{"Mine &#34;&lt;script&gt;", "carol"}},
		"groups, a wrong name": {400, []string{"exists already"}},
		"delete a user?":       {200, []string{"Delete user gail", "The Unix account and its files stay"}},
		"delete a busy user?":  {200, []string{"must be stopped first", `action="/hub/stop/alice"`}},
		"delete a group?":      {200, []string{"1 member loses", "Delete group Mine"}},
		"request of others":    {403, []string{"came from another site"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := pages[name]
			if p.status != tt.status {
				t.Errorf("status %d, want %d", p.status, tt.status)
			}
			for _, w := range tt.want {
				if !strings.Contains(p.text, w) {
					t.Errorf("does not say %q:\n%s", w, p.text)
				}
			}
		})
	}
}

// TestHostileLines checks that a member's program cannot write into a page.
func TestHostileLines(t *testing.T) {
	pages := everyPage(t, newHub(t, nil))
	for _, name := range []string{"home, failed", "failed"} {
		p := pages[name]
		if strings.Contains(p.text, "<script>alert") || strings.ContainsAny(p.text, "\x1b\u202e") {
			t.Errorf("%s lets a line through as it came", name)
		}
		if lines := p.elements("pre"); len(lines) != 1 || !strings.Contains(textOf(lines[0]),
			`<script>alert(1)</script> & "quoted" gnp.exe`) {
			t.Errorf("%s does not show the line's words", name)
		}
	}
}

// TestOthersSeeNoTable checks that the table is for administrators.
func TestOthersSeeNoTable(t *testing.T) {
	pages := everyPage(t, newHub(t, nil))
	if p := pages["home, running"]; strings.Contains(p.text, "bob") ||
		len(pages["home, stopped"].elements("table")) > 0 {
		t.Error("a member sees others' servers")
	}
}

func TestNext(t *testing.T) {
	h := newHub(t, nil)
	for name, next := range map[string]string{"other host": "https://evil.example/", "no scheme": "//evil.example",
		"backslash": `/\evil.example`,
		"tab":       "/\t/evil.example", "script": "javascript:alert(1)", "relative": "evil",
		"long": "/" + strings.Repeat("x", 5000)} {
		t.Run(name, func(t *testing.T) {
			q := "?" + url.Values{"next": {next}}.Encode()
			for target, want := range map[string]string{"/hub/login": "Found /hub/", "/hub/spawn": "Found /user/alice/",
				"/hub/spawn-pending/alice": "Found /user/alice/"} {
				if got := answer(h.do("GET", target+q, "alice")); got != want {
					t.Errorf("%s: %s", target, got)
				}
			}
			if got := answer(h.post("/hub/spawn", "gail",
				url.Values{"next": {next}})); got != "See Other /hub/spawn-pending/gail" {
				t.Errorf("POST hub/spawn: %s", got)
			}
			if p := show(t, h.do("GET", "/hub/spawn-pending/bob"+q, "bob")); !strings.Contains(p.text,
				`data-next="/user/bob/"`) {
				t.Errorf("the starting page leads elsewhere:\n%s", p.text)
			}
		})
	}
	if got := answer(h.do("GET", "/hub/login?next=%2Fuser%2Falice%2Flab%3Fa%3Db",
		"alice")); got != "Found /user/alice/lab?a=b" {
		t.Errorf("a good next: %s", got)
	}
}

func TestAutoLogin(t *testing.T) {
	h := newHub(t, func(c *setup) { c.AutoLogin = true })
	for target, want := range map[string]string{
		"/hub/login?next=/hub/home":                "Found /hub/oauth_login?next=%2Fhub%2Fhome",
		"/hub/login?notice=signed-out":             "OK",
		"/hub/login?notice=expired&next=/hub/home": "OK",
	} {
		if got := answer(h.do("GET", target, "")); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
	h.login.fails = errors.New("down")
	if got := answer(h.do("GET", "/hub/login", "")); got != "OK" {
		t.Errorf("with a provider that is down: %s", got)
	}
}

func TestRevokedAtSignIn(t *testing.T) {
	h := newHub(t, nil)
	if p := show(t, h.do("GET", "/hub/login", "revoked")); p.status != http.StatusForbidden ||
		!strings.Contains(p.text, "ended the session of alice") {
		t.Errorf("%d\n%s", p.status, p.text)
	}
}

func TestProfilesCannotBeRead(t *testing.T) {
	h := newHub(t, func(c *setup) {
		c.Profiles = func(context.Context) ([]backend.Profile, error) { return nil, errors.New("no launcher") }
	})
	if p := show(t, h.do("GET", "/hub/home", "gail")); p.status != http.StatusOK ||
		!strings.Contains(p.text, "cannot be read at the moment") || len(p.elements("button")) != 1 {
		t.Errorf("%d\n%s", p.status, p.text)
	}
	if got := answer(h.post("/hub/spawn", "gail",
		url.Values{"profile": {"x"}})); got != "See Other /hub/spawn-pending/gail" {
		t.Errorf("start: %s", got)
	}
}
