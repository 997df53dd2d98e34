package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestRefusals has JupyterHub's status and words for each refusal that a request can meet.
func TestRefusals(t *testing.T) {
	const limited, all = "Authorization token service-token-of-limited", "Authorization token service-token-of-all"
	tests := []struct {
		caller, request, body string
		status                int
		message               string
	}{
		{"alice", "POST /users/alice/servers/y", "", 400, "User alice already has the maximum of 1 named servers. " +
			"One must be deleted before a new server can be created"},
		{"alice", "PUT /users/alice/servers/y", "", 400, "User alice already has the maximum of 1 named servers. One " +
			"must be deleted before a new server can be created"},
		{"alice", "PUT /users/alice/servers/x", "", 409, "User alice already has server x"},
		{"alice", "PUT /users/alice/server", "", 409, "User alice already has a default server"},
		{"alice", "PUT /users/alice/servers/y", `{"display_name":1}`, 400, "display_name must be a string"},
		{"alice", "PUT /users/alice/servers/y", `{"user_options":1}`, 400, "user_options must be an object or null"},
		{"alice", "POST /users/alice/servers/run", "", 400, "alice:run is already running"},
		{"alice", "POST /users/alice/servers/stopping", "", 400, "alice:stopping is pending stop"},
		{"alice", "POST /users/alice/servers/x", `{"profile":1}`, 400, "user_options.profile must be a string"},
		{"alice", "PATCH /users/alice/servers/y", `{"display_name":"Y"}`, 404, "User alice has no such server y"},
		{"alice", "PATCH /users/alice/servers/x", `{}`, 400, "Must specify at least one field to modify."},
		{"alice", "PATCH /users/alice/servers/run", `{"display_name":"Y"}`, 400,
			"alice:run is active. Please stop it before modifying it."},
		{"alice", "PATCH /users/alice/servers/x", `{"name":""}`, 400,
			"the default server of user alice has no name and keeps none"},
		{"alice", "PATCH /users/alice/servers/x", `{"name":"../y"}`, 400, "cannot use server name"},
		{"alice", "PATCH /users/alice/servers/x", `{"name":"run"}`, 409, "User alice already has server 'run'"},
		{"alice", "PATCH /users/alice/servers/x", `{"name":"kept"}`, 409, "a persistent container exists of server " +
			"alice:kept and cannot get another name: reset the server first"},
		{"alice", "DELETE /users/alice/server", `{"remove":true}`, 400, "Cannot delete the default server"},
		{"alice", "DELETE /users/alice/servers/y", "", 404, "alice has no server named 'y'"},
		{"alice", "DELETE /users/alice/servers/y", `{"remove":true}`, 404, "alice has no server named 'y'"},
		{"dora", "POST /users/nobody/server", "", 404, "No such user: nobody"},

		{all, "POST /users", `{"usernames":["../x","eve"]}`, 400, "Invalid username: ../x"},
		{all, "POST /users", `{"usernames":["../x","-"]}`, 400, "Invalid usernames: ../x, -"},
		{all, "POST /users", `{"usernames":["alice","bob"]}`, 409, "All 2 users already exist"},
		{all, "POST /users/alice", "", 409, "User alice already exists"},
		{limited, "PATCH /users/dora", `{"admin":false}`, 403, "Action is not authorized"},
		{"dora", "PATCH /users/dora", `{"name":"eve"}`, 400, "cannot rename user dora"},
		{"dora", "DELETE /users/dora", "", 400, "Cannot delete yourself!"},
		{"dora", "DELETE /users/alice", "", 400, "alice's server is in the process of stopping, please wait."},

		{"dora", "POST /groups/new", `{"users":["nobody"]}`, 400, "No such user: nobody"},
		{"dora", "POST /groups/new", `{"users":["../x"]}`, 400, "No such user: ../x"},
		{"dora", "POST /groups", `{"groups":["new","lab"]}`, 409, "Group lab already exists"},
		{"dora", "POST /groups", `{"groups":["\u0007"]}`, 400, "cannot use group name"},
		{"dora", "DELETE /groups/none", "", 404, "No such group: none"},
		{"dora", "POST /groups/none/users", `{"users":["alice"]}`, 404, "No such group: none"},
		{"dora", "POST /groups/lab/users", `{}`, 400, "Must specify users to add"},
		{"dora", "DELETE /groups/lab/users", `{}`, 400, "Must specify users to delete"},
		{"dora", "PUT /groups/none/properties", `{}`, 404, "No such group: none"},

		{"dora", "POST /shares/alice/x", `{"user":"nobody"}`, 400, "No such user: nobody"},
		{"dora", "POST /shares/alice/x", `{"group":"none"}`, 400, "No such group: none"},
		{"dora", "POST /shares/alice/x", `{"user":"bob","group":"lab"}`, 400,
			"Expected exactly one of `user` or `group`, not both."},
		{"dora", "POST /shares/alice/y", `{"user":"bob"}`, 404, "No such server: alice/y"},
		{"dora", "POST /shares/nobody/", `{"user":"bob"}`, 404, "No such server: nobody/"},
		{"dora", "POST /shares/alice/x", `{"user":"bob","scopes":["access:servers!server=alice/"]}`, 400,
			"!server=alice/ filter not allowed on sharing access:servers, only !server=alice/x"},
		{"dora", "POST /shares/alice/x", `{"user":"../x"}`, 403,
			"Need scope 'read:users:name' to share with users by name"},
		{"dora", "POST /share-codes/alice/x", `{"expires_in":59}`, 400,
			"expires_in must be 60 to 31536000 seconds, not 59"},
		{"dora", "DELETE /share-codes/alice/x?id=sc_7", "", 404, "No matching code found"},
		{"dora", "DELETE /share-codes/alice/x?id=7", "", 404, "No code found matching id=7"},

		{"alice", "POST /users/alice/tokens", `{"expires_in":-1}`, 400, "token expires_in: -1 lies in the past"},
		{"alice", "POST /users/alice/tokens", `{"roles":["none"]}`, 400, "No such role: none"},
		{"bob", "POST /users/alice/tokens", `{}`, 403, "User alice not found or no permissions to generate tokens"},
		{limited, "POST /users/alice/tokens", `{}`, 403, "Service alice not found or no permissions to generate " +
			"tokens"},
		{"dora", "POST /users/nobody/tokens", `{}`, 403, "User nobody not found or no permissions to generate tokens"},

		{"dora", "POST /services/new", `{"command":["x"]}`, 400, "Can not create managed service new at runtime"},
		{"dora", "POST /services/new", `{"api_token":"short"}`, 400, "api_token must be at least 8 characters long"},
		{"dora", "POST /services/new", `{"url":"ftp://x"}`, 400,
			`Failed to create service new: service "new": its url`},
		{"dora", "DELETE /services/all", "", 405, "Service all is not modifiable at runtime"},
		{"dora", "DELETE /services/none", "", 404, "Service none does not exist"},
		{"dora", "POST /shutdown", "", 403, "the hub cannot be shut down through the API"},

		{"alice", "POST /users/alice/activity", `{"servers":{"y":{"last_activity":"2026-11-23T02:36:22Z"}}}`, 400,
			"No such server 'y' for user alice"},
	}
	srv, f, db := serve(t)
	run, _ := ident.ParseKey("alice", "run")
	if err := db.UpsertServer(t.Context(), store.Server{Key: run}); err != nil {
		t.Fatal(err)
	}
	x, _ := ident.ParseKey("alice", "x")
	if err := db.UpsertServer(t.Context(), store.Server{Key: x}); err != nil {
		t.Fatal(err)
	}
	f.states["alice:run"], f.states["alice:stopping"] = servers.Ready, servers.Stopping
	f.persistent = []string{"alice:kept"}
	for _, tt := range tests {
		method, path, _ := strings.Cut(tt.request, " ")
		header, value := "X-Test-User", tt.caller
		if name, rest, ok := strings.Cut(tt.caller, " "); ok {
			header, value = name, rest
		}
		status, text, _ := ask(t, srv, method, "/hub/api"+path, tt.body, header, value)
		var e errorBody
		if err := json.Unmarshal([]byte(text), &e); err != nil || status != tt.status ||
			!strings.HasPrefix(e.Message, tt.message) {
			t.Errorf("%s: %s %s: %d %q (%v); want %d %q", tt.caller, tt.request, tt.body, status, e.Message, err,
				tt.status,
				tt.message)
		}
	}
}

