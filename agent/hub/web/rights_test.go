package web

import (
	stdcmp "cmp"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
)

// share makes a share of a server in the database.
func (h *hub) share(t *testing.T, v store.Share) {
	t.Helper()
	if _, err := h.db.GrantShare(t.Context(), v); err != nil {
		t.Fatal(err)
	}
}

// helpers may start and stop the servers of the group lab, and its members' only.
var helpers = access.Role{Role: scopes.Role{Name: "helpers", Scopes: []string{"servers!group=lab"}},
	Groups: []string{"helpers"}}

// newRights has alice's servers, which are ready ("alice" and "alice:x") and stopped
// ("alice:z"); carol, who may open the first; frank, who may open and start the second;
// and erin, who is in the group helpers while alice is in the group lab.
func newRights(t *testing.T) *hub {
	t.Helper()
	h := newHub(t, func(c *setup) { c.NamedServers = 2; c.Authority = roles(t, c.db, sharer, helpers) })
	h.share(t, store.Share{Key: key("alice"), User: key("carol").User,
		Scopes: []string{"access:servers!server=alice/"}})
	h.share(t, store.Share{Key: key("alice:x"), User: key("frank").User,
		Scopes: []string{"access:servers!server=alice/x", "start:servers!server=alice/x"}})
	if err := h.db.CreateGroups(t.Context(), []store.Group{{Name: "lab", Users: users("alice")},
		{Name: "helpers", Users: users("erin")}}); err != nil {
		t.Fatal(err)
	}
	if err := h.db.UpsertServer(t.Context(), store.Server{Key: key("alice:z"), DisplayName: "z"}); err != nil {
		t.Fatal(err)
	}
	h.servers.table[key("alice:x")] = servers.Server{Key: key("alice:x"), State: servers.Ready}
	return h
}

// TestRights is who may do what with alice's servers. "-" is the answer to what is not
// there, which nobody can tell from what is not theirs.
func TestRights(t *testing.T) {
	people := []string{"alice", "dora", "bob", "carol", "frank", "erin"}
	tests := map[string]struct {
		method, target string
		want           []string // as people
	}{
		// others are asked
		"open":                   {"GET", "/hub/user/alice/lab", []string{"302", "200", "-", "200", "-", "-"}},
		"open x":                 {"GET", "/hub/user/alice/x/lab", []string{"302", "200", "-", "-", "200", "-"}},
		"agree":                  {"POST", "/hub/open/alice", []string{"303", "303", "-", "303", "-", "-"}},
		"agree to x":             {"POST", "/hub/open/alice/x", []string{"303", "303", "-", "-", "303", "-"}},
		"open z, stopped":        {"GET", "/hub/user/alice/z/lab", []string{"424", "424", "-", "-", "-", "-"}},
		"open what is no server": {"GET", "/hub/user/alice/other/lab", []string{"302", "200", "-", "200", "-", "-"}},
		"see it start": {"GET", "/hub/spawn-pending/alice",
			[]string{"302", "302", "-", "302", "-", "303"}},
		"see x start": {"GET", "/hub/spawn-pending/alice/x",
			[]string{"302", "302", "-", "-", "302", "303"}},
		"see start what is none": {"GET", "/hub/spawn-pending/alice/none", []string{"-", "-", "-", "-", "-", "-"}},
		"start page":             {"GET", "/hub/spawn/alice", []string{"302", "302", "-", "-", "-", "302"}},
		"start":                  {"POST", "/hub/spawn/alice", []string{"303", "303", "-", "-", "-", "303"}},
		"start x":                {"POST", "/hub/spawn/alice/x", []string{"303", "303", "-", "-", "303", "303"}},
		"start z":                {"POST", "/hub/spawn/alice/z", []string{"303", "303", "-", "-", "-", "303"}},
		"stop":                   {"POST", "/hub/stop/alice", []string{"303", "303", "-", "-", "-", "303"}},
		"stop x":                 {"POST", "/hub/stop/alice/x", []string{"303", "303", "-", "-", "-", "303"}},
		"stop what is none":      {"POST", "/hub/stop/alice/none", []string{"-", "-", "-", "-", "-", "-"}},
		"delete x, which runs":   {"POST", "/hub/delete/alice/x", []string{"409", "409", "-", "-", "-", "409"}},
		"delete z":               {"POST", "/hub/delete/alice/z", []string{"303", "303", "-", "-", "-", "303"}},
		"delete what is none":    {"POST", "/hub/delete/alice/none", []string{"-", "-", "-", "-", "-", "-"}},
		"reset":                  {"POST", "/hub/reset/alice", []string{"303", "303", "-", "-", "-", "303"}},
		"reset z":                {"POST", "/hub/reset/alice/z", []string{"303", "303", "-", "-", "-", "303"}},
		"reset what is none":     {"POST", "/hub/reset/alice/none", []string{"-", "-", "-", "-", "-", "-"}},
		"share page":             {"GET", "/hub/share/alice", []string{"200", "-", "-", "-", "-", "-"}},
		"climb": {"GET", "/hub/user/alice/..%2Fbob/lab",
			[]string{"302", "200", "-", "200", "-", "-"}},
		"climb to start":            {"POST", "/hub/spawn/alice/..", []string{"-", "-", "-", "-", "-", "-"}},
		"slash in the name":         {"POST", "/hub/spawn/alice/x%2Fy", []string{"-", "-", "-", "-", "-", "-"}},
		"capitals":                  {"POST", "/hub/spawn/alice/X", []string{"-", "-", "-", "-", "-", "-"}},
		"quotes":                    {"POST", "/hub/spawn/alice/%22x", []string{"-", "-", "-", "-", "-", "-"}},
		"server named by an escape": {"GET", "/hub/user/alice/%78/lab", []string{"302", "200", "-", "-", "200", "-"}},
	}
	codes := map[int]string{200: "200", 302: "302", 303: "303", 404: "-", 409: "409", 424: "424"}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			h := newRights(t)
			for _, user := range people {
				if tt.method == http.MethodPost {
					h = newRights(t)
				}
				resp := h.do(tt.method, tt.target, user)
				if tt.method == http.MethodPost {
					resp = h.post(tt.target, user, nil)
				}
				if tt.method == "POST" && strings.Contains(tt.target, "..") &&
					resp.StatusCode == http.StatusTemporaryRedirect {
					got = append(got, "-") // net/http has cleaned the path
					continue
				}
				got = append(got, stdcmp.Or(codes[resp.StatusCode], resp.Status))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%v: want(-) got(+):\n%s", people, diff)
			}
		})
	}
}

