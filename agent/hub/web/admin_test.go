package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
)

// warden looks after the group lab without being an administrator.
var warden = access.Role{Role: scopes.Role{Name: "warden",
	Scopes: []string{"admin-ui", "list:users!group=lab", "read:servers!group=lab",
		"delete:users!group=lab", "groups!group=lab", "admin:users!group=lab"}}, Users: users("bob")}

// newAdmin has carol and dora, who is an administrator, in the group lab.
func newAdmin(t *testing.T, change func(*setup)) *hub {
	t.Helper()
	h := newHub(t, func(c *setup) {
		c.Authority = roles(t, c.db, sharer, warden)
		change(c)
	})
	if err := h.db.CreateGroups(t.Context(), []store.Group{{Name: "lab", Users: users("carol", "dora")},
		{Name: "other", Users: users("gail")}}); err != nil {
		t.Fatal(err)
	}
	return h
}

// TestAdminActs has who may do what with users and groups, and what is told of it.
func TestAdminActs(t *testing.T) {
	add := url.Values{"names": {"zoe, yan\nx_1"}}
	tests := map[string]struct {
		user, target string
		form         url.Values
		want         string
		told         []string
	}{
		"add users": {"dora", "/hub/admin/users", add, "See Other /hub/admin?sort=-id",
			[]string{"user-created dora user=zoe admin=false", "user-created dora user=yan admin=false",
				"user-created dora user=x_1 admin=false"}},
		"add an administrator": {"dora", "/hub/admin/users", url.Values{"names": {"zoe"}, "admin": {"1"}},
			"See Other /hub/admin?sort=-id", []string{"user-created dora user=zoe admin=true"}},
		"add who is there": {"dora", "/hub/admin/users", url.Values{"names": {"bob"}}, "Bad Request",
			nil},
		"add no name":       {"dora", "/hub/admin/users", url.Values{"names": {"zoe ../x"}}, "Bad Request", nil},
		"add as the warden": {"bob", "/hub/admin/users", add, "Not Found", nil},
		"add as anybody":    {"alice", "/hub/admin/users", add, "Not Found", nil},
		"make admin": {"dora", "/hub/admin/mark",
			url.Values{"user": {"carol"}, "admin": {"1"}, "next": {"/hub/admin?q=c"}}, "See Other /hub/admin?q=c",
			[]string{"user-admin dora user=carol admin=true"}},
		"unmake admin": {"dora", "/hub/admin/mark", url.Values{"user": {"carol"}, "next": {"//evil.example"}},
			"See Other /hub/admin", nil},
		"unmake oneself": {"dora", "/hub/admin/mark", url.Values{"user": {"dora"}}, "Not Found", nil},
		"make as the warden": {"bob", "/hub/admin/mark", url.Values{"user": {"carol"}, "admin": {"1"}}, "Not Found",
			nil},
		"make a stranger": {"dora", "/hub/admin/mark", url.Values{"user": {"stranger"}, "admin": {"1"}},
			"Not Found", nil},
		"delete": {"dora", "/hub/admin/delete-user", url.Values{"user": {"gail"}},
			"See Other /hub/admin", []string{"user-deleted dora user=gail"}},
		"delete whose runs":    {"dora", "/hub/admin/delete-user", url.Values{"user": {"alice"}}, "Conflict", nil},
		"delete oneself":       {"dora", "/hub/admin/delete-user", url.Values{"user": {"dora"}}, "Not Found", nil},
		"delete a stranger":    {"dora", "/hub/admin/delete-user", url.Values{"user": {"stranger"}}, "Not Found", nil},
		"delete as warden":     {"bob", "/hub/admin/delete-user", url.Values{"user": {"carol"}}, "Conflict", nil},
		"delete, not in lab":   {"bob", "/hub/admin/delete-user", url.Values{"user": {"gail"}}, "Not Found", nil},
		"delete administrator": {"bob", "/hub/admin/delete-user", url.Values{"user": {"dora"}}, "Not Found", nil},
		"add a group": {"dora", "/hub/admin/groups", url.Values{"group": {hostileName}},
			"See Other /hub/admin/groups", []string{"group-created dora group=" + hostileName}},
		"add a group there": {"dora", "/hub/admin/groups", url.Values{"group": {"lab"}}, "Bad Request",
			nil},
		"add a group as warden": {"bob", "/hub/admin/groups", url.Values{"group": {"new"}}, "Not Found", nil},
		"add members": {"bob", "/hub/admin/members",
			url.Values{"group": {"lab"}, "users": {"gail erin"}, "change": {"add"}}, "See Other /hub/admin/groups",
			[]string{"group-members bob group=lab change=add users=gail erin"}},
		"remove members": {"bob", "/hub/admin/members",
			url.Values{"group": {"lab"}, "users": {"carol"}, "change": {"remove"}}, "See Other /hub/admin/groups",
			[]string{"group-members bob group=lab change=remove users=carol"}},
		"members of another": {"bob", "/hub/admin/members",
			url.Values{"group": {"other"}, "users": {"bob"}, "change": {"add"}}, "Not Found", nil},
		"members of none": {"dora", "/hub/admin/members",
			url.Values{"group": {"none"}, "users": {"bob"}, "change": {"add"}}, "Not Found", nil},
		"unknown members": {"dora", "/hub/admin/members",
			url.Values{"group": {"lab"}, "users": {"stranger"}, "change": {"add"}}, "Bad Request", nil},
		"no change": {"dora", "/hub/admin/members", url.Values{"group": {"lab"}, "users": {"gail"}},
			"Bad Request", nil},
		"delete a group": {"dora", "/hub/admin/delete-group", url.Values{"group": {"lab"}},
			"See Other /hub/admin/groups", []string{"group-deleted dora group=lab users=carol dora"}},
		"delete as the warden": {"bob", "/hub/admin/delete-group", url.Values{"group": {"lab"}}, "Not Found", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newAdmin(t, twoNamed)
			if got := answer(h.post(tt.target, tt.user, tt.form)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if diff := cmp.Diff(tt.told, h.told()); diff != "" {
				t.Errorf("told: want(-) got(+):\n%s", diff)
			}
		})
	}
}

