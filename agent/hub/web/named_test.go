package web

import (
	stdcmp "cmp"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestAddServer has what names may be added; alice has the server x already.
func TestAddServer(t *testing.T) {
	tests := map[string]struct {
		limit         int
		user          string
		name, display string
		want          string
	}{
		"plain":              {2, "gail", "gpu-2", hostileName, "See Other /hub/home#server-gpu-2"},
		"second":             {2, "alice", "y", "", "See Other /hub/home#server-y"},
		"one too many":       {1, "alice", "y", "", "Bad Request"},
		"any number":         {-1, "alice", "y", "", "See Other /hub/home#server-y"},
		"none at all":        {0, "gail", "y", "", "Not Found"},
		"there already":      {2, "alice", "x", "", "Conflict"},
		"empty":              {2, "gail", " ", "", "Bad Request"},
		"climbs":             {2, "gail", "..", "", "Bad Request"},
		"slash":              {2, "gail", "a/b", "", "Bad Request"},
		"escaped slash":      {2, "gail", "a%2Fb", "", "Bad Request"},
		"capital":            {2, "gail", "Gpu", "", "Bad Request"},
		"quote":              {2, "gail", `a"b`, "", "Bad Request"},
		"long":               {2, "gail", strings.Repeat("a", 31), "", "Bad Request"},
		"display name long":  {2, "gail", "y", strings.Repeat("x", 256), "Bad Request"},
		"display name turns": {2, "gail", "y", "a\u202eb", "Bad Request"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, func(c *setup) { c.NamedServers = tt.limit })
			resp := h.post("/hub/servers", tt.user, url.Values{"name": {tt.name}, "display_name": {tt.display}})
			if got := answer(resp); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if text := body(t, resp); resp.StatusCode >= 400 && tt.limit != 0 &&
				!strings.Contains(text, `role="alert"`) {
				t.Errorf("the page does not say what is wrong:\n%s", text)
			}
			k, err := ident.ParseKey(tt.user, tt.name)
			if err != nil || tt.name == "x" || k.Server.IsDefault() {
				return
			}
			rec, err := h.db.ServerByKey(t.Context(), k)
			if made := err == nil; made != (resp.StatusCode == http.StatusSeeOther) || made &&
				rec.DisplayName != stdcmp.Or(tt.display, tt.name) {
				t.Errorf("kept %+v, %v", rec, err)
			}
		})
	}
}

// TestNamedLimitAtStart checks that the page to start is no way around the limit, and
// that what is there can be started at it.
func TestNamedLimitAtStart(t *testing.T) {
	tests := map[string]struct {
		limit   int
		target  string
		want    string
		started []string
	}{
		"there already":   {1, "/hub/spawn/alice/x", "See Other /hub/spawn-pending/alice/x", []string{"alice:x gpu"}},
		"new":             {2, "/hub/spawn/alice/y", "See Other /hub/spawn-pending/alice/y", []string{"alice:y gpu"}},
		"one too many":    {1, "/hub/spawn/alice/y", "Bad Request", nil},
		"not in this hub": {0, "/hub/spawn/alice/x", "Not Found", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, func(c *setup) { c.NamedServers = tt.limit })
			if got := answer(h.post(tt.target, "alice", url.Values{"profile": {"gpu"}})); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if diff := cmp.Diff(tt.started, h.servers.started); diff != "" {
				t.Errorf("started: want(-) got(+):\n%s", diff)
			}
			if len(tt.started) == 0 {
				return
			}
			k, _, _ := strings.Cut(tt.started[0], " ")
			if rec, err := h.db.ServerByKey(t.Context(), key(k)); err != nil || rec.UserOptions["profile"] != "gpu" ||
				rec.DisplayName == "" {
				t.Errorf("remembers %+v, %v", rec, err)
			}
		})
	}
}

