package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// linker may share by links, but may name nobody.
var linker = access.Role{Role: scopes.Role{Name: "linker", Scopes: []string{"shares!user"}}, Users: users("bob")}

// sharedWith lists the shares of a user's default server, as "who scope scope".
func (h *hub) sharedWith(t *testing.T, owner string) []string {
	t.Helper()
	k := key(owner)
	all, err := h.db.Shares(t.Context(), store.ShareQuery{Owner: k.User, Server: &k.Server})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, v := range all {
		list = append(list, v.User.String()+v.Group+" "+strings.Join(v.Scopes, " "))
	}
	return list
}

func TestShare(t *testing.T) {
	const open, control = "access:servers!server=alice/", "servers!server=alice/"
	tests := map[string]struct {
		user string
		form url.Values
		want string
		left []string
	}{
		"with a user": {"alice", url.Values{"do": {"grant"}, "name": {"gail"}}, "See Other /hub/share/alice",
			[]string{"carol " + open, "gail " + open}},
		"to start and stop": {"alice", url.Values{"do": {"grant"}, "name": {"gail"}, "control": {"1"}},
			"See Other /hub/share/alice", []string{"carol " + open, "gail " + open + " " + control}},
		"with a group": {"alice", url.Values{"do": {"grant"}, "kind": {"group"}, "name": {hostileName}},
			"See Other /hub/share/alice", []string{"carol " + open, hostileName + " " + open}},
		"with no user": {"alice", url.Values{"do": {"grant"}, "name": {"stranger"}}, "Bad Request",
			[]string{"carol " + open}},
		"with no name": {"alice", url.Values{"do": {"grant"}, "name": {"../bob"}}, "Bad Request",
			[]string{"carol " + open}},
		"with no group": {"alice", url.Values{"do": {"grant"}, "kind": {"group"}, "name": {"none"}},
			"Bad Request", []string{"carol " + open}},
		"with oneself": {"alice", url.Values{"do": {"grant"}, "name": {"alice"}}, "Bad Request",
			[]string{"carol " + open}},
		"revoke": {"alice", url.Values{"do": {"revoke"}, "name": {"carol"}}, "See Other /hub/share/alice",
			nil},
		"revoke what is none": {"alice", url.Values{"do": {"revoke"}, "name": {"gail"}}, "See Other /hub/share/alice",
			[]string{"carol " + open}},
		"revoke for itself": {"carol", url.Values{"do": {"revoke"}, "name": {"carol"}}, "Not Found",
			[]string{"carol " + open}},
		"somebody else's": {"bob", url.Values{"do": {"grant"}, "name": {"bob"}}, "Not Found",
			[]string{"carol " + open}},
		"administrator": {"dora", url.Values{"do": {"grant"}, "name": {"dora"}}, "Not Found",
			[]string{"carol " + open}},
		"nothing":  {"alice", url.Values{"do": {"x"}}, "Bad Request", []string{"carol " + open}},
		"no hours": {"alice", url.Values{"do": {"link"}}, "Bad Request", []string{"carol " + open}},
		"too many hours": {"alice", url.Values{"do": {"link"}, "hours": {"8761"}}, "Bad Request",
			[]string{"carol " + open}},
		"no such link": {"alice", url.Values{"do": {"revoke-link"}, "id": {"7"}}, "See Other /hub/share/alice",
			[]string{"carol " + open}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, nil)
			h.share(t, store.Share{Key: key("alice"), User: key("carol").User, Scopes: []string{open}})
			if err := h.db.CreateGroups(t.Context(), []store.Group{{Name: hostileName}}); err != nil {
				t.Fatal(err)
			}
			if got := answer(h.post("/hub/share/alice", tt.user, tt.form)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if diff := cmp.Diff(tt.left, h.sharedWith(t, "alice")); diff != "" {
				t.Errorf("want(-) got(+):\n%s", diff)
			}
		})
	}
}

// TestShareByName checks that who may read no names learns none, and can still make links.
func TestShareByName(t *testing.T) {
	h := newHub(t, func(c *setup) { c.Authority = roles(t, c.db, linker) })
	if p := show(t, h.do("GET", "/hub/share/bob", "bob")); p.status != http.StatusOK ||
		strings.Contains(p.text, `value="grant"`) {
		t.Errorf("%d\n%s", p.status, p.text)
	}
	problem := func(name string) string {
		p := show(t, h.post("/hub/share/bob", "bob", url.Values{"do": {"grant"}, "name": {name}}))
		for _, n := range p.elements("p") {
			if attr(n, "role") == "alert" {
				return textOf(n)
			}
		}
		return p.text
	}
	if known, unknown := problem("gail"), problem("stranger"); known != unknown ||
		!strings.Contains(known, "make a link") {
		t.Errorf("%q for a user, %q for none", known, unknown)
	}
	if p := show(t, h.do("GET", "/hub/home", "gail")); strings.Contains(p.text, "/hub/share/") {
		t.Error("sharing is offered to who may not share")
	}
}