// TestAdminEffects checks that the acts do what they say.
func TestAdminEffects(t *testing.T) {
	h := newAdmin(t, twoNamed)
	h.post("/hub/admin/users", "dora", url.Values{"names": {"zoe"}})
	h.post("/hub/admin/mark", "dora", url.Values{"user": {"zoe"}, "admin": {"1"}})
	h.post("/hub/admin/members", "dora", url.Values{"group": {"lab"}, "users": {"zoe"}, "change": {"add"}})
	h.post("/hub/admin/members", "dora", url.Values{"group": {"lab"}, "users": {"carol"}, "change": {"remove"}})
	h.post("/hub/admin/delete-user", "dora", url.Values{"user": {"gail"}})
	zoe, err := h.db.UserByName(t.Context(), key("zoe").User)
	if err != nil || !zoe.Admin {
		t.Errorf("zoe: %+v, %v", zoe, err)
	}
	lab, err := h.db.GroupByName(t.Context(), "lab")
	if err != nil || names(lab.Users) != "dora, zoe" {
		t.Errorf("lab: %+v, %v", lab, err)
	}
	if _, err := h.db.UserByName(t.Context(), key("gail").User); err == nil {
		t.Error("gail is still there")
	}
}

// TestWardenSees checks that the page hides what scopes do not show.
func TestWardenSees(t *testing.T) {
	h := newAdmin(t, twoNamed)
	p := show(t, h.do("GET", "/hub/admin", "bob"))
	for _, not := range []string{"gail", "alice", "Add users", "Make admin", "delete-user?user=dora"} {
		if strings.Contains(p.text, not) {
			t.Errorf("shows %q", not)
		}
	}
	if !strings.Contains(p.text, "carol") || !strings.Contains(p.text, "2 of 2") {
		t.Errorf("shows not enough:\n%s", p.text)
	}
	if p := show(t, h.do("GET", "/hub/admin/groups", "bob")); strings.Contains(p.text, "other") ||
		!strings.Contains(p.text, "lab") || strings.Contains(p.text, "delete-group") {
		t.Errorf("groups:\n%s", p.text)
	}
}

// TestUserPages has which users a page of the administration shows.
func TestUserPages(t *testing.T) {
	h := newHub(t, nil)
	for i := range 60 {
		if err := h.db.CreateUser(t.Context(), store.User{Name: key(fmt.Sprintf("u%02d", i)).User,
			Created: now}); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		query         string
		shows, hides  []string
		before, after string
	}{
		"first page":  {"", []string{"alice", "u42", "1–50 of 67"}, []string{">u43"}, "", "/hub/admin?page=1"},
		"second page": {"?page=1", []string{"u43", "u59", "51–67 of 67"}, []string{">u42"}, "/hub/admin", ""},
		"beyond":      {"?page=9", []string{"No user matches"}, []string{">u42"}, "/hub/admin?page=8", ""},
		"odd page":    {"?page=-1", []string{"1–50 of 67"}, nil, "", "/hub/admin?page=1"},
		"search":      {"?q=U5&page=0", []string{"u50", "u59", "1–10 of 10"}, []string{"gail"}, "", ""},
		"wildcard":    {"?q=%25", []string{"No user matches"}, nil, "", ""},
		"quotes":      {"?q=%22%3E%3Cb%3E", []string{"No user matches", "&#34;&gt;&lt;b&gt;"}, nil, "", ""},
		"odd order":   {"?sort=name%3B+DROP", []string{"alice"}, nil, "", "/hub/admin?page=1"},
		"kept":        {"?q=u&sort=-id&page=0", []string{"1–50 of 60"}, nil, "", "/hub/admin?page=1&q=u&sort=-id"},
		"active": {"?state=active", []string{"alice", "bob", "carol", "frank", "1–4 of 4"},
			[]string{"u00", "erin"}, "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := show(t, h.do("GET", "/hub/admin"+tt.query, "dora"))
			if p.status != http.StatusOK {
				t.Errorf("status %d", p.status)
			}
			for _, text := range tt.shows {
				if !strings.Contains(p.text, text) {
					t.Errorf("does not show %q", text)
				}
			}
			for _, text := range tt.hides {
				if strings.Contains(p.text, text) {
					t.Errorf("shows %q", text)
				}
			}
			got := map[string]string{}
			for _, a := range p.elements("a") {
				got[attr(a, "rel")] = attr(a, "href")
			}
			if got["prev"] != tt.before || got["next"] != tt.after {
				t.Errorf("pages around: %q and %q", got["prev"], got["next"])
			}
		})
	}
}