// TestWordsOfRefusals has those that no request of the table above meets, and the answer by kind to a reason that has
// no words here.
func TestWordsOfRefusals(t *testing.T) {
	for _, tt := range []struct {
		f       actions.Refusal
		status  int
		message string
	}{
		{actions.Refusal{Kind: actions.Hidden, Reason: actions.LacksScope}, 404,
			"No access to resources or resources not found"},
		{actions.Refusal{Kind: actions.Forbidden, Reason: actions.LacksScope, Scope: "s"}, 403,
			"Action is not authorized with current scopes; requires any of [s]"},
		{actions.Refusal{Kind: actions.Forbidden, Reason: actions.LacksScope, Scope: "read:groups:name"}, 403,
			"Need scope 'read:groups:name' to share with groups by name"},
		{actions.Refusal{Kind: actions.Forbidden, Reason: actions.AdminsOnly}, 403,
			"Only admins can grant admin permissions"},
		{actions.Refusal{Kind: actions.Forbidden, Reason: actions.AdminsOnly, Name: "dora"}, 403,
			"Only admins can modify other admins"},
		{actions.Refusal{Kind: actions.Invalid, Reason: actions.AdminsOnly, Field: "admin"}, 400,
			"only an administrator can make a service an administrator"},
		{actions.Refusal{Kind: actions.Forbidden, Reason: actions.MayNotEnter, Message: "m"}, 403, "m"},
		{actions.Refusal{Kind: actions.Forbidden, Reason: actions.ExceedsRights, Name: "s"}, 403,
			"Do not have permission to grant share with scope s"},
		{actions.Refusal{Kind: actions.Invalid, Reason: actions.ExceedsRights, Message: "m"}, 400, "m"},
		{actions.Refusal{Kind: actions.NotFound, Reason: actions.NamedServersOff}, 400,
			"Named servers are not enabled."},
		{actions.Refusal{Kind: actions.Conflict, Reason: actions.ServiceExists, Name: "s"}, 409,
			"Service s already exists"},
		{actions.Refusal{Kind: actions.NotFound, Message: "m"}, 404, "m"},
		{actions.Refusal{Kind: actions.Forbidden, Message: "m"}, 403, "m"},
		{actions.Refusal{Kind: actions.Conflict, Message: "m"}, 409, "m"},
		{actions.Refusal{Kind: actions.Limit, Message: "m"}, 400, "m"},
		{actions.Refusal{Kind: actions.Unavailable, Message: "m"}, 503, "m"},
	} {
		e := httpx.Public(inOurWords(fmt.Errorf("wrapped: %w", &tt.f)))
		if e.Status != tt.status || e.Public != tt.message {
			t.Errorf("%+v: %d %q; want %d %q", tt.f, e.Status, e.Public, tt.status, tt.message)
		}
	}
	other := errors.New("disk full")
	if got := inOurWords(other); got != other {
		t.Errorf("another error became %v", got)
	}
	if got := instead(other, httpx.Fail(http.StatusTeapot, "x"), ""); got != other {
		t.Errorf("another error became %v", got)
	}
}