// TestAccept follows a link from its making to its end.
func TestAccept(t *testing.T) {
	h := newHub(t, nil)
	p := show(t, h.post("/hub/share/alice", "alice", url.Values{"do": {"link"}, "hours": {"1"}}))
	link := ""
	for _, a := range p.elements("a") {
		if strings.HasPrefix(attr(a, "href"), "/hub/accept-share?code=") {
			link = attr(a, "href")
		}
	}
	u, err := url.Parse(link)
	if err != nil || link == "" {
		t.Fatalf("no link: %v\n%s", err, p.text)
	}
	code := u.Query().Get("code")
	if p := show(t, h.do("GET", "/hub/share/alice", "alice")); strings.Contains(p.text, code) {
		t.Error("the link is shown again")
	}
	form := url.Values{"code": {code}}
	steps := []struct {
		what, want string
		resp       *http.Response
	}{
		{"gail before", "Not Found", h.do("GET", "/hub/user/alice/lab", "gail")},
		{"gail is asked", "OK", h.do("GET", link, "gail")},
		{"asking gives nothing", "Not Found", h.do("GET", "/hub/user/alice/lab", "gail")},
		{"gail accepts", "See Other /hub/user/alice/", h.post("/hub/accept-share", "gail", form)},
		{"gail after", "OK", h.do("GET", "/hub/user/alice/lab", "gail")},
		{"gail agrees", "See Other /hub/user/alice/lab?a=%20b",
			h.post("/hub/open/alice", "gail", url.Values{"next": {"/user/alice/lab?a=%20b"}})},
		{"gail opens it", "Found /user/alice/lab?redirects=1", h.do("GET", "/hub/user/alice/lab", "gail")},
		{"gail cannot stop it", "Not Found", h.post("/hub/stop/alice", "gail", nil)},
		{"alice accepts her own", "See Other /hub/user/alice/", h.post("/hub/accept-share", "alice", form)},
		{"nobody is asked to sign in", "See Other /hub/login?next=" + url.QueryEscape(link), h.do("GET", link, "")},
		{"another code", "Not Found", h.post("/hub/accept-share", "bob", url.Values{"code": {"x"}})},
		{"no code", "Not Found", h.do("GET", "/hub/accept-share", "bob")},
		{"alice takes the link back", "See Other /hub/share/alice",
			h.post("/hub/share/alice", "alice", url.Values{"do": {"revoke-link"}, "id": {"1"}})},
		{"too late", "Not Found", h.post("/hub/accept-share", "bob", form)},
	}
	for _, s := range steps {
		if got := answer(s.resp); got != s.want {
			t.Errorf("%s: %s, want %s", s.what, got, s.want)
		}
	}
	if diff := cmp.Diff([]string{"gail access:servers!server=alice/"}, h.sharedWith(t, "alice")); diff != "" {
		t.Errorf("want(-) got(+):\n%s", diff)
	}
}

func TestExpiredCode(t *testing.T) {
	h := newHub(t, nil)
	if _, err := h.db.CreateShareCode(t.Context(), store.ShareCode{Hash: ident.HashToken("old"), Key: key("alice"),
		Created: now.Add(-2 * time.Hour), Expires: now.Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if p := show(t, h.do("GET", "/hub/accept-share?code=old", "bob")); p.status != http.StatusNotFound ||
		!strings.Contains(p.text, "expired") {
		t.Errorf("%d\n%s", p.status, p.text)
	}
	if got := answer(h.post("/hub/accept-share", "bob", url.Values{"code": {"old"}})); got != "Not Found" {
		t.Errorf("%s", got)
	}
}

// TestServices has to whom services are shown.
func TestServices(t *testing.T) {
	h := newRich(t)
	for user, want := range map[string]bool{"alice": true, "dora": true, "bob": false} {
		p := show(t, h.do("GET", "/hub/home", user))
		if got := strings.Contains(p.text, "/services/grades/"); got != want || strings.Contains(p.text, "hidden/") {
			t.Errorf("%s: shown is %v, want %v", user, got, want)
		}
	}
}
