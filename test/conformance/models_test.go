//go:build conformance

package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	serverKeys = "name full_name last_activity started pending ready stopped url user_options progress_url full_url " +
		"full_progress_url"
	userKeys  = "kind name admin roles groups server pending created last_activity servers"
	tokenKeys = "user id kind roles scopes created last_activity expires_at note session_id oauth_client"
	shareKeys = "server scopes user group kind created_at"
	codeKeys  = "server scopes id created_at expires_at exchange_count last_exchanged_at"
)

func TestWhoami(t *testing.T) {
	h := open(t)
	a := h.do(t, "alice", "GET", "/user", "")
	m := a.object(t)
	h.keys(t, m, userKeys+" token_id session_id scopes")
	if id, _ := m["token_id"].(string); !strings.HasPrefix(id, "a") {
		t.Errorf("token_id is %v", m["token_id"])
	}
	want := strings.Fields(`access:servers!user=alice delete:servers!user=alice read:servers!user=alice
		read:shares!user=alice read:tokens!user=alice
		read:users!user=alice read:users:activity!user=alice read:users:groups!user=alice
		read:users:name!user=alice read:users:shares!user=alice
		servers!user=alice tokens!user=alice users:activity!user=alice users:shares!user=alice`)
	if got := scopes(t, a); !slices.Equal(got, want) {
		t.Errorf("a user's scopes are\n%v, want\n%v", got, want)
	}
	h.keys(t, h.do(t, "admin", "GET", "/user", "").object(t),
		"kind name admin roles url prefix command pid info display token_id session_id scopes")
}

// TestNarrowTokens asks what tokens with few scopes may do.
func TestNarrowTokens(t *testing.T) {
	h := open(t)
	tests := map[string]struct{ asked, want string }{
		"none":       {`[]`, ""},
		"the name":   {`["read:users:name!user"]`, "read:users:name!user=alice"},
		"one server": {`["access:servers!server=alice/"]`, "access:servers!server=alice/"},
		"servers": {`["servers!user=alice"]`, "delete:servers!user=alice read:servers!user=alice " +
			"read:users:name!user=alice servers!user=alice"},
		"servers, one": {`["servers!server=alice/"]`, "delete:servers!server=alice/ read:servers!server=alice/ " +
			"servers!server=alice/"},
		"what she may": {`["self"]`, ""},
		"the whole":    {`["inherit"]`, ""},
		"read": {`["read:users!user"]`, "read:users!user=alice read:users:activity!user=alice " +
			"read:users:groups!user=alice read:users:name!user=alice"},
		"twice the same":  {`["tokens!user","tokens!user=alice"]`, "read:tokens!user=alice tokens!user=alice"},
		"a role's scopes": {`["read:shares!user"]`, "read:shares!user=alice"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h.token(t, "narrow", "alice", tt.asked)
			got := h.do(t, "narrow", "GET", "/user", "")
			if got.status != 200 {
				t.Fatal(got)
			}
			// Every token may say whose it is.
			want := append(strings.Fields(tt.want), "read:users:groups!user=alice", "read:users:name!user=alice")
			slices.Sort(want)
			want = slices.Compact(want)
			if name == "what she may" || name == "the whole" {
				want = scopes(t, h.do(t, "alice", "GET", "/user", ""))
			}
			if s := scopes(t, got); !slices.Equal(s, want) {
				t.Errorf("the scopes are %v, want %v", s, want)
			}
		})
	}
}

