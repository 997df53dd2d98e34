package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
)

// TestInOurWords has the status and words of each refusal. "hidden" is what a page that does not exist says.
func TestInOurWords(t *testing.T) {
	const hidden = "there is no such page, or it is not yours to see"
	tests := map[string]struct {
		err    error
		status int
		public string
	}{
		"a scope": {&actions.Refusal{Kind: actions.Hidden, Reason: actions.LacksScope}, 404, hidden},
		"left": {&actions.Refusal{Kind: actions.Forbidden, Reason: actions.MayNotEnter,
			Message: "bob left"}, 403, "bob left"},
		"any scope":        {&actions.Refusal{Kind: actions.Forbidden, Reason: actions.LacksScope}, 404, hidden},
		"administrators":   {&actions.Refusal{Kind: actions.Forbidden, Reason: actions.AdminsOnly}, 404, hidden},
		"oneself":          {&actions.Refusal{Kind: actions.Conflict, Reason: actions.Oneself}, 404, hidden},
		"no user":          {&actions.Refusal{Kind: actions.NotFound, Reason: actions.NoUser}, 404, hidden},
		"no server":        {&actions.Refusal{Kind: actions.NotFound, Reason: actions.NoServer}, 404, hidden},
		"no group":         {&actions.Refusal{Kind: actions.NotFound, Reason: actions.NoGroup}, 404, hidden},
		"default server":   {&actions.Refusal{Kind: actions.Invalid, Reason: actions.DefaultServer}, 404, hidden},
		"not running":      {&actions.Refusal{Kind: actions.Conflict, Reason: actions.NotRunning}, 404, hidden},
		"switched off":     {&actions.Refusal{Kind: actions.Unavailable, Reason: actions.SwitchedOff}, 404, hidden},
		"nothing to reset": {&actions.Refusal{Reason: actions.NothingToReset}, 404, "nothing to reset"},
		"no named servers": {&actions.Refusal{Reason: actions.NamedServersOff}, 404, "each user has one server"},
		"one server": {&actions.Refusal{Reason: actions.TooManyServers, Name: "bob", Limit: 1}, 400,
			"bob has 1 server with a name already"},
		"two servers": {&actions.Refusal{Reason: actions.TooManyServers, Name: "bob", Limit: 2}, 400,
			"bob has 2 servers with names already"},
		"too long":        {&actions.Refusal{Reason: actions.TooLong, Limit: 255}, 400, "longer than 255 bytes"},
		"unshowable":      {&actions.Refusal{Reason: actions.Unshowable}, 400, "cannot be shown"},
		"other, hidden":   {&actions.Refusal{Kind: actions.Hidden, Message: "m"}, 404, "m"},
		"other, missing":  {&actions.Refusal{Kind: actions.NotFound, Message: "m"}, 404, "m"},
		"other, closed":   {&actions.Refusal{Kind: actions.Forbidden, Message: "m"}, 404, "m"},
		"other, conflict": {&actions.Refusal{Kind: actions.Conflict, Message: "m"}, 409, "m"},
		"other, limit":    {&actions.Refusal{Kind: actions.Limit, Message: "m"}, 400, "m"},
		"other, invalid":  {&actions.Refusal{Kind: actions.Invalid, Message: "m"}, 400, "m"},
		"other, off":      {&actions.Refusal{Kind: actions.Unavailable, Message: "m"}, 503, "m"},
		"backend":         {&backend.Error{Message: "job timed out", Hint: "look"}, 500, "job timed out"},
		"anything else":   {errors.New("secret"), 500, ""},
	}
	for name, tt := range tests {
		for _, err := range []error{tt.err, fmt.Errorf("wrapped: %w", tt.err)} {
			e := httpx.Public(inOurWords(err))
			if e.Status != tt.status || !strings.Contains(e.Public, tt.public) || strings.Contains(e.Public, "secret") {
				t.Errorf("%s: %d %q, want %d %q", name, e.Status, e.Public, tt.status, tt.public)
			}
		}
	}
	if inOurWords(nil) != nil || reason(nil) != "" || reason(errors.New("x")) != "" {
		t.Error("no error becomes one")
	}
	if _, ok := problem(&httpx.Error{Status: 500}); ok {
		t.Error("a failure of the hub is a problem of the form")
	}
	if e := httpx.Public(inOurWords(&backend.Error{Message: "m", Hint: "look"})); e.Hint != "look" {
		t.Errorf("the hint is %q", e.Hint)
	}
}

// manager may do everything with users and groups, but is no administrator.
var manager = access.Role{Role: scopes.Role{Name: "manager", Scopes: []string{"admin-ui", "admin:users", "admin:groups",
	"list:users", "list:groups", "delete:users"}}, Users: users("bob")}