// TestNamedPaths has where paths lead that may mean a named server: x is remembered, y
// runs, z is nothing.
func TestNamedPaths(t *testing.T) {
	h := newHub(t, twoNamed)
	h.servers.table[key("alice:y")] = servers.Server{Key: key("alice:y"), State: servers.Ready}
	h.servers.table[key("alice:w")] = servers.Server{Key: key("alice:w"), State: servers.Waiting}
	for target, want := range map[string]string{
		"/hub/user/alice/y/lab?a=b":      "Found /user/alice/y/lab?a=b&redirects=1",
		"/hub/user/alice/y":              "Found /user/alice/y/?redirects=1",
		"/hub/user/alice/y/a%2Fb":        "Found /user/alice/y/a%2Fb?redirects=1",
		"/hub/user/alice/y%2Flab":        "Found /user/alice/y%2Flab?redirects=1",
		"/hub/user/alice/Y/lab":          "Found /user/alice/Y/lab?redirects=1",
		"/hub/user/alice/z/lab":          "Found /user/alice/z/lab?redirects=1",
		"/hub/user/alice/y/%2Fevil":      "Found /user/alice/y/%2Fevil?redirects=1",
		"/hub/user/alice/w/lab?a=b":      "See Other /hub/spawn-pending/alice/w?next=%2Fuser%2Falice%2Fw%2Flab%3Fa%3Db",
		"/hub/user/alice/x/lab":          "Failed Dependency",
		"/hub/user/alice/y/api/contents": "Found /user/alice/y/api/contents?redirects=1",
		"/hub/user/alice/w/api/contents": "Service Unavailable",
		"/hub/spawn/alice/y":             "Found /user/alice/y/",
		"/hub/spawn-pending/alice/y":     "Found /user/alice/y/",
	} {
		if got := answer(h.do("GET", target, "alice")); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
	p := show(t, h.do("GET", "/hub/spawn-pending/alice/w", "alice"))
	for _, want := range []string{`data-progress="/hub/api/users/alice/servers/w/progress?_xsrf=`,
		`data-next="/user/alice/w/"`, `action="/hub/stop/alice/w"`} {
		if !strings.Contains(p.text, want) {
			t.Errorf("the starting page lacks %s:\n%s", want, p.text)
		}
	}
}

// TestUnroutedNamed checks the words for programs, which must not tell a server that is
// kept from one that never was.
func TestUnroutedNamed(t *testing.T) {
	h := newHub(t, twoNamed)
	h.servers.table[key("alice:w")] = servers.Server{Key: key("alice:w"), State: servers.Waiting}
	for target, want := range map[string]string{
		"/user/alice/w/api/kernels":    "JupyterHub server at /user/alice/w/ is starting.",
		"/user/alice/w/lab":            "JupyterHub server at /user/alice/w/ is starting.",
		"/user/alice/x/api/kernels":    "Restart the server at /hub/spawn/alice/x",
		"/user/alice/none/api/kernels": "Restart the server at /hub/spawn/alice/none",
		"/user/gail/x/lab":             "Restart the server at /hub/spawn/gail",
		"/user/gail/api/x":             "Restart the server at /hub/spawn/gail",
		"/user/gail/api/api/x":         "Restart the server at /hub/spawn/gail",
	} {
		if text := body(t, send(h.Unrouted(), "GET", target, "", "", "Accept",
			"application/json")); !strings.Contains(text, want+`"`) {
			t.Errorf("%s: %s, want %s", target, text, want)
		}
	}
}

// TestDeleteServer checks that nothing of a server outlives it: one of the same name must
// not be open to those to whom this one was.
func TestDeleteServer(t *testing.T) {
	h := newHub(t, twoNamed)
	h.share(t, store.Share{Key: key("alice:x"), User: key("carol").User,
		Scopes: []string{"access:servers!server=alice/x"}})
	if _, err := h.db.CreateShareCode(t.Context(), store.ShareCode{Hash: "h", Key: key("alice:x"), Created: now,
		Expires: now.Add(1e12)}); err != nil {
		t.Fatal(err)
	}
	if got := answer(h.post("/hub/delete/alice/x", "alice",
		url.Values{"next": {"/hub/admin?q=x"}})); got != "See Other /hub/admin?q=x" {
		t.Errorf("%s", got)
	}
	if len(h.servers.resets) != 1 || h.servers.resets[0] != "alice:x" {
		t.Errorf("what was kept of it is not removed: %v", h.servers.resets)
	}
	x := key("alice:x")
	if _, err := h.db.ServerByKey(t.Context(), x); err == nil {
		t.Error("the server is still remembered")
	}
	shares, _ := h.db.Shares(t.Context(), store.ShareQuery{Owner: x.User, Server: &x.Server})
	codes, _ := h.db.ShareCodes(t.Context(), x.User, &x.Server)
	if len(shares)+len(codes) > 0 {
		t.Errorf("it is still shared: %v, %v", shares, codes)
	}
	if got := answer(h.post("/hub/delete/alice/x", "alice", nil)); got != "Not Found" {
		t.Errorf("again: %s", got)
	}
}

// TestPostpone has who may postpone the end of an idle server.
func TestPostpone(t *testing.T) {
	var kept []string
	h := newHub(t, func(c *setup) {
		c.Postpone = func(k ident.Key) error {
			kept = append(kept,
				k.String())
			return nil
		}
	})
	for _, tt := range []struct{ user, target, want string }{
		{"alice", "/hub/keep/alice", "See Other /hub/home"},
		{"dora", "/hub/keep/alice", "See Other /hub/home"},
		{"bob", "/hub/keep/alice", "Not Found"},
		{"gail", "/hub/keep/gail", "Not Found"}, // it does not run
		{"alice", "/hub/keep/alice/x", "Not Found"},
	} {
		if got := answer(h.post(tt.target, tt.user, nil)); got != tt.want {
			t.Errorf("%s as %s: %s, want %s", tt.target, tt.user, got, tt.want)
		}
	}
	if diff := cmp.Diff([]string{"alice", "alice"}, kept); diff != "" {
		t.Errorf("kept: want(-) got(+):\n%s", diff)
	}
}

// TestClock has how times to come are written.
func TestClock(t *testing.T) {
	at := now.Local()
	if got := clock(now.Add(1e9), now); got != at.Add(1e9).Format("15:04") {
		t.Errorf("today: %s", got)
	}
	if got := clock(now.AddDate(0, 0, 2), now); !strings.HasSuffix(got, " March") {
		t.Errorf("another day: %s", got)
	}
}