func TestModels(t *testing.T) {
	h := open(t)
	users := h.do(t, "admin", "GET", "/users?include_stopped_servers=1", "").array(t)
	for _, u := range users {
		h.keys(t, u, userKeys+" auth_state")
	}
	for _, u := range h.do(t, "limited", "GET", "/users", "").array(t) {
		h.keys(t, u, "kind name admin")
	}
	h.keys(t, h.do(t, "alice", "GET", "/users/alice", "").object(t), userKeys)
	h.keys(t, h.do(t, "admin", "GET", "/services/limited", "").object(t),
		"kind name admin roles url prefix command pid info display")
	for name, s := range h.do(t, "admin", "GET", "/services", "").object(t) {
		if s.(map[string]any)["name"] != name {
			t.Errorf("service %q is called %v", name, s)
		}
	}
	group := "m-" + h.suffix
	g := h.do(t, "admin", "POST", "/groups/"+group, `{"users":["alice"]}`).object(t)
	defer h.do(t, "admin", "DELETE", "/groups/"+group, "")
	h.keys(t, g, "kind name roles users properties")
	if fmt.Sprint(g["users"]) != "[alice]" || fmt.Sprint(g["properties"]) != "map[]" {
		t.Errorf("the group is %v", g)
	}
	g = h.do(t, "admin", "PUT", "/groups/"+group+"/properties", `{"a":{"b":[1]}}`).object(t)
	if fmt.Sprint(g["properties"]) != "map[a:map[b:[1]]]" {
		t.Errorf("the properties are %v", g["properties"])
	}
	if got := h.do(t, "alice", "GET", "/users/alice", "").object(t)["groups"].([]any); !slices.Contains(got,
		any(group)) {
		t.Errorf("alice's groups are %v", got)
	}
	h.keys(t, h.do(t, "admin", "GET", "/info", "").object(t), "version python sys_executable spawner authenticator")
}

func TestHeaders(t *testing.T) {
	h := open(t)
	root := h.do(t, "none", "GET", "", "")
	if h.ours && root.header.Get("Access-Control-Allow-Origin") != "*" { // since JupyterHub 5.3
		t.Errorf("Access-Control-Allow-Origin is %q", root.header.Get("Access-Control-Allow-Origin"))
	}
	if root.object(t)["version"] != root.header.Get("X-JupyterHub-Version") {
		t.Errorf("the root answers %v %s", root.header, root)
	}
	api := h.do(t, "alice", "GET", "/user", "")
	if !strings.HasPrefix(api.header.Get("Content-Type"), "application/json") {
		t.Errorf("Content-Type is %q", api.header.Get("Content-Type"))
	}
	if csp := api.header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors") ||
		!strings.Contains(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy is %q", csp)
	}
	for _, word := range []string{"token ", "Token ", "bearer ", "Bearer "} {
		if a := h.do(t, "none", "GET", "/user", "", "Authorization", word+h.tokens["alice"]); a.status != 200 {
			t.Errorf("%q: %s", word, a)
		}
	}
}

// TestTokens makes, lists and revokes tokens.
func TestTokens(t *testing.T) {
	h := open(t)
	made := h.do(t, "alice", "POST", "/users/alice/tokens",
		`{"note":"a <b>","expires_in":3600,"scopes":["read:users!user"]}`)
	m := made.object(t)
	h.keys(t, m, tokenKeys+" token")
	if m["note"] != "a <b>" || m["user"] != "alice" || m["kind"] != "api_token" {
		t.Errorf("the token is %v", m)
	}
	created, err1 := time.Parse(time.RFC3339Nano, fmt.Sprint(m["created"]))
	expires, err2 := time.Parse(time.RFC3339Nano, fmt.Sprint(m["expires_at"]))
	if err1 != nil || err2 != nil || expires.Sub(created).Round(time.Second) != time.Hour {
		t.Errorf("created %v, expires %v: %v %v", m["created"], m["expires_at"], err1, err2)
	}
	h.tokens["new"] = m["token"].(string)
	if a := h.do(t, "new", "GET", "/users/alice", ""); a.status != 200 {
		t.Errorf("the new token: %s", a)
	}
	if a := h.do(t, "new", "GET", "/users/alice/tokens", ""); a.status != 403 {
		t.Errorf("the new token reads tokens: %s", a)
	}
	id := fmt.Sprint(m["id"])
	h.keys(t, h.do(t, "alice", "GET", "/users/alice/tokens/"+id, "").object(t), tokenKeys)
	list, _ := h.do(t, "alice", "GET", "/users/alice/tokens", "").object(t)["api_tokens"].([]any)
	if !slices.ContainsFunc(list, func(v any) bool { return v.(map[string]any)["id"] == id }) {
		t.Errorf("the list lacks %s", id)
	}
	if a := h.do(t, "alice", "DELETE", "/users/alice/tokens/"+id, ""); a.status != 204 {
		t.Errorf("revoking: %s", a)
	}
	if a := h.do(t, "new", "GET", "/user", ""); a.status != 403 {
		t.Errorf("the revoked token: %s", a)
	}
	// As VS Code's extension sends it.
	plain := h.do(t, "alice", "POST", "/users/alice/tokens", `{"note":"vs code"}`, "Content-Type",
		"text/plain;charset=UTF-8")
	if plain.status != 201 {
		t.Errorf("a body of text/plain: %s", plain)
	}
	by := h.do(t, "admin", "POST", "/users/alice/tokens", "").object(t)
	if note := fmt.Sprint(by["note"]); !strings.HasPrefix(note, "Requested via api by ") {
		t.Errorf("the note is %q", note)
	}
}