// TestFormsRefused has forms that package actions refuses: the status, and what the page says.
func TestFormsRefused(t *testing.T) {
	long := strings.Repeat("x", 256)
	tests := map[string]struct {
		user, target string
		form         url.Values
		status       int
		says         string
	}{
		"administrators by a manager": {"bob", "/hub/admin/users", url.Values{"names": {"zoe"}, "admin": {"1"}}, 400,
			"only administrators make administrators"},
		"no names": {"bob", "/hub/admin/users", url.Values{"names": {" , "}}, 400, "there is no name"},
		"names that are known": {"bob", "/hub/admin/users", url.Values{"names": {"carol erin zoe"}}, 400,
			"carol, erin could not be added"},
		"mark by a manager": {"bob", "/hub/admin/mark", url.Values{"user": {"carol"}, "admin": {"1"}}, 404,
			"no such page"},
		"mark a name": {"dora", "/hub/admin/mark", url.Values{"user": {"../x"}, "admin": {"1"}}, 404,
			"no such page"},
		"delete an administrator": {"bob", "/hub/admin/delete-user", url.Values{"user": {"dora"}}, 404, "no such page"},
		"delete oneself":          {"bob", "/hub/admin/delete-user", url.Values{"user": {"bob"}}, 404, "no such page"},
		"delete a name":           {"bob", "/hub/admin/delete-user", url.Values{"user": {"../x"}}, 404, "no such page"},
		"delete whose runs": {"bob", "/hub/admin/delete-user", url.Values{"user": {"alice"}}, 409,
			"a server of alice runs, so alice cannot be deleted"},
		"a group's name":  {"bob", "/hub/admin/groups", url.Values{"group": {"a\nb"}}, 400, "group"},
		"no group's name": {"bob", "/hub/admin/groups", nil, 400, "group"},
		"a member's name": {"bob", "/hub/admin/members", url.Values{"group": {"lab"}, "users": {"../x"},
			"change": {"add"}}, 400, "there is no user ../x in this hub"},
		"an unknown one": {"bob", "/hub/admin/members", url.Values{"group": {"lab"}, "users": {"zoe"},
			"change": {"remove"}}, 400, "there is no user zoe in this hub"},
		"no such group": {"bob", "/hub/admin/delete-group", url.Values{"group": {"none"}}, 404, "no such page"},
		"name for people": {"alice", "/hub/servers", url.Values{"name": {"y"}, "display_name": {long}}, 400,
			"the name for people is longer than 255 bytes"},
		"its characters": {"alice", "/hub/servers", url.Values{"name": {"y"}, "display_name": {"a\u202eb"}}, 400,
			"the name for people holds a character"},
		"exists": {"alice", "/hub/servers", url.Values{"name": {"x"}}, 409,
			"you have a server &#34;x&#34; already"},
		"too many": {"erin", "/hub/spawn/erin/c", nil, 400, "erin has 2 servers with names already"},
		"note": {"alice", "/hub/token", url.Values{"note": {long}}, 400,
			"the note is longer than 255 bytes"},
		"its bytes":      {"alice", "/hub/token", url.Values{"note": {"\xff"}}, 400, "the note holds a character"},
		"scope":          {"alice", "/hub/token", url.Values{"scopes": {"nonsense"}}, 400, "nonsense"},
		"more than mine": {"alice", "/hub/token", url.Values{"scopes": {"admin:users"}}, 400, "admin:users"},
		"long life":      {"alice", "/hub/token", url.Values{"expires": {"7200"}}, 400, "must not exceed 3600"},
		"no number":      {"alice", "/hub/token", url.Values{"expires": {"soon"}}, 400, "not a number of seconds"},
		"no token":       {"alice", "/hub/token/revoke", url.Values{"id": {"7"}}, 404, "you have no such token"},
		"no token's id":  {"alice", "/hub/token/revoke", url.Values{"id": {"x"}}, 404, "you have no such token"},
		"no client":      {"alice", "/hub/token/revoke", url.Values{"client": {"x"}}, 404, "you have no such token"},
		"share beyond": {"frank", "/hub/share/frank", url.Values{"do": {"grant"}, "name": {"gail"},
			"control": {"1"}}, 400, "you may not share what you may not do yourself (servers)"},
		"link beyond": {"frank", "/hub/share/frank", url.Values{"do": {"link"}, "hours": {"1"}, "control": {"1"}},
			400, "you may not share what you may not do yourself (servers)"},
		"share by name": {"frank", "/hub/share/frank", url.Values{"do": {"grant"}, "name": {"gail"}}, 400,
			"you may not share with that user by name"},
		"share by group": {"frank", "/hub/share/frank", url.Values{"do": {"grant"}, "kind": {"group"},
			"name": {"lab"}}, 400, "you may not share with that group by name"},
		"a stranger": {"alice", "/hub/share/alice", url.Values{"do": {"grant"}, "name": {"zoe"}}, 400,
			"zoe is not known to this hub"},
		"no group": {"alice", "/hub/share/alice", url.Values{"do": {"grant"}, "kind": {"group"},
			"name": {"none"}}, 400, "there is no group &#34;none&#34;"},
		"0 hours": {"alice", "/hub/share/alice", url.Values{"do": {"link"}, "hours": {"0"}}, 400,
			"a link is good for 1 to 8760 hours"},
		"many hours": {"alice", "/hub/share/alice", url.Values{"do": {"link"}, "hours": {"5124095576030431"}},
			400, "a link is good for"},
		"no link": {"alice", "/hub/share/alice", url.Values{"do": {"revoke-link"}, "id": {"x"}}, 400,
			"does not say which link"},
		"postpone twice":   {"alice", "/hub/keep/alice", nil, 404, "no such page"},
		"reset what runs":  {"alice", "/hub/reset/alice", nil, 409, "this server runs, so it cannot be reset"},
		"delete what runs": {"alice", "/hub/delete/alice/w", nil, 409, "this server runs, so it cannot be deleted"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newRefusing(t)
			resp := h.post(tt.target, tt.user, tt.form)
			if text := body(t, resp); resp.StatusCode != tt.status || !strings.Contains(text, tt.says) {
				t.Errorf("%s, want %d and %q\n%s", resp.Status, tt.status, tt.says, text)
			}
		})
	}
}

