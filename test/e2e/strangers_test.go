//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// hostilePage is erin's page, which attacks whoever opens it.
const hostilePage = "/user/erin/evil/page/page.html"

// putHostile puts the hostile extension into erin's own server.
func putHostile(t *testing.T, h host) {
	t.Helper()
	h.sh(t, "erin", "mkdir -p /cluster/erin/.jupyter")
	files, err := filepath.Glob("../hostile/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no hostile pages: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		path := "/cluster/erin/.jupyter/" + filepath.Base(file)
		h.put(t, path, "0644", string(text))
		h.run(t, "chown", "erin:", path)
	}
	t.Cleanup(func() { _, _ = h.try(noEnd(t), "rm", "-rf", "/cluster/erin/.jupyter") })
}

// attack runs one of the page's attacks and returns what it says.
func attack(t *testing.T, ctx context.Context, call string) string {
	t.Helper()
	bounded, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	text, err := chromedp.Run(bounded, chromedp.Evaluate[string](
		`Promise.resolve(attacks.`+call+`).then(String)`, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Errorf("the attack %s cannot be tried: %v", call, err)
	}
	return text
}

// worked reports whether an attack read something: an answer that is no refusal, or another page's text.
var worked = regexp.MustCompile(`^(2\d\d|open|registered|\{|data:|https://[^/]+/(hub|user/dora|user/bob)/)`)

// testStrangersPage has dora, an administrator who is signed in and has opened her own server, look at a page of erin's
// server, which then tries to act in her name. Nothing may come of it but what erin could do alone.
func testStrangersPage(t *testing.T) {
	h := theHost(t)
	putHostile(t, h)
	dora, erin, bob := member(t, h, "dora"), member(t, h, "erin"), member(t, h, "bob")
	erin.stop("erin") // one that runs has not read the extension
	for _, v := range []struct {
		who *visitor
		is  string
	}{{dora, "dora"}, {erin, "erin"}, {bob, "bob"}} {
		v.who.start(v.is, "jupyterlab")
	}
	ctx := browser(t)
	signInWith(t, ctx, h, "dora")
	do(t, ctx, "dora's own server", chromedp.Navigate("https://"+h.ip+"/user/dora/lab"))
	do(t, ctx, "JupyterLab", chromedp.WaitVisible(notebookCard))
	before := stateOf(dora)

	openHostile(t, ctx, h)
	t.Run("Reads", func(t *testing.T) { readsNothing(t, ctx) })
	t.Run("Acts", func(t *testing.T) { actsNothing(t, ctx) })
	t.Run("Workers", func(t *testing.T) { ownsNothing(t, ctx) })
	t.Run("Headers", func(t *testing.T) { headersDropped(t, ctx) })
	t.Run("Cookies", func(t *testing.T) { tossesNothing(t, ctx, h) })
	if after := stateOf(dora); after != before {
		t.Errorf("the page changed\n%s\nto\n%s", before, after)
	}
	if out := h.run(t, "sh", "-c", "ls -A /cluster/bob /cluster/dora | grep evil || true"); out != "" {
		t.Errorf("the page wrote into homes: %s", out)
	}
	t.Run("Overflow", func(t *testing.T) { overflowIsTold(t, ctx, h) })
	t.Run("SignedOut", func(t *testing.T) { signedOutIsOver(t, ctx, h) })
}

// openHostile opens erin's page and agrees to the hub's question.
func openHostile(t *testing.T, ctx context.Context, h host) {
	t.Helper()
	do(t, ctx, "erin's page", chromedp.Navigate("https://"+h.ip+hostilePage))
	at := do(t, ctx, "address", chromedp.Location())
	if !strings.Contains(at, "/hub/") {
		t.Errorf("dora is at %s without a question", at)
	}
	picture(t, ctx, "strangers-question")
	if text := do(t, ctx, "question", chromedp.Evaluate[string](`document.body.innerText`)); !strings.Contains(text,
		"erin") {
		t.Errorf("the question does not name erin: %s", text)
	}
	do(t, ctx, "yes", chromedp.Click(`main form button`))
	do(t, ctx, "the hostile page", chromedp.WaitVisible(`#hostile`))
	eventually(t, "the page's script runs", time.Minute, func() bool {
		return do(t, ctx, "script", chromedp.Evaluate[bool](`typeof attacks === "object"`))
	})
}

// stateOf returns what an attack would change: administrators, dora's tokens and the users.
func stateOf(dora *visitor) string {
	dora.t.Helper()
	var users []struct {
		Name  string
		Admin bool
	}
	p := dora.api("GET", "/users", "")
	if err := json.Unmarshal([]byte(p.body), &users); err != nil {
		dora.t.Fatalf("users: %v: %s", err, p)
	}
	text := ""
	for _, u := range users {
		text += fmt.Sprintf("%s %v\n", u.Name, u.Admin)
	}
	var tokens struct {
		Tokens []struct{ ID, Note string } `json:"api_tokens"`
	}
	p = dora.api("GET", "/users/dora/tokens", "")
	if err := json.Unmarshal([]byte(p.body), &tokens); err != nil {
		dora.t.Fatalf("tokens: %v: %s", err, p)
	}
	for _, token := range tokens.Tokens {
		if !strings.HasPrefix(token.Note, "Requested via oauth") && !strings.Contains(token.Note, "Server at") {
			text += token.ID + " " + token.Note + "\n"
		}
	}
	return text
}

// readsNothing tries to read the hub's pages, its API and other members' servers.
func readsNothing(t *testing.T, ctx context.Context) {
	for _, call := range []string{
		`get('/hub/home')`, `get('/hub/token')`, `get('/hub/admin')`, `get('/hub/api/users')`, `get('/hub/api/user')`,
		`get('/hub/api/users/dora/tokens')`, `get('/hub/user/dora/lab')`, `get('/hub/spawn-pending/dora')`,
		`forged('/hub/home', '/hub/home')`, `forged('/hub/api/users', '/hub/admin')`,
		`get('/user/dora/api/contents')`, `get('/user/dora/lab')`, `get('/user/bob/api/contents')`,
		`forged('/user/dora/api/contents', '/user/dora/lab')`, `forged('/user/bob/api/contents', '/user/bob/lab')`,
		`get('/user/erin/evil/redirect?to=/user/dora/api/contents')`,
		`get('/user/erin/evil/redirect?to=/hub/home')`,
		`popup('/hub/home')`, `popup('/hub/token')`, `popup('/hub/user/dora/lab')`, `popup('/user/dora/lab')`,
		`popup('/user/erin/evil/redirect?to=/hub/home')`,
		`frame('/hub/home')`, `frame('/user/dora/lab')`, `frame('/user/erin/evil/redirect?to=/user/dora/lab')`,
		`frame('/user/dora/api/contents')`,
		`borrowed('/hub/home')`, `borrowed('/user/dora/api/contents')`,
		`borrowed('/user/dora/api/contents', '<p>srcdoc</p>')`,
		`lent('/user/erin/evil/', 100000, '/user/dora/api/contents')`,
		`lent('/user/erin/evil/', 1200000, '/user/dora/api/contents')`,
		`worker('/hub/home', false)`, `worker('/user/dora/api/contents', false)`,
		`worker('/hub/home', true)`, `worker('/user/dora/api/contents', true)`,
		`socket('/user/dora/terminals/websocket/1')`, `socket('/user/dora/api/events/subscribe')`,
		`socket('/user/bob/api/events/subscribe')`,
		`events('/hub/api/users/dora/server/progress')`,
	} {
		if got := attack(t, ctx, call); worked.MatchString(got) {
			t.Errorf("%s reads %.300s", call, got)
		}
	}
	backToPage(t, ctx)
	for _, call := range []string{`get('/user/erin/evil/echo')`, `socket('/user/erin/evil/talk')`} {
		if got := attack(t, ctx, call); !worked.MatchString(got) {
			t.Errorf("erin's own server does not work for dora: %s: %.300s", call, got)
		}
	}
	ours := regexp.MustCompile(`(?i)cookie: .*(gifford-server|hub-login)`)
	if got := attack(t, ctx, `get('/user/erin/evil/echo')`); ours.MatchString(got) {
		t.Errorf("erin's server sees a cookie of the hub: %s", got)
	}
}

// actsNothing tries to change something in dora's name; whether it did is asked of the hub afterwards.
func actsNothing(t *testing.T, ctx context.Context) {
	for _, call := range []string{
		`post('/hub/token', {note: 'evil', expires: '0'})`, `post('/hub/admin/mark', {user: 'erin', admin: '1'})`,
		`post('/hub/admin/users', {users: 'evil'})`, `post('/hub/stop/dora', {})`,
		`json('POST', '/hub/api/users/dora/tokens', {note: 'evil'})`,
		`json('PATCH', '/hub/api/users/erin', {admin: true})`, `json('POST', '/hub/api/users/evil', {})`,
		`json('PUT', '/user/dora/api/contents/evil.txt', {type: 'file', format: 'text', content: 'evil'})`,
		`json('PUT', '/user/bob/api/contents/evil.txt', {type: 'file', format: 'text', content: 'evil'})`,
		`get('/hub/logout')`, `post('/hub/logout', {})`,
		`forged('/hub/logout', '/hub/home')`,
	} {
		if got := attack(t, ctx, call); worked.MatchString(got) {
			t.Errorf("%s: %.300s", call, got)
		}
	}
	for _, call := range []string{
		`form('/hub/token', {note: 'evil', expires: '0'}, '_blank')`,
		`form('/hub/admin/mark', {user: 'erin', admin: '1'}, '_blank')`,
		`form('/hub/api/users/dora/tokens', {note: 'evil'}, '_blank')`,
		`beacon('/hub/token', {note: 'evil'})`, `beacon('/hub/admin/mark', {user: 'erin', admin: '1'})`,
		`beacon('/hub/logout', {})`,
	} {
		t.Logf("%s: %.200s", call, attack(t, ctx, call))
	}
	backToPage(t, ctx)
}

// backToPage undoes the forged addresses, to which relative ones refer.
func backToPage(t *testing.T, ctx context.Context) {
	t.Helper()
	do(t, ctx, "back to the page", chromedp.Evaluate[bool](`(history.replaceState(null, '', '`+hostilePage+`'), true)`))
}

// ownsNothing tries to own more of the origin than erin's own part.
func ownsNothing(t *testing.T, ctx context.Context) {
	for _, call := range []string{`serviceWorker('sw.js', '/')`, `serviceWorker('sw.js', '/hub/')`,
		`serviceWorker('sw.js?headers=1', '/')`, `serviceWorker('sw.js?header=Service-Worker-Allowed:/', '/hub/')`,
		`serviceWorker('sw.js?headers=1', '/user/dora/')`, `serviceWorker('/hub/static/pull.js', '/hub/')`} {
		if got := attack(t, ctx, call); worked.MatchString(got) {
			t.Errorf("%s: %s", call, got)
		}
	}
	if got := attack(t, ctx, `domain()`); !strings.HasPrefix(got, "blocked") {
		t.Logf("document.domain: %s", got)
		if got := attack(t, ctx, `get('/hub/home')`); worked.MatchString(got) {
			t.Errorf("with document.domain set: %.300s", got)
		}
	}
}

// headersDropped asks erin's server for headers that act on the whole origin.
func headersDropped(t *testing.T, ctx context.Context) {
	got := do(t, ctx, "headers", chromedp.Evaluate[string](`fetch('`+hostilePage+`?headers=1').
		then(answer => JSON.stringify([...answer.headers]))`, chromedp.EvalAwaitPromise))
	if strings.Contains(got, `"service-worker-allowed","/"`) || strings.Contains(got, "includeSubDomains") {
		t.Errorf("a header for the whole origin passes: %s", got)
	}
	t.Log(got)
	for _, name := range []string{"clear-site-data", "nel", "report-to", "reporting-endpoints", "alt-svc",
		"public-key-pins", "x-accel-redirect", "x-sendfile", "www-authenticate"} {
		if strings.Contains(got, `"`+name+`"`) {
			t.Errorf("%s passes: %s", name, got)
		}
	}
	opened := do(t, ctx, "with COOP",
		chromedp.Evaluate[string](`fetch('`+hostilePage+`?header=Cross-Origin-Opener-Policy:same-origin').
		then(answer => String(answer.headers.get('cross-origin-opener-policy')))`, chromedp.EvalAwaitPromise))
	if opened == "same-origin" {
		t.Error("erin's server has the hub's Cross-Origin-Opener-Policy, so its pages can read the hub's popups")
	}
}

// cookies returns the browser's cookies for a page of the hub, name, path and value.
func cookies(t *testing.T, ctx context.Context, url string) map[string]string {
	t.Helper()
	all := do(t, ctx, "cookies", func(ctx context.Context, target *chromedp.Target) (map[string]string, error) {
		found, err := cdp.Call(ctx, target, network.GetCookies, network.GetCookiesParams{URLs: []string{url}})
		if err != nil {
			return nil, err
		}
		all := map[string]string{}
		for _, c := range found.Cookies {
			all[c.Name+" "+c.Path] = c.Value
		}
		return all, nil
	})
	return all
}

// tossesNothing sets cookies by header and by script that would sign dora in as erin.
func tossesNothing(t *testing.T, ctx context.Context, h host) {
	url := "https://" + h.ip + "/hub/home"
	before := cookies(t, ctx, url)
	var names []string
	for name := range before {
		name, _, _ = strings.Cut(name, " ")
		names = append(names, name)
	}
	if len(names) == 0 {
		t.Fatal("dora has no cookie")
	}
	for _, name := range names {
		for _, rest := range []string{"Path=/hub/home", "Path=/hub/", "Path=/", "Path=/; Secure",
			"Path=/; Secure; HttpOnly"} {
			query := hostilePage + "?cookie=" + name + "%3Devil%3B+" +
				strings.ReplaceAll(strings.ReplaceAll(rest, "; ", "%3B+"), "=", "%3D")
			if got := attack(t, ctx, `get('`+query+`')`); !worked.MatchString(got) {
				t.Errorf("erin's page with a cookie: %.200s", got)
			}
		}
		attack(t, ctx, strings.ReplaceAll(
			`cookie('NAME=evil; path=/hub/home', 'NAME=evil; path=/hub/; secure', 'NAME=evil; path=/')`, "NAME", name))
	}
	after := cookies(t, ctx, url)
	for name, value := range before {
		if strings.HasPrefix(name, "__Host-") && after[name] != value {
			t.Errorf("the cookie %s was changed", name)
		}
	}
	for name := range after {
		if _, had := before[name]; !had && strings.HasPrefix(name, "__") {
			t.Errorf("the page set the cookie %s", name)
		}
	}
	tab, cancel := chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(tab); err != nil {
		t.Fatal(err)
	}
	do(t, tab, "home", chromedp.Navigate(url))
	if text := do(t, tab, "whose home", chromedp.Evaluate[string](`document.body.innerText`)); !strings.Contains(text,
		"dora") {
		t.Errorf("after cookies were tossed, home is %.500s", text)
	}
}

// overflowIsTold fills the cookies of the hub's paths until no request passes. The hub says so, and clears them.
func overflowIsTold(t *testing.T, ctx context.Context, h host) {
	attack(t, ctx, `overflow('/hub', 60, 3000)`)
	tab, cancel := chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(tab); err != nil {
		t.Fatal(err)
	}
	do(t, tab, "home", chromedp.Navigate("https://"+h.ip+"/hub/home"))
	text := do(t, tab, "words", chromedp.Evaluate[string](`document.body ? document.body.innerText : ""`))
	picture(t, tab, "strangers-cookies")
	if !strings.Contains(strings.ToLower(text), "cookie") {
		t.Fatalf("the hub says nothing of cookies: %q", text)
	}
	do(t, tab, "clear", chromedp.Click(`form button`))
	do(t, tab, "sign in or home", chromedp.WaitVisible(`form button`))
	do(t, tab, "home again", chromedp.Navigate("https://"+h.ip+"/hub/home"))
	if text := do(t, tab, "home",
		chromedp.Evaluate[string](`document.body.innerText`)); strings.Contains(strings.ToLower(text),
		"too many cookies") {
		t.Errorf("cookies are not cleared: %.500s", text)
	}
	if left := cookies(t, tab, "https://"+h.ip+"/hub/home"); len(left) > 10 {
		t.Errorf("%d cookies are left", len(left))
	}
}

// signedOutIsOver signs dora out; neither going back nor another tab shows her pages or erin's server.
func signedOutIsOver(t *testing.T, ctx context.Context, h host) {
	tab, cancel := chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(tab); err != nil {
		t.Fatal(err)
	}
	at := do(t, tab, "sign-in or home", chromedp.Navigate("https://"+h.ip+"/hub/home"))
	_ = at
	if where := do(t, tab, "address", chromedp.Location()); strings.Contains(where, "/login") {
		signInWith(t, tab, h, "dora")
	}
	do(t, tab, "home", chromedp.Navigate("https://"+h.ip+"/hub/home"))
	do(t, tab, "sign out", chromedp.Click(`a[href$="/hub/logout"], form[action$="/hub/logout"] button`))
	eventually(t, "dora is signed out", 20*time.Second, func() bool {
		return !strings.HasSuffix(do(t, tab, "address", chromedp.Location()), "/hub/home")
	})
	do(t, tab, "back", chromedp.Evaluate[bool](`(history.back(), true)`))
	eventually(t, "going back shows the sign-in", 20*time.Second, func() bool {
		shown, err := chromedp.Run(tab,
			chromedp.Evaluate[bool](`!!document.querySelector('form[action*="/hub/stop"]')`))
		return err == nil && !shown
	})
	if got := attack(t, ctx, `get('/user/erin/evil/echo')`); strings.HasPrefix(got, fmt.Sprint(http.StatusOK)) {
		t.Errorf("erin's server answers somebody who has signed out: %s", got)
	}
}
