package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
)

// TestTicket checks for whom a browser gets a ticket, and that nothing but a window gets one.
func TestTicket(t *testing.T) {
	h := newHub(t, nil)
	h.do("GET", "/hub/user/alice/lab", "alice")
	if want := sessionOf("alice") + " alice"; h.ticket != want {
		t.Errorf("alice gets a ticket of %q, want %q", h.ticket, want)
	}
	h.ticket = ""
	h.do("GET", "/hub/user/alice/lab", "dora") // asks
	h.do("GET", "/hub/user/alice/lab", "bob")  // refused
	for _, dest := range []string{"iframe", "empty", "object", "image"} {
		h.do("GET", "/hub/user/alice/lab", "alice", "Sec-Fetch-Dest", dest, "Sec-Fetch-Mode", "cors")
		h.do("GET", "/hub/user/alice/lab", "alice", "Sec-Fetch-Dest", dest)
	}
	if h.ticket != "" {
		t.Errorf("a ticket of %q was given", h.ticket)
	}
	h.post("/hub/open/alice", "dora", url.Values{"next": {"/user/alice/lab"}})
	h.do("GET", "/hub/user/alice/lab", "dora")
	if want := sessionOf("dora") + " alice"; h.ticket != want {
		t.Errorf("dora gets a ticket of %q, want %q", h.ticket, want)
	}
}

// TestQuestion checks what people are asked, and where their yes can lead: below the server's own path alone.
func TestQuestion(t *testing.T) {
	h := newHub(t, nil)
	p := show(t, h.do("GET", "/hub/user/alice/lab?a=%22%3E", "dora"))
	for _, want := range []string{"alice's server; code on it runs in your browser", `action="/hub/open/alice"`,
		`name="next" value="/user/alice/lab?a=%22%3E"`, `name="_xsrf"`} {
		if !strings.Contains(strings.ReplaceAll(p.text, "&#39;", "'"), want) {
			t.Errorf("the page lacks %s:\n%s", want, p.text)
		}
	}
	for next, want := range map[string]string{"/user/alice/lab": "/hub/user/alice/lab",
		"/user/bob/lab":         "/hub/user/alice/",
		"https://evil.example/": "/hub/user/alice/", "//evil.example": "/hub/user/alice/", "": "/hub/user/alice/",
		"/hub/logout": "/hub/user/alice/", "/user/alice": "/hub/user/alice/"} {
		if got := answer(h.post("/hub/open/alice", "dora", url.Values{"next": {next}})); got != "See Other "+want {
			t.Errorf("%q leads to %s", next, got)
		}
	}
	resp := send(h.Handler(), http.MethodPost, "/hub/open/alice", "next=/user/alice/", "dora", "Content-Type",
		"application/x-www-form-urlencoded")
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("without the page's token: %s", resp.Status)
	}
}

// TestQuestionApart checks that a form may lead to the member's own origin, to which its answer redirects.
func TestQuestionApart(t *testing.T) {
	at, err := origins.New("https://hub.example.org", "https://{user}.hub.example.org")
	if err != nil {
		t.Fatal(err)
	}
	h := newHub(t, func(c *setup) { c.Origins = at })
	p := show(t, h.do("GET", "/hub/user/alice/lab", "dora"))
	if !strings.Contains(p.policy, "form-action 'self' https://alice.hub.example.org") {
		t.Errorf("the policy is %s", p.policy)
	}
}