// TestPages follows a list to its end.
func TestPages(t *testing.T) {
	h := open(t)
	var names []string
	for i := range 5 {
		names = append(names, fmt.Sprintf("p%s%d", h.suffix, i))
	}
	body, _ := json.Marshal(map[string]any{"usernames": names})
	if a := h.do(t, "admin", "POST", "/users", string(body)); a.status != 201 || len(a.array(t)) != 5 {
		t.Fatal(a)
	}
	defer func() {
		for _, n := range names {
			h.do(t, "admin", "DELETE", "/users/"+n, "")
		}
	}()
	const accept = "application/jupyterhub-pagination+json"
	filter := "/users?name_filter=p" + h.suffix
	if plain := h.do(t, "admin", "GET", filter+"&limit=2", "").array(t); len(plain) != 2 {
		t.Errorf("without the header there are %d", len(plain))
	}
	var seen []string
	for path, n := filter+"&limit=2&sort=-name&state=inactive", 0; path != ""; n++ {
		m := h.do(t, "admin", "GET", path, "", "Accept", accept).object(t)
		h.keys(t, m, "items _pagination")
		for _, u := range m["items"].([]any) {
			seen = append(seen, u.(map[string]any)["name"].(string))
		}
		p := m["_pagination"].(map[string]any)
		h.keys(t, p, "offset limit total next")
		if p["total"] != 5.0 || p["limit"] != 2.0 || p["offset"] != float64(2*n) {
			t.Errorf("page %d is %v", n, p)
		}
		path = ""
		if next, ok := p["next"].(map[string]any); ok {
			h.keys(t, next, "offset limit url")
			path = next["url"].(string)
			if !strings.HasPrefix(path, h.url) {
				t.Fatalf("the next page is at %s, not at %s", path, h.url)
			}
		}
	}
	slices.Reverse(names)
	if !slices.Equal(seen, names) {
		t.Errorf("the pages hold %v, want %v", seen, names)
	}
	slices.Reverse(names)
	for sort, want := range map[string][]string{"id": names, "name": names} {
		var got []string
		for _, u := range h.do(t, "admin", "GET", filter+"&sort="+sort, "").array(t) {
			got = append(got, u["name"].(string))
		}
		if !slices.Equal(got, want) {
			t.Errorf("by %s: %v", sort, got)
		}
	}
	for _, list := range []string{"/groups", "/shares/alice", "/share-codes/alice", "/users/alice/shared", "/proxy"} {
		m := h.do(t, "admin", "GET", list, "", "Accept", accept).object(t)
		if m["_pagination"] == nil {
			t.Errorf("%s has no pages: %v", list, m)
		}
	}
}

