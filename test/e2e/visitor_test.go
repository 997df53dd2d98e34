//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// visitor is a person's browser without the pictures: cookies, redirects, forms, and what a browser says of requests.
type visitor struct {
	t    *testing.T
	host host
	http *http.Client
	xsrf string // token of the session, as the hub's pages have it; "" until it is needed
}

// transport trusts the test's own certificate authority and nothing else.
func transport(t *testing.T) *http.Transport {
	t.Helper()
	pem, err := os.ReadFile(os.Getenv("GIFFORD_LAB_CA"))
	if err != nil {
		t.Fatalf("the host's certificate authority: %v", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("the host's certificate authority is no PEM file")
	}
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
}

func newVisitor(t *testing.T, h host) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := transport(t)
	t.Cleanup(tr.CloseIdleConnections)
	return &visitor{t: t, host: h, http: &http.Client{Jar: jar, Transport: tr, Timeout: 2 * time.Minute}}
}

// url returns a URL on the hub.
func (v *visitor) url(path string) string { return "https://" + v.host.ip + path }

// page is an answer, read whole.
type page struct {
	status int
	url    *url.URL
	body   string
	header http.Header
}

func (p page) String() string {
	return fmt.Sprintf("%d at %s:\n%.3000s", p.status, p.url, p.body)
}

func (v *visitor) do(method, target, contentType, body string) page {
	v.t.Helper()
	p, err := v.tryDo(v.t.Context(), method, target, contentType, body)
	if err != nil {
		v.t.Fatalf("%s %s: %v", method, target, err)
	}
	return p
}

func (v *visitor) tryDo(ctx context.Context, method, target, contentType, body string) (page, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		return page{}, err
	}
	req.Header.Set("Accept", "text/html,application/json;q=0.9,*/*;q=0.8")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	browse(req, contentType == "application/json")
	resp, err := v.http.Do(req)
	if err != nil {
		return page{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return page{resp.StatusCode, resp.Request.URL, string(b), resp.Header}, err
}

// browse adds what a browser says of a request: that a window shows the answer, or that a script of the page reads it.
func browse(req *http.Request, script bool) {
	site, mode, dest := "none", "navigate", "document"
	if script {
		site, mode, dest = "same-origin", "cors", "empty"
	}
	if req.Method != http.MethodGet {
		site = "same-origin"
	}
	for name, value := range map[string]string{"Site": site, "Mode": mode, "Dest": dest} {
		if req.Header.Get("Sec-Fetch-"+name) == "" {
			req.Header.Set("Sec-Fetch-"+name, value)
		}
	}
}

func (v *visitor) get(path string) page { v.t.Helper(); return v.do("GET", v.url(path), "", "") }

// form is an HTML form with the values it would send.
type form struct {
	action *url.URL
	method string
	fields url.Values
}

// forms finds a page's forms.
func (p page) forms(t *testing.T) []form {
	t.Helper()
	root, err := html.Parse(bytes.NewReader([]byte(p.body)))
	if err != nil {
		t.Fatal(err)
	}
	var found []form
	for n := range root.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" {
			continue
		}
		f := form{action: p.url, method: "GET", fields: url.Values{}}
		if action := attr(n, "action"); action != "" {
			if f.action, err = p.url.Parse(action); err != nil {
				t.Fatal(err)
			}
		}
		if m := attr(n, "method"); m != "" {
			f.method = strings.ToUpper(m)
		}
		for c := range n.Descendants() {
			if c.Type == html.ElementNode && c.Data == "input" && attr(c, "name") != "" {
				f.fields.Set(attr(c, "name"), attr(c, "value"))
			}
		}
		found = append(found, f)
	}
	return found
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// submit sends a form with some fields changed.
func (v *visitor) submit(f form, pairs ...string) page {
	v.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		f.fields.Set(pairs[i], pairs[i+1])
	}
	if f.method == "GET" {
		target := *f.action
		target.RawQuery = f.fields.Encode()
		return v.do("GET", target.String(), "", "")
	}
	return v.do(f.method, f.action.String(), "application/x-www-form-urlencoded", f.fields.Encode())
}