// newRefusing is a hub of which TestFormsRefused asks too much: tokens live an hour, erin has as many named servers as
// are allowed, alice's server w runs, and frank may only share to open a server, and by links.
func newRefusing(t *testing.T) *hub {
	t.Helper()
	visits := access.Role{Role: scopes.Role{Name: scopes.UserRole, Scopes: []string{"access:servers!user",
		"delete:servers!user", "start:servers!user", "read:users!user", "tokens!user", "read:servers!user"}}}
	frank := linker
	frank.Name, frank.Users = "frank", users("frank")
	h := newHub(t, func(c *setup) {
		twoNamed(c)
		c.MaxTokenLife = 3600e9
		c.Authority = roles(t, c.db, sharer, manager, visits, frank)
	})
	h.servers.resetErr = servers.ErrActive
	h.servers.table[key("alice:w")] = servers.Server{Key: key("alice:w"), State: servers.Ready}
	if err := h.db.CreateGroups(t.Context(), []store.Group{{Name: "lab", Users: users("carol")}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"erin:a", "erin:b"} {
		if err := h.db.UpsertServer(t.Context(), store.Server{Key: key(name)}); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// TestFormsTooLong sends each form a body beyond the bound.
func TestFormsTooLong(t *testing.T) {
	h := newImages(t, &fakeImages{})
	form := url.Values{"x": {strings.Repeat("x", maxForm)}}
	for _, rt := range routes() {
		target := strings.NewReplacer("{user}", "alice", "{server}", "x").Replace("/" + rt.path)
		user := "alice"
		if rt.audience == AdminOnly {
			user = "dora"
		}
		if rt.method != http.MethodPost || rt.audience == Anyone || strings.HasPrefix(rt.path, "hub/keep") ||
			strings.HasPrefix(rt.path, "hub/reset") {
			continue // without a form
		}
		p := show(t, h.post(target, user, form))
		if p.status != http.StatusBadRequest || !strings.Contains(p.text, "the form cannot be read") {
			t.Errorf("%s: %d\n%s", rt.path, p.status, p.text)
		}
	}
	if len(h.servers.started)+len(h.servers.stopped)+len(h.told()) > 0 {
		t.Error("something was done")
	}
}

// TestDeletedUserKeepsNothing checks that a user whose sessions cannot be ended is not deleted.
func TestDeletedUserKeepsNothing(t *testing.T) {
	h := newHub(t, nil)
	h.sessionsErr = errors.New("no sessions")
	if got := answer(h.post("/hub/admin/delete-user", "dora", url.Values{"user": {"gail"}})); got !=
		"Internal Server Error" {
		t.Error(got)
	}
	if _, err := h.db.UserByName(t.Context(), key("gail").User); err != nil {
		t.Errorf("gail: %v", err)
	}
}

// TestErrorCode has what a proxy in front may show.
func TestErrorCode(t *testing.T) {
	h := newHub(t, nil)
	for target, want := range map[string]string{"502": "Bad Gateway", "503": "Service Unavailable", "404": "Not Found",
		"399": "Not Found", "600": "Not Found", "499": "Not Found", "x": "Not Found", "403": "Forbidden"} {
		if got := answer(h.do("GET", "/hub/error/"+target, "")); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
}
