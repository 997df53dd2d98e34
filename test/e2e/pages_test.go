//go:build e2e

package e2e

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// testSharing is the way of a share as people go it: alice makes a link, bob accepts it,
// is asked before her server opens, and has no access once the share is revoked.
func testSharing(t *testing.T) {
	h := theHost(t)
	withSettings(t, h, "62-shares.toml", "[roles.user]\nscopes = [\"self\", \"shares!user\"]\n")
	alice, bob := member(t, h, "alice"), member(t, h, "bob")
	alice.start("alice", "jupyterlab")
	if p := bob.get("/user/alice/lab"); p.status == http.StatusOK && p.url.Path == "/user/alice/lab" {
		t.Fatalf("bob is in before anything was shared: %s", p)
	}
	p := alice.api("POST", "/share-codes/alice/", "")
	code := regexp.MustCompile(`"accept_url":"[^"]*code=([^"]+)"`).FindStringSubmatch(p.body)
	if code == nil {
		t.Fatalf("no code: %s", p)
	}
	if p := bob.get("/hub/accept-share?code=nonsense"); p.status != http.StatusNotFound {
		t.Errorf("a code that there is not: %s", p)
	}
	p = bob.get("/hub/accept-share?code=" + url.QueryEscape(code[1]))
	if p.status != http.StatusOK || !strings.Contains(p.body, "alice") {
		t.Fatalf("the accept page: %s", p)
	}
	if p = bob.press(p, "/hub/accept-share"); p.status != http.StatusOK && p.status != http.StatusFailedDependency {
		t.Fatalf("accepting: %s", p)
	}
	if home := bob.get("/hub/home"); !strings.Contains(home.body, "/hub/user/alice/") {
		t.Errorf("bob's home page does not show the share: %s", home)
	}
	p = bob.get("/user/alice/lab")
	if p.url.Path != "/hub/user/alice/lab" {
		t.Fatalf("bob is not asked before it opens: %s", p)
	}
	if p = bob.press(p, "/hub/open/alice"); p.status != http.StatusOK || p.url.Path != "/user/alice/lab" {
		t.Errorf("after their yes: %s", p)
	}
	for method, path := range map[string]string{"POST": "/users/alice/server", "DELETE": "/users/alice/server",
		"GET": "/users/alice/tokens"} {
		if p := bob.api(method, path, ""); p.status != http.StatusNotFound {
			t.Errorf("bob: %s %s: %s", method, path, p)
		}
	}
	if p := alice.api("DELETE", "/shares/alice/", ""); p.status != http.StatusNoContent {
		t.Errorf("taking it back: %s", p)
	}
	if p := bob.jupyter("alice", "GET", "/api/status", ""); p.status != http.StatusForbidden {
		t.Errorf("a script of bob's is still in: %s", p)
	}
	if p := member(t, h, "bob").get("/user/alice/lab"); p.status == http.StatusOK && p.url.Path == "/user/alice/lab" {
		t.Errorf("bob is still in: %s", p)
	}
}

// testTokenPage makes a token on the page, uses it, and revokes it there.
func testTokenPage(t *testing.T) {
	h := theHost(t)
	alice := member(t, h, "alice")
	p := alice.press(alice.get("/hub/token"), "/hub/token", "note", "e2e <b>", "scopes", "read:users!user")
	found := regexp.MustCompile(`Authorization: token ([0-9a-f]{32})`).FindStringSubmatch(p.body)
	if found == nil || strings.Contains(p.body, "<b>") {
		t.Fatalf("no token on the page: %s", p)
	}
	status := func() string {
		return h.run(t, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Authorization: token "+found[1],
			"http://127.0.0.1:8081/hub/api/users/alice")
	}
	if got := status(); got != "200" {
		t.Errorf("the token gives %s", got)
	}
	again := alice.get("/hub/token")
	if strings.Contains(again.body, found[1]) {
		t.Error("the token is shown again")
	}
	for _, f := range again.forms(t) {
		if strings.HasSuffix(f.action.Path, "/hub/token/revoke") && f.fields.Get("id") != "" {
			alice.submit(f)
		}
	}
	if got := status(); got != "403" {
		t.Errorf("after it was revoked it gives %s", got)
	}
}

// testPagesInTheBrowser opens each page that people and administrators see, wide and
// narrow, and looks for what belongs on it.
func testPagesInTheBrowser(t *testing.T) {
	h := theHost(t)
	withSettings(t, h, "63-pages.toml", `[servers]
named = 2
[roles.user]
scopes = ["self", "shares!user"]
[groups."lab one"]
users = ["alice", "bob"]
[services.board]
url = "http://127.0.0.1:9001"
[web]
announcement = "The cluster is down on Friday from 9 to 12."
`)
	dora := member(t, h, "dora")
	dora.api("POST", "/users/dora/tokens",
		`{"note":"a script that reads","scopes":["read:users!user","read:servers!user"],"expires_in":86400}`)
	if p := dora.api("PUT", "/users/dora/servers/gpu",
		`{"display_name":"GPU training","user_options":{}}`); p.status != http.StatusCreated &&
		p.status != http.StatusConflict {
		t.Fatal(p)
	}
	ctx := browser(t)
	signInWith(t, ctx, h, "dora")
	pages := []struct{ name, path, see string }{
		{"home", "/hub/home", `a[href*="/services/board/"]`},
		{"tokens", "/hub/token", `form[action$="/hub/token"] button`},
		{"admin", "/hub/admin", `table`},
		{"groups", "/hub/admin/groups", `form[action$="/hub/admin/groups"] button`},
		{"share", "/hub/share/dora", `form button`},
		{"not-running", "/user/dora/gpu/lab", `form button`},
	}
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"wide", 1280, 900}, {"narrow", 360, 740}} {
		do(t, ctx, size.name, chromedp.EmulateViewport(size.width, size.height))
		for _, page := range pages {
			do(t, ctx, page.name, chromedp.Navigate("https://"+h.ip+page.path))
			do(t, ctx, page.name+": what belongs on it", chromedp.WaitVisible(page.see))
			picture(t, ctx, "page-"+page.name+"-"+size.name)
			if wider := do(t, ctx, "width",
				chromedp.Evaluate[bool](`document.documentElement.scrollWidth > window.innerWidth`)); wider {
				t.Errorf("the page %s is wider than the window at %d", page.name, size.width)
			}
		}
	}
	dora.api("DELETE", "/users/dora/servers/gpu", `{"remove":true}`)
}