// press submits the page's form whose action ends in suffix.
func (v *visitor) press(p page, suffix string, pairs ...string) page {
	v.t.Helper()
	for _, f := range p.forms(v.t) {
		if strings.HasSuffix(f.action.Path, suffix) {
			return v.submit(f, pairs...)
		}
	}
	v.t.Fatalf("no form for %s on the page: %s", suffix, p)
	return page{}
}

// signIn walks through the sign-in page and the provider's form to where it leads.
func (v *visitor) signIn(account string) page {
	v.t.Helper()
	v.xsrf = ""
	p := v.get("/hub/login")
	p = v.press(p, "/hub/oauth_login")
	for _, f := range p.forms(v.t) {
		if _, ok := f.fields["password"]; ok {
			for _, name := range []string{"login", "username"} {
				if _, ok := f.fields[name]; ok {
					return v.submit(f, name, account, "password", account+"-demo")
				}
			}
		}
	}
	v.t.Fatalf("the provider shows no form for a password: %s", p)
	return page{}
}

// member signs somebody in who may enter.
func member(t *testing.T, h host, account string) *visitor {
	t.Helper()
	v := newVisitor(t, h)
	p := v.signIn(account)
	if home := v.get("/hub/home"); home.status != http.StatusOK || home.url.Path != "/hub/home" {
		t.Fatalf("%s cannot sign in: %s", account, p)
	}
	return v
}

// api calls the hub's API with the browser's session, as a script of the hub's own pages would.
func (v *visitor) api(method, path, body string) page {
	v.t.Helper()
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return v.do(method, v.url("/hub/api"+path+separator+v.pageToken().Encode()), "application/json", body)
}

// pageToken returns the token that a page of the hub has in its forms, empty for nobody's browser.
func (v *visitor) pageToken() url.Values {
	v.t.Helper()
	if v.xsrf == "" {
		for _, f := range v.get("/hub/token").forms(v.t) {
			v.xsrf = f.fields.Get("_xsrf")
		}
	}
	return url.Values{"_xsrf": {v.xsrf}}
}

// start starts the user's server with a profile and waits until it is ready.
func (v *visitor) start(user, profile string) {
	v.t.Helper()
	p := v.api("POST", "/users/"+user+"/server", fmt.Sprintf(`{"profile":%q}`, profile))
	if p.status != http.StatusCreated && p.status != http.StatusAccepted &&
		!strings.Contains(p.body, "already running") {
		v.t.Fatalf("%s cannot start a server: %s", user, p)
	}
	eventually(v.t, user+"'s server is ready", 5*time.Minute, func() bool {
		s, failed := v.server(user)
		if failed != "" {
			v.t.Fatalf("%s's server failed: %s\n%s", user, failed,
				v.host.journal(v.t, "jupyter-"+user, time.Now().Add(-10*time.Minute)))
		}
		return s
	})
}

// server reports whether the user's server is ready, or how its start failed.
func (v *visitor) server(user string) (ready bool, failed string) {
	v.t.Helper()
	p := v.api("GET", "/users/"+user, "")
	var model struct {
		Servers map[string]struct {
			Ready   bool
			Pending *string
		}
	}
	if err := json.Unmarshal([]byte(p.body), &model); err != nil {
		v.t.Fatalf("model of %s: %v: %s", user, err, p)
	}
	s, ok := model.Servers[""]
	if !ok {
		return false, v.lastProgress(user)
	}
	return s.Ready, ""
}

// lastProgress returns the end of a failed start's stream.
func (v *visitor) lastProgress(user string) string {
	v.t.Helper()
	p := v.api("GET", "/users/"+user+"/server/progress", "")
	if i := strings.LastIndex(p.body, "Spawn failed"); i >= 0 {
		return p.body[i:]
	}
	return ""
}

// stop stops the user's server, whatever its state.
func (v *visitor) stop(user string) {
	v.t.Helper()
	if p := v.api("DELETE", "/users/"+user+"/server", ""); p.status != http.StatusNoContent &&
		p.status != http.StatusAccepted {
		v.t.Fatalf("%s's server does not stop: %s", user, p)
	}
	eventually(v.t, user+"'s unit is gone", time.Minute, func() bool {
		return v.host.property(v.t, "jupyter-"+user+".service", "ActiveState") == "inactive"
	})
}