// TestServer starts, shows, follows and stops the default server.
func TestServer(t *testing.T) {
	h := open(t)
	h.do(t, "alice", "DELETE", "/users/alice/server", "")
	h.stopped(t, "alice", "")
	if a := h.do(t, "bob", "POST", "/users/alice/server", ""); a.status != 404 {
		t.Errorf("bob starts it: %s", a)
	}
	if a := h.do(t, "limited", "POST", "/users/alice/server", ""); a.status != 403 {
		t.Errorf("the limited service starts it: %s", a)
	}
	if a := h.do(t, "alice", "POST", "/users/alice/server", ""); a.status != 201 && a.status != 202 {
		t.Fatalf("start: %s", a)
	}
	h.ready(t, "alice", "")
	if a := h.do(t, "alice", "POST", "/users/alice/server", ""); a.status != 400 {
		t.Errorf("start again: %s", a)
	}
	m := h.do(t, "alice", "GET", "/users/alice", "").object(t)
	s := m["servers"].(map[string]any)[""].(map[string]any)
	h.keys(t, s, serverKeys)
	if m["server"] != "/user/alice/" || s["url"] != "/user/alice/" || s["full_name"] != "alice/" ||
		s["ready"] != true || s["stopped"] != false || s["pending"] != nil ||
		s["progress_url"] != "/hub/api/users/alice/server/progress" {
		t.Errorf("the server is %v", s)
	}
	admin := h.do(t, "admin", "GET", "/users/alice", "").object(t)["servers"].(map[string]any)[""].(map[string]any)
	h.keys(t, admin, serverKeys+" state")
	progress := h.do(t, "alice", "GET", "/users/alice/server/progress", "")
	event := lastEvent(t, progress)
	if event["progress"] != 100.0 || event["ready"] != true || event["url"] != "/user/alice/" ||
		event["message"] != "Server ready at /user/alice/" ||
		event["html_message"] != `Server ready at <a href="/user/alice/">/user/alice/</a>` {
		t.Errorf("the last event is %v", event)
	}
	for state, want := range map[string]bool{"active": true, "ready": true, "inactive": false} {
		list := h.do(t, "admin", "GET", "/users?name_filter=alice&state="+state, "").array(t)
		if got := slices.ContainsFunc(list, func(u map[string]any) bool { return u["name"] == "alice" }); got != want {
			t.Errorf("state %s shows alice: %v", state, got)
		}
	}
	if routes := h.do(t, "admin", "GET", "/proxy", "").object(t); routes["/user/alice/"] == nil {
		t.Errorf("the routes are %v", routes)
	}
	if a := h.do(t, "alice", "DELETE", "/users/alice/server", `{"remove":true}`); a.status != 400 {
		t.Errorf("removing the default server: %s", a)
	}
	if a := h.do(t, "alice", "DELETE", "/users/alice/server", ""); a.status != 204 && a.status != 202 {
		t.Errorf("stop: %s", a)
	}
	h.stopped(t, "alice", "")
	if a := h.do(t, "alice", "DELETE", "/users/alice/server", ""); a.status != 204 {
		t.Errorf("stop again: %s", a)
	}
	if a := h.do(t, "alice", "GET", "/users/alice/server/progress", ""); a.status != 400 {
		t.Errorf("progress of a stopped server: %s", a)
	}
	stopped := h.do(t, "alice", "GET", "/users/alice?include_stopped_servers", "").object(t)["servers"].(map[string]any)
	if s, _ := stopped[""].(map[string]any); s["stopped"] != true || s["ready"] != false {
		t.Errorf("the stopped server is %v", stopped)
	}
}

// lastEvent checks the form of a stream of events and returns the last.
func lastEvent(t *testing.T, a answer) map[string]any {
	t.Helper()
	if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") ||
		a.header.Get("Cache-Control") != "no-cache" {
		t.Errorf("Content-Type %q, Cache-Control %q", kind, a.header.Get("Cache-Control"))
	}
	var last map[string]any
	for _, line := range strings.Split(a.body, "\n") {
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			if line != "" {
				t.Errorf("a line of the stream is %q", line)
			}
			continue
		}
		last = nil
		if err := json.Unmarshal([]byte(data), &last); err != nil {
			t.Errorf("an event is %q", data)
		}
	}
	return last
}

// TestNamedServer starts and removes a named server.
func TestNamedServer(t *testing.T) {
	h := open(t)
	name := "n" + h.suffix
	path := "/users/alice/servers/" + name
	if a := h.do(t, "alice", "DELETE", path, ""); a.status != 404 {
		t.Errorf("stopping an unknown one: %s", a)
	}
	if a := h.do(t, "alice", "GET", path+"/progress", ""); a.status != 404 {
		t.Errorf("progress of an unknown one: %s", a)
	}
	if a := h.do(t, "alice", "POST", path, `{"conformance":"x"}`); a.status != 201 && a.status != 202 {
		t.Fatalf("start: %s", a)
	}
	h.ready(t, "alice", name)
	s := h.do(t, "alice", "GET", "/users/alice", "").object(t)["servers"].(map[string]any)[name].(map[string]any)
	h.keys(t, s, serverKeys)
	if s["url"] != "/user/alice/"+name+"/" || s["progress_url"] != "/hub/api/users/alice/servers/"+name+"/progress" ||
		s["name"] != name {
		t.Errorf("the server is %v", s)
	}
	if e := lastEvent(t, h.do(t, "alice", "GET", path+"/progress", "")); e["url"] != "/user/alice/"+name+"/" {
		t.Errorf("the last event is %v", e)
	}
	if a := h.do(t, "alice", "DELETE", path, ""); a.status != 204 && a.status != 202 {
		t.Errorf("stop: %s", a)
	}
	h.stopped(t, "alice", name)
	known := func() bool {
		servers := h.do(t, "alice", "GET", "/users/alice?include_stopped_servers=1",
			"").object(t)["servers"].(map[string]any)
		s, ok := servers[name].(map[string]any)
		return ok && s["user_options"].(map[string]any)["conformance"] == "x"
	}
	if !known() {
		t.Error("the stopped server and its options are forgotten")
	}
	if a := h.do(t, "alice", "DELETE", path, `{"remove":true}`); a.status != 204 && a.status != 202 {
		t.Errorf("remove: %s", a)
	}
	h.until(t, name+" is removed", func() bool { return !known() })
}

