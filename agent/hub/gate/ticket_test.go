package gate

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/cookies"
	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
)

// TestTicket follows a browser from the hub to the server: the address ends as it was, with a cookie that is good.
func TestTicket(t *testing.T) {
	for _, query := range []string{"", "repo=https%3A%2F%2Fx%2Fy&b&a=%20&redirects=no", "x=1&redirects=3&y"} {
		r := newRig(t)
		address := r.Address("s-alice", key(t, "alice"), "/user/alice/git-pull", query, 1)
		if rest, n := Clean(strings.TrimPrefix(address, "/user/alice/git-pull?")); rest != query || n != 1 {
			t.Errorf("%q comes back to the hub as %q, %d", query, rest, n)
		}
		want := strings.TrimSuffix("/user/alice/git-pull?"+query, "?")
		got, cookie := follow(t, r, visit(address, "Cookie", hub("s-alice")))
		if got != want || cookie == "" {
			t.Errorf("%q leads to %q with the cookie %q", query, got, cookie)
		}
		if got := r.ask(t, "alice", visit(want, "Cookie", cookie, "Cookie", hub("s-alice"))); got != "owner" {
			t.Errorf("there: %s", got)
		}
	}
}

// follow sends a request with a ticket and returns where it leads, and the cookie that it gives, "" for none.
func follow(t *testing.T, r *rig, req *http.Request) (to, cookie string) {
	t.Helper()
	w := httptest.NewRecorder()
	if leave := r.Admit(w, req, key(t, "alice")); leave != nil || w.Code != http.StatusFound {
		t.Errorf("%s: %d, %+v", req.URL, w.Code, leave)
	}
	cookie, _, _ = strings.Cut(w.Header().Get("Set-Cookie"), ";")
	return w.Header().Get("Location"), cookie
}

// TestBadTickets has tickets that give no cookie; the address is cleared of them all the same.
func TestBadTickets(t *testing.T) {
	r := newRig(t)
	ticket := func(session, server string) string {
		return r.Address(session, key(t, server), "/user/alice/lab", "", 1)
	}
	cookie := "/user/alice/lab?redirects=1&gifford-ticket=" + strings.SplitN(r.cookie(t, "s-alice", "alice"), "=", 2)[1]
	for name, tt := range map[string]struct{ address, browser string }{
		"another session's":  {ticket("s-mallory", "alice"), hub("s-alice")},
		"another server's":   {ticket("s-alice", "mallory"), hub("s-alice")},
		"a named server's":   {ticket("s-alice", "alice:x"), hub("s-alice")},
		"a cookie":           {cookie, hub("s-alice")},
		"nonsense":           {"/user/alice/lab?gifford-ticket=x", ""},
		"an ended session":   {ticket("s-alice", "alice"), hub("gone")},
		"none":               {"/user/alice/lab?gifford-ticket=", ""},
		"two in one browser": {ticket("s-alice", "alice"), hub("s-mallory") + "; " + hub("s-alice")},
	} {
		if to, cookie := follow(t, r, visit(tt.address, "Cookie", tt.browser)); to != "/user/alice/lab" ||
			cookie != "" {
			t.Errorf("%s: %q with %q", name, to, cookie)
		}
	}
	old := ticket("s-alice", "alice")
	r.pass(ticketTime + 2*time.Second)
	if to, cookie := follow(t, r, visit(old)); to != "/user/alice/lab" || cookie != "" {
		t.Errorf("an old one: %q with %q", to, cookie)
	}
	w := httptest.NewRecorder()
	if r.Admit(w, fetch(ticket("s-alice", "alice")), key(t, "alice")); w.Code != http.StatusForbidden ||
		w.Header().Get("Set-Cookie") != "" {
		t.Errorf("a script with a ticket: %d, %q", w.Code, w.Header().Get("Set-Cookie"))
	}
	if _, cookie := follow(t, r, visit(ticket("s-alice", "alice"))); cookie != "" {
		t.Error("a link with a ticket gives somebody who is not signed in the cookie of its owner")
	}
	apart, err := origins.New("https://hub.example.org", "https://{user}.hub.example.org")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){"an origin of the member's own": func(c *Config) {
		c.Origins = apart
	}, "a hub without TLS": func(c *Config) { c.Cookies = cookies.New("/", false) }} {
		r = newRig(t, change)
		_, query, _ := strings.Cut(ticket("s-alice", "alice"), "?")
		if _, cookie := follow(t, r, visit("/user/alice/lab?"+query)); cookie == "" {
			t.Errorf("%s: a ticket is not enough by itself, although browsers do not send the session", name)
		}
	}
}