// TestRemove sends {"remove": true}: the server goes with its persistent container, when it has stopped.
func TestRemove(t *testing.T) {
	srv, f, db := serve(t)
	remove := func() int {
		status, _, _ := ask(t, srv, "DELETE", "/hub/api/users/alice/servers/x", `{"remove":true}`, "X-Test-User",
			"alice")
		return status
	}
	if status, body, _ := ask(t, srv, "POST", "/hub/api/users/alice/servers/x", "", "X-Test-User",
		"alice"); status != 201 {
		t.Fatal(body)
	}
	if status := remove(); status != http.StatusNoContent {
		t.Errorf("status %d", status)
	}
	if status := remove(); status != http.StatusNotFound {
		t.Errorf("the second time: status %d", status)
	}
	if fmt.Sprint(f.resets) != "[alice:x]" {
		t.Errorf("reset %v", f.resets)
	}
	alice, _ := ident.ParseUser("alice")
	if all, err := db.ServersOf(t.Context(), alice); err != nil || len(all) > 0 {
		t.Errorf("saved %v, %v", all, err)
	}
}

// TestDatabaseFails checks that a database that does not answer is no 404, and tells the client nothing.
func TestDatabaseFails(t *testing.T) {
	for _, request := range []string{"GET /users/alice/servers/x", "POST /users/alice/server", "DELETE /users/alice",
		"POST /shares/alice/x", "DELETE /share-codes/alice/x", "GET /users/alice/servers/x/progress",
		"GET /users", "GET /users/alice/tokens", "DELETE /groups/lab", "POST /users/alice/activity"} {
		a, _, db := build(t)
		root := a.cfg.Access.(*access.Authenticator).Operator(t.Context())
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		method, path, _ := strings.Cut(request, " ")
		for _, rt := range routes() {
			values := match(rt.path, path)
			if rt.method != method || values == nil || rt.audience != scoped {
				continue
			}
			body := `{"user":"bob"}`
			if strings.HasSuffix(path, "activity") {
				body = `{"last_activity":"` + time.Now().UTC().Format(timeFormat) + `"}`
			}
			r, _ := http.NewRequestWithContext(t.Context(), method, "http://x"+path, strings.NewReader(body))
			for name, value := range values {
				r.SetPathValue(name, value)
			}
			err := inOurWords(rt.handler(a, root, discard{}, r))
			if e := httpx.Public(err); err == nil || e.Status != http.StatusInternalServerError {
				t.Errorf("%s: %v", request, err)
			}
		}
	}
}

// match returns the values of a pattern's wildcards, nil where a path does not fit.
func match(pattern, path string) map[string]string {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	values := map[string]string{}
	for i, part := range want {
		name, wild := strings.CutPrefix(strings.TrimSuffix(strings.TrimSuffix(part, "}"), "..."), "{")
		switch {
		case i >= len(got) || len(want) != len(got) || !wild && part != got[i]:
			return nil
		case wild:
			values[name] = got[i]
		}
	}
	return values
}

// discard is an answer that nobody reads.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}
