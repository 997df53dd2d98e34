//go:build e2e

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browser starts a real Chromium. When it ends badly it leaves a picture of the last
// page below $GIFFORD_LAB_PICTURES.
func browser(t *testing.T) context.Context { t.Helper(); return browserAt(t, "") }

// browserAt is browser with names that Chromium finds without DNS: its rules of --host-resolver-rules.
func browserAt(t *testing.T, names string) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // the tests run as root
		chromedp.DisableGPU,
		chromedp.Flag("ignore-certificate-errors", true), // the visitor's tests check the certificate
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-quic", true),
		chromedp.Env("TMPDIR="+t.TempDir()), // where it leaves files
		chromedp.WindowSize(1280, 900), chromedp.UserDataDir(t.TempDir()))
	if names != "" {
		options = append(options, chromedp.Flag("host-resolver-rules", names))
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // starts the browser, which then lives as long as the test
		t.Fatalf("Chromium: %v", err)
	}
	return ctx
}

// picture keeps a screenshot of the page.
func picture(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("GIFFORD_LAB_PICTURES")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		t.Logf("picture %s: %v", name, err)
	}
}

// stepBound is for the slowest step: a first start loads the image into the user's own
// store.
const stepBound = 5 * time.Minute

// do runs one browser action; a failure leaves a picture.
func do[T any](t *testing.T, ctx context.Context, what string, action chromedp.Action[T]) T {
	t.Helper()
	bounded, cancel := context.WithTimeout(ctx, stepBound)
	defer cancel()
	value, err := chromedp.Run(bounded, action)
	if err != nil {
		at, _ := chromedp.Run(ctx, chromedp.Location())
		picture(t, ctx, "failed")
		t.Fatalf("%s: %v (at %s)", what, err, at)
	}
	return value
}

// testAliceRunsACellInJupyterLab is the main job as alice does it: sign in with the
// institute, start, watch the start, open JupyterLab, run a cell, see its output.
func testAliceRunsACellInJupyterLab(t *testing.T) {
	h := theHost(t)
	ctx := browser(t)
	base := "https://" + h.ip
	click := func(what, selector string) { do(t, ctx, what, chromedp.Click(selector)) }
	see := func(what, selector string) { t.Helper(); do(t, ctx, what, chromedp.WaitVisible(selector)) }

	do(t, ctx, "sign-in page", chromedp.Navigate(base+"/"))
	see("sign-in button", `form[action$="/oauth_login"] button`)
	picture(t, ctx, "1-sign-in")
	click("sign-in button", `form[action$="/oauth_login"] button`)
	see("the provider's form", `input[name=password]`)
	do(t, ctx, "name", chromedp.SendKeys(`input[name=login], input[name=username]`, "alice"))
	do(t, ctx, "password", chromedp.SendKeys(`input[name=password]`, "alice-demo\r"))
	see("start button", `form[action*="/hub/spawn"] button`)
	picture(t, ctx, "2-home")
	click("start button", `form[action*="/hub/spawn"] button`)
	see("progress", `[role=progressbar], progress`)
	picture(t, ctx, "3-starting")
	see("JupyterLab's launcher", notebookCard)
	picture(t, ctx, "4-jupyterlab")
	click("new notebook", notebookCard)
	see("cell", firstCell)
	eventually(t, "the status bar shows an idle kernel", 2*time.Minute, func() bool {
		return do(t, ctx, "status bar",
			chromedp.Evaluate[bool](`document.querySelector("#jp-main-statusbar").innerText.includes("| Idle")`))
	})
	click("cell", firstCell)
	do(t, ctx, "code", chromedp.SendKeys(firstCell, "print('six times seven is', 6*7)"))
	do(t, ctx, "Shift+Enter", chromedp.KeyEvent("\r", chromedp.KeyModifiers(chromedp.ModifierShift)))
	var output string
	eventually(t, "the cell has printed", time.Minute, func() bool {
		output = do(t, ctx, "output",
			chromedp.Evaluate[string](`document.querySelector(".jp-OutputArea-output pre")?.innerText ?? ""`))
		return output != ""
	})
	picture(t, ctx, "5-cell")
	if strings.TrimSpace(output) != "six times seven is 42" {
		t.Errorf("the cell printed %q", output)
	}
	// Another tab: leaving a notebook that is not saved would raise the browser's own question.
	ctx, cancel := chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("another tab: %v", err)
	}
	do(t, ctx, "home", chromedp.Navigate(base+"/hub/home"))
	do(t, ctx, "home with a running server", chromedp.WaitVisible(`form[action*="/hub/stop"] button`))
	picture(t, ctx, "6-home-running")
	do(t, ctx, "narrow", chromedp.EmulateViewport(360, 740))
	do(t, ctx, "narrow home", chromedp.Navigate(base+"/hub/home"))
	picture(t, ctx, "7-home-narrow")
}

// signInWith signs somebody in with the browser.
func signInWith(t *testing.T, ctx context.Context, h host, account string) {
	t.Helper()
	signInAt(t, ctx, "https://"+h.ip, account)
}

// signInAt is signInWith for a hub at another address.
func signInAt(t *testing.T, ctx context.Context, hub, account string) {
	t.Helper()
	do(t, ctx, "sign-in page", chromedp.Navigate(hub+"/hub/login"))
	do(t, ctx, "sign-in button", chromedp.Click(`form[action$="/oauth_login"] button`))
	do(t, ctx, "name", chromedp.SendKeys(`input[name=login], input[name=username]`, account))
	do(t, ctx, "password", chromedp.SendKeys(`input[name=password]`, account+"-demo\r"))
	do(t, ctx, "home", chromedp.WaitVisible(`form[action*="/hub/spawn"] button, form[action*="/hub/stop"] button`))
}

// testOldSingleUserServer opens Debian 12's notebook, whose single-user server is of
// JupyterHub 3.0, in the browser.
func testOldSingleUserServer(t *testing.T) {
	h := theHost(t)
	v := member(t, h, "bob")
	v.stop("bob")
	v.start("bob", "notebook6")
	t.Cleanup(func() { _, _ = h.try(noEnd(t), "gifford-hub", "servers", "stop", "bob") })
	ctx := browser(t)
	signInWith(t, ctx, h, "bob")
	do(t, ctx, "the notebook's tree", chromedp.Navigate("https://"+h.ip+"/user/bob/tree"))
	do(t, ctx, "list of files", chromedp.WaitVisible(`#notebook_list`))
	at := do(t, ctx, "address", chromedp.Location())
	if !strings.HasPrefix(at, "https://"+h.ip+"/user/bob/tree") {
		t.Errorf("the browser is at %s", at)
	}
	picture(t, ctx, "8-notebook6")
}

// Where things are on JupyterLab's page.
const (
	notebookCard = `.jp-LauncherCard[data-category="Notebook"]`
	firstCell    = `.jp-Notebook .jp-Cell .cm-content`
)