// TestShares shares alice's server with bob and takes it back.
func TestShares(t *testing.T) {
	h := open(t)
	h.start(t, "alice") // JupyterHub shares only servers that were started once
	defer h.do(t, "alice", "DELETE", "/users/alice/server", "")
	if a := h.do(t, "alice", "POST", "/shares/alice/", `{"user":"bob"}`); a.status != 403 {
		t.Errorf("alice shares without the scope: %s", a)
	}
	for name, body := range map[string]string{"nobody": `{}`, "two": `{"user":"bob","group":"x"}`,
		"unknown user":      `{"user":"x` + h.suffix + `"}`,
		"unknown group":     `{"group":"x` + h.suffix + `"}`,
		"a scope elsewhere": `{"user":"bob","scopes":["access:servers!server=bob/"]}`,
		"unknown key":       `{"user":"bob","x":1}`} {
		if a := h.do(t, "admin", "POST", "/shares/alice/", body); a.status != 400 {
			t.Errorf("%s: %s", name, a)
		}
	}
	// JupyterHub 5.2 answers 500 to a scope that there is not.
	if a := h.do(t, "admin", "POST", "/shares/alice/", `{"user":"bob","scopes":["nonsense"]}`); a.status != 400 &&
		(h.ours || a.status != 500) {
		t.Errorf("unknown scope: %s", a)
	}
	if a := h.do(t, "admin", "POST", "/shares/alice/x"+h.suffix, `{"user":"bob"}`); a.status != 404 {
		t.Errorf("unknown server: %s", a)
	}
	m := h.do(t, "admin", "POST", "/shares/alice/", `{"user":"bob"}`).object(t)
	h.keys(t, m, shareKeys)
	h.keys(t, m["server"].(map[string]any), "user name url full_url ready")
	if fmt.Sprint(m["scopes"]) != "[access:servers!server=alice/]" || m["kind"] != "user" || m["group"] != nil {
		t.Errorf("the share is %v", m)
	}
	if got := scopes(t, h.do(t, "bob", "GET", "/user", "")); !slices.Contains(got, "access:servers!server=alice/") {
		t.Errorf("bob's scopes are %v", got)
	}
	for _, list := range []string{"/shares/alice", "/shares/alice/", "/users/bob/shared"} {
		if items := h.do(t, "admin", "GET", list, "").object(t)["items"].([]any); len(items) != 1 {
			t.Errorf("%s holds %v", list, items)
		}
	}
	if a := h.do(t, "bob", "GET", "/users/bob/shared/alice/", ""); a.status != 200 {
		t.Errorf("bob reads the share: %s", a)
	}
	more := h.do(t, "admin", "POST", "/shares/alice/", `{"user":"bob","scopes":["read:servers"]}`).object(t)
	if len(more["scopes"].([]any)) != 2 {
		t.Errorf("with more scopes it is %v", more)
	}
	less := h.do(t, "admin", "PATCH", "/shares/alice/",
		`{"user":"bob","scopes":["read:servers!server=alice/"]}`).object(t)
	if fmt.Sprint(less["scopes"]) != "[access:servers!server=alice/]" {
		t.Errorf("with less scopes it is %v", less)
	}
	if a := h.do(t, "admin", "PATCH", "/shares/alice/", `{"user":"bob"}`); a.status != 200 || len(a.object(t)) != 0 {
		t.Errorf("revoked: %s", a)
	}
	if got := scopes(t, h.do(t, "bob", "GET", "/user", "")); slices.Contains(got, "access:servers!server=alice/") {
		t.Errorf("bob's scopes are still %v", got)
	}
	h.do(t, "admin", "POST", "/shares/alice/", `{"user":"bob"}`)
	if a := h.do(t, "bob", "DELETE", "/users/bob/shared/alice/", ""); a.status != http.StatusNoContent {
		t.Errorf("bob leaves: %s", a)
	}
	h.do(t, "admin", "POST", "/shares/alice/", `{"user":"bob"}`)
	if a := h.do(t, "admin", "DELETE", "/shares/alice/", ""); a.status != http.StatusNoContent {
		t.Errorf("all revoked: %s", a)
	}
	if a := h.do(t, "bob", "GET", "/users/bob/shared/alice/", ""); a.status != 404 {
		t.Errorf("after that: %s", a)
	}
}

