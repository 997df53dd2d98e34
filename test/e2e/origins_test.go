//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Where the hub and members are when each member has an origin.
const (
	namedHub  = "https://hub.gifford.test"
	doraHost  = "https://dora.hub.gifford.test"
	erinsHost = "https://erin.hub.gifford.test"
)

// testOriginForEachMember gives each member an origin: stock JupyterLab works at dora's, and erin's page, which dora
// opens, can neither read nor do anything at the hub or at dora's server.
func testOriginForEachMember(t *testing.T) {
	h := theHost(t)
	putHostile(t, h)
	withSettings(t, h, "66-origins.toml", `[http]
public_url = "`+namedHub+`/"
[login]
callback_url = "`+namedHub+`/hub/oauth2_callback"
[servers]
origin = "https://{user}.hub.gifford.test"
`)
	for _, user := range []string{"dora", "erin"} {
		_, _ = h.try(t.Context(), "gifford-hub", "servers", "stop", user)
		t.Cleanup(func() { _, _ = h.try(noEnd(t), "gifford-hub", "servers", "stop", user) })
	}
	h.run(t, "gifford-hub", "servers", "start", "erin")
	ctx := browserAt(t, "MAP hub.gifford.test "+h.ip+", MAP *.hub.gifford.test "+h.ip)
	signInAt(t, ctx, namedHub, "dora")
	do(t, ctx, "start", chromedp.Click(`form[action*="/hub/spawn"] button`))
	do(t, ctx, "JupyterLab", chromedp.WaitVisible(notebookCard))
	if at := do(t, ctx, "address", chromedp.Location()); !strings.HasPrefix(at, doraHost+"/user/dora/") {
		t.Errorf("dora's server is at %s", at)
	}
	picture(t, ctx, "origins-jupyterlab")
	do(t, ctx, "new notebook", chromedp.Click(notebookCard))
	eventually(t, "the kernel is idle over its WebSocket", 2*time.Minute, func() bool {
		return do(t, ctx, "status bar",
			chromedp.Evaluate[bool](`!!document.querySelector("#jp-main-statusbar")?.innerText.includes("| Idle")`))
	})

	tab, cancel := chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(tab); err != nil {
		t.Fatal(err)
	}
	do(t, tab, "a link to erin's page at the hub", chromedp.Navigate(namedHub+hostilePage))
	do(t, tab, "yes", chromedp.Click(`main form button`))
	do(t, tab, "the hostile page", chromedp.WaitVisible(`#hostile`))
	if at := do(t, tab, "address", chromedp.Location()); !strings.HasPrefix(at, erinsHost+hostilePage) {
		t.Errorf("erin's page is at %s", at)
	}
	eventually(t, "the page's script runs", time.Minute, func() bool {
		return do(t, tab, "script", chromedp.Evaluate[bool](`typeof attacks === "object"`))
	})
	separate(t, tab)
	if text := do(t, tab, "its own page", chromedp.Evaluate[string](`attacks.get('/user/erin/evil/echo')`,
		chromedp.EvalAwaitPromise)); !strings.HasPrefix(text, "200") || strings.Contains(text, "gifford-") {
		t.Errorf("erin's own server, for dora: %s", text)
	}
}

// separate tries the hub and dora's server from erin's origin.
func separate(t *testing.T, ctx context.Context) {
	t.Helper()
	for _, call := range []string{
		`get('` + namedHub + `/hub/home')`, `get('` + namedHub + `/hub/api/users')`,
		`post('` + namedHub + `/hub/token', {note: 'evil'})`, `get('` + doraHost + `/user/dora/api/contents')`,
		`popup('` + namedHub + `/hub/home')`, `popup('` + doraHost + `/user/dora/lab')`,
		`frame('` + namedHub + `/hub/home')`, `frame('` + doraHost + `/user/dora/lab')`,
		`get('/hub/home')`, `get('/hub/api/users')`, `get('/user/dora/api/contents')`, `popup('/hub/home')`,
		`popup('/user/dora/lab')`, `frame('/hub/home')`, `frame('/user/dora/lab')`,
		`worker('` + doraHost + `/user/dora/api/contents', true)`, `serviceWorker('sw.js', '/')`,
	} {
		if got := attack(t, ctx, call); worked.MatchString(got) {
			t.Errorf("%s reads %.300s", call, got)
		}
	}
}