// TestSharedWithMe checks what the home page offers of somebody else's server.
func TestSharedWithMe(t *testing.T) {
	h := newRights(t)
	p := show(t, h.do("GET", "/hub/home", "carol"))
	for _, want := range []string{"Shared with you", `href="/hub/user/alice/"`} {
		if !strings.Contains(p.text, want) {
			t.Errorf("does not say %q:\n%s", want, p.text)
		}
	}
	for _, not := range []string{"/hub/stop/alice", "/hub/spawn/alice", "/hub/user/alice/x"} {
		if strings.Contains(p.text, not) {
			t.Errorf("offers %q", not)
		}
	}
	h.share(t, store.Share{Key: key("alice:z"), User: key("bob").User, Scopes: []string{"read:servers!server=alice/z"}})
	if p := show(t, h.do("GET", "/hub/home", "bob")); strings.Contains(p.text, "Shared with you") {
		t.Error("bob is offered what he may not open")
	}
	delete(h.servers.table, key("alice"))
	p = show(t, h.do("GET", "/hub/user/alice/lab", "carol"))
	if p.status != http.StatusFailedDependency || len(p.elements("form")) > 0 ||
		!strings.Contains(p.text, "ask alice") {
		t.Errorf("a stopped server of hers: %d\n%s", p.status, p.text)
	}
}

// TestSharedStart checks that who may open a server sees it start, without the log's stream
// that the API would refuse.
func TestSharedStart(t *testing.T) {
	h := newRights(t)
	h.servers.table[key("alice")] = servers.Server{Key: key("alice"), State: servers.Starting}
	p := show(t, h.do("GET", "/hub/spawn-pending/alice", "carol"))
	if p.status != http.StatusOK || len(p.elements("script", "form")) > 0 ||
		!strings.Contains(p.text, `http-equiv="refresh"`) || strings.Contains(p.text, "<noscript>") {
		t.Errorf("%d\n%s", p.status, p.text)
	}
}

// TestGroupsOfTheSession checks that the provider's groups count where the database does
// not have them yet.
func TestGroupsOfTheSession(t *testing.T) {
	h := newRights(t)
	h.login.groups = []string{"helpers"}
	if got := answer(h.post("/hub/stop/alice", "bob", url.Values{})); got != "See Other /hub/home" {
		t.Errorf("%s", got)
	}
}