// TestShareCodes makes and revokes codes.
func TestShareCodes(t *testing.T) {
	h := open(t)
	h.start(t, "alice")
	defer h.do(t, "alice", "DELETE", "/users/alice/server", "")
	for _, body := range []string{`{"expires_in":59}`, `{"expires_in":31536001}`, `{"expires_in":"x"}`, `{"x":1}`} {
		if a := h.do(t, "admin", "POST", "/share-codes/alice/", body); a.status != 400 {
			t.Errorf("%s: %s", body, a)
		}
	}
	m := h.do(t, "admin", "POST", "/share-codes/alice/", `{"expires_in":60}`).object(t)
	h.keys(t, m, codeKeys+" code accept_url full_accept_url")
	if !strings.HasPrefix(fmt.Sprint(m["accept_url"]), "/hub/accept-share?code=") ||
		!strings.HasPrefix(fmt.Sprint(m["id"]), "sc_") {
		t.Errorf("the code is %v", m)
	}
	items := h.do(t, "admin", "GET", "/share-codes/alice/", "").object(t)["items"].([]any)
	if len(items) != 1 {
		t.Fatalf("the list is %v", items)
	}
	h.keys(t, items[0].(map[string]any), codeKeys)
	for path, want := range map[string]int{"?id=nonsense": 404, "?id=sc_999999": 404, "?code=nonsense": 404,
		"?id=" + fmt.Sprint(m["id"]): 204} {
		if a := h.do(t, "admin", "DELETE", "/share-codes/alice/"+path, ""); a.status != want {
			t.Errorf("%s: %s", path, a)
		}
	}
	again := h.do(t, "admin", "POST", "/share-codes/alice/", "").object(t)
	if a := h.do(t, "admin", "DELETE", "/share-codes/alice/?code="+fmt.Sprint(again["code"]), ""); a.status != 204 {
		t.Errorf("by the code: %s", a)
	}
	if a := h.do(t, "admin", "DELETE", "/share-codes/alice/", ""); a.status != 204 {
		t.Errorf("all: %s", a)
	}
}

// TestOAuthWithoutBrowser asks the token end point what needs no browser.
func TestOAuthWithoutBrowser(t *testing.T) {
	h := open(t)
	for name, tt := range map[string]struct{ form, want string }{
		"unknown client": {"grant_type=authorization_code&client_id=nonsense&client_secret=x&code=y&redirect_uri=/z",
			"invalid_client"},
		"wrong secret": {"grant_type=authorization_code&client_id=service-limited&client_secret=x&code=y" +
			"&redirect_uri=/services/limited/oauth_callback", "invalid_client"},
		"wrong grant": {"grant_type=password&client_id=service-limited&client_secret=" + h.tokens["limited"],
			"unsupported_grant_type"},
		"wrong code": {"grant_type=authorization_code&client_id=service-limited&client_secret=" +
			h.tokens["limited"] + "&code=y&redirect_uri=/services/limited/oauth_callback", "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			a := h.do(t, "none", "POST", "/oauth2/token", tt.form, "Content-Type", "application/x-www-form-urlencoded")
			if a.status != 400 && a.status != 401 || a.object(t)["error"] != tt.want {
				t.Errorf("got %d %s, want %s", a.status, a, tt.want)
			}
		})
	}
}
