//go:build conformance

package conformance

import (
	"strings"
	"testing"
)

// row is one request and the status that answers it. NAME in a path or body stands for a
// name of this run alone.
type row struct {
	as, request string // "admin", "GET /users"
	body        string
	want        int
	onlyOurs    string // why JupyterHub 5.2 answers otherwise; then only gifford-hub is asked
	ours        int    // where gifford-hub answers otherwise; docs/compatibility.md says why
}

// statuses are the rows of the API's table: success, no credentials, no scope, hidden by a
// filter, unknown, bad body. They run in order and undo what they do.
var statuses = []row{
	{"none", "GET ", "", 200, "", 0}, {"none", "GET /", "", 200, "", 0}, {"none", "GET /nonsense", "", 404, "", 0},
	{"none", "GET /info", "", 403, "", 0}, {"alice", "GET /info", "", 403, "", 0},
	{"admin", "GET /info", "", 200, "", 0},
	{"none", "GET /user", "", 403, "", 0}, {"wrong", "GET /user", "", 403, "", 0},
	{"alice", "GET /user", "", 200, "", 0}, {"admin", "GET /user", "", 200, "", 0},
	{"none", "POST /user", "", 405, "", 0},
	{"none", "GET /users", "", 403, "", 0}, {"alice", "GET /users", "", 403, "", 0},
	{"admin", "GET /users", "", 200, "", 0}, {"limited", "GET /users", "", 200, "", 0},
	{"admin", "GET /users?state=nonsense", "", 400, "", 0}, {"admin", "GET /users?sort=nonsense", "", 400, "", 0},
	{"admin", "GET /users?limit=x", "", 400, "", 0}, {"admin", "GET /users?offset=x", "", 400, "", 0},
	{"none", "POST /users", `{"usernames":["NAME"]}`, 403, "", 0},
	{"alice", "POST /users", `{"usernames":["NAME"]}`, 403, "", 0},
	{"admin", "POST /users", `{"usernames":["NAME"]}`, 201, "", 0},
	{"admin", "POST /users", `{"usernames":["NAME"]}`, 409, "", 0}, {"admin", "POST /users", `{}`, 400, "", 0},
	{"admin", "POST /users", `{"usernames":["a/b"]}`, 400, "", 0},
	{"admin", "POST /users", `{`, 400, "", 0}, {"admin", "POST /users", `["x"]`, 400, "", 0},
	{"admin", "POST /users", `{"usernames":["x"],"nonsense":1}`, 400, "", 0},
	{"none", "GET /users/NAME", "", 403, "", 0}, {"alice", "GET /users/NAME", "", 404, "", 0},
	{"limited", "GET /users/NAME", "", 200, "", 0}, {"admin", "GET /users/NAME", "", 200, "", 0},
	{"admin", "GET /users/NAMEx", "", 404, "", 0},
	{"alice", "GET /users/alice", "", 200, "", 0}, {"alice", "GET /users/alice?include_stopped_servers", "", 200, "",
		0}, {"alice", "GET /users/bob", "", 404, "", 0},
	{"admin", "POST /users/NAME", "", 409, "", 0}, {"alice", "POST /users/NAME", "", 403, "", 0},
	{"admin", "POST /users/NAMEy", "", 201, "", 0}, {"admin", "POST /users/NAMEz", `{"admin":"yes"}`, 400, "", 0},
	{"alice", "PATCH /users/NAME", `{"admin":true}`, 403, "", 0},
	{"admin", "PATCH /users/NAME", `{"admin":true}`, 200, "", 0},
	{"admin", "PATCH /users/NAME", `{"nonsense":1}`, 400, "", 0},
	{"admin", "PATCH /users/NAMEx", `{"admin":true}`, 404, "", 0},
	{"admin", "PATCH /users/NAME", `{"name":"alice"}`, 400, "", 0},
	{"none", "DELETE /users/NAME", "", 403, "", 0}, {"alice", "DELETE /users/NAME", "", 403, "", 0},
	{"limited", "DELETE /users/NAME", "", 403, "", 0}, {"admin", "DELETE /users/NAME", "", 204, "", 0},
	{"admin", "DELETE /users/NAMEy", "", 204, "", 0}, {"admin", "DELETE /users/NAME", "", 404, "", 0},

	{"none", "POST /users/alice/activity", `{"last_activity":"2020-01-01T00:00:00Z"}`, 403, "", 0},
	{"bob", "POST /users/alice/activity", `{"last_activity":"2020-01-01T00:00:00Z"}`, 404, "", 0},
	{"alice", "POST /users/alice/activity", `{"last_activity":"2020-01-01T00:00:00Z"}`, 200, "", 0},
	{"alice", "POST /users/alice/activity", `{"last_activity":"2020-01-01T00:00:00"}`, 200, "", 0},
	{"alice", "POST /users/alice/activity", `{}`, 400, "", 0},
	{"alice", "POST /users/alice/activity", `{"last_activity":"yesterday"}`, 400, "", 0},
	{"alice", "POST /users/alice/activity", `{"last_activity":"2999-01-01T00:00:00Z"}`, 400, "", 0},
	{"alice", "POST /users/alice/activity", `{"servers":{"nonsense-NAME":{"last_activity":"2020-01-01T00:00:00Z"}}}`,
		400, "", 0}, {"alice", "POST /users/alice/activity", `{"servers":[]}`, 400, "", 0},
	{"alice", "POST /users/alice/activity", `["x"]`, 400, "", 0},
	{"admin", "POST /users/NAMEx/activity", `{"last_activity":"2020-01-01T00:00:00Z"}`, 404, "", 0},

	{"none", "GET /users/alice/tokens", "", 403, "", 0}, {"bob", "GET /users/alice/tokens", "", 404, "", 0},
	{"limited", "GET /users/alice/tokens", "", 403, "", 0}, {"alice", "GET /users/alice/tokens", "", 200, "", 0},
	{"admin", "GET /users/NAMEx/tokens", "", 404, "", 0},
	{"none", "POST /users/alice/tokens", "", 403, "", 0}, {"bob", "POST /users/alice/tokens", "", 403, "", 0},
	{"limited", "POST /users/alice/tokens", "", 403, "", 0}, {"alice", "POST /users/alice/tokens", "", 201, "", 0},
	{"alice", "POST /users/alice/tokens", `{"expires_in":"x"}`, 400, "", 0},
	{"alice", "POST /users/alice/tokens", `{"scopes":"self"}`, 400, "", 0},
	{"alice", "POST /users/alice/tokens", `{"scopes":["nonsense"]}`, 400, "", 0},
	{"alice", "POST /users/alice/tokens", `{"scopes":["admin:users"]}`, 400, "", 0},
	{"alice", "POST /users/alice/tokens", `{"roles":["admin"]}`, 400, "", 0},
	{"alice", "POST /users/alice/tokens", `{"roles":["user"]}`, 201, "", 0},
	{"alice", "POST /users/alice/tokens", `{"roles":["nonsense"]}`, 400, "", 0},
	{"alice", "POST /users/alice/tokens", `["x"]`, 400, "", 0},
	{"none", "POST /users/alice/tokens", `{"auth":{"username":"alice","password":"nonsense"}}`, 403,
		"JupyterHub's DummyAuthenticator takes any password", 0},
	{"alice", "GET /users/alice/tokens/a999999", "", 404, "", 0},
	{"alice", "GET /users/alice/tokens/nonsense", "", 404, "", 0},
	{"alice", "DELETE /users/alice/tokens/a999999", "", 404, "", 0},
	{"bob", "DELETE /users/alice/tokens/a1", "", 404, "", 0},

	{"none", "GET /groups", "", 403, "", 0}, {"alice", "GET /groups", "", 403, "", 0},
	{"limited", "GET /groups", "", 403, "", 0}, {"admin", "GET /groups", "", 200, "", 0},
	{"alice", "POST /groups", `{"groups":["g-NAME"]}`, 403, "", 0}, {"admin", "POST /groups", `{}`, 400, "", 0},
	{"admin", "POST /groups", `{"groups":["g-NAME"],"users":["alice"]}`, 201, "", 0},
	{"admin", "POST /groups", `{"groups":["g-NAME"]}`, 409, "", 0},
	{"admin", "POST /groups/h-NAME", `{"users":["NAMEx"]}`, 400, "", 0},
	{"admin", "POST /groups/h-NAME", "", 201, "", 0}, {"admin", "POST /groups/h-NAME", "", 409, "", 0},
	{"alice", "GET /groups/h-NAME", "", 403, "", 0}, {"admin", "GET /groups/h-NAME", "", 200, "", 0},
	{"admin", "GET /groups/NAMEx", "", 404, "", 0},
	{"admin", "POST /groups/h-NAME/users", `{"users":["alice","bob"]}`, 200, "", 0},
	{"admin", "POST /groups/h-NAME/users", `{}`, 400, "", 0},
	{"admin", "POST /groups/h-NAME/users", `{"users":["NAMEx"]}`, 400, "", 0},
	{"alice", "POST /groups/h-NAME/users", `{"users":["bob"]}`, 403, "", 0},
	{"admin", "POST /groups/NAMEx/users", `{"users":["alice"]}`, 404, "", 0},
	{"admin", "DELETE /groups/h-NAME/users", `{"users":["bob"]}`, 200, "", 0},
	{"admin", "DELETE /groups/h-NAME/users", `{}`, 400, "", 0},
	{"admin", "PUT /groups/h-NAME/properties", `{"a":1}`, 200, "", 0},
	{"admin", "PUT /groups/h-NAME/properties", `["a"]`, 400, "", 0},
	{"admin", "PUT /groups/NAMEx/properties", `{"a":1}`, 404, "", 0},
	{"alice", "PUT /groups/h-NAME/properties", `{"a":1}`, 403, "", 0},
	{"admin", "GET /groups/h-NAME/shared", "", 200, "", 0}, {"admin", "GET /groups/NAMEx/shared", "", 404, "", 0},
	{"admin", "GET /groups/h-NAME/shared/alice/", "", 404, "", 0},
	{"admin", "DELETE /groups/h-NAME/shared/alice/", "", 404, "", 0},
	{"alice", "DELETE /groups/h-NAME", "", 403, "", 0}, {"admin", "DELETE /groups/h-NAME", "", 204, "", 0},
	{"admin", "DELETE /groups/g-NAME", "", 204, "", 0}, {"admin", "DELETE /groups/h-NAME", "", 404, "", 0},

	{"none", "GET /services", "", 403, "", 0}, {"alice", "GET /services", "", 403, "", 0},
	{"admin", "GET /services", "", 200, "", 0}, {"admin", "GET /services/limited", "", 200, "", 0},
	{"admin", "GET /services/NAMEx", "", 404, "", 0}, {"alice", "GET /services/limited", "", 403, "", 0},
	{"alice", "POST /services/s-NAME", `{}`, 403, "", 0}, {"admin", "POST /services/s-NAME", `{"info":{"a":"b"}}`, 201,
		"", 0}, {"admin", "POST /services/s-NAME", `{"info":{}}`, 409, "", 0},
	{"admin", "POST /services/t-NAME", `{"nonsense":1}`, 400, "", 0},
	{"admin", "POST /services/t-NAME", `{"command":["x"]}`, 400, "", 0},
	{"admin", "DELETE /services/limited", "", 405, "", 0}, {"admin", "DELETE /services/s-NAME", "", 200, "", 0},
	{"admin", "DELETE /services/s-NAME", "", 404, "", 0},

	{"none", "GET /proxy", "", 403, "", 0}, {"alice", "GET /proxy", "", 403, "", 0},
	{"admin", "GET /proxy", "", 200, "", 0}, {"admin", "POST /proxy", "", 200, "", 0},
	{"admin", "PATCH /proxy", "", 400, "", 0}, {"admin", "PATCH /proxy", `["x"]`, 400, "", 0},
	{"none", "POST /shutdown", "", 403, "", 0}, {"alice", "POST /shutdown", "", 403, "", 0},
	{"admin", "POST /shutdown", `{"servers":"nonsense"}`, 400, "", 0},

	{"none", "GET /shares/alice", "", 403, "", 0}, {"bob", "GET /shares/alice", "", 404, "", 0},
	{"alice", "GET /shares/alice", "", 200, "", 0}, {"admin", "GET /shares/NAMEx", "", 404, "", 0},
	{"admin", "POST /shares/alice", `{"user":"bob"}`, 405, "", 0},
	{"admin", "GET /share-codes/NAMEx", "", 404, "", 0}, {"alice", "GET /share-codes/alice", "", 200, "", 0},
	{"bob", "GET /share-codes/alice", "", 404, "", 0}, {"admin", "POST /share-codes/alice", "", 405, "", 0},
	{"alice", "GET /users/alice/shared", "", 200, "", 0}, {"bob", "GET /users/alice/shared", "", 404, "", 0},
	{"admin", "GET /users/NAMEx/shared", "", 404, "", 0}, {"alice", "GET /users/alice/shared/bob/", "", 404, "", 0},
	{"alice", "DELETE /users/alice/shared/bob/", "", 404, "", 0},

	{"none", "OPTIONS /users", "", 200, "", 0},
	{"none", "POST /authorizations/token", "", 404, "", 405},
	{"none", "GET /oauth2/authorize?client_id=nonsense&response_type=code&redirect_uri=/x", "", 302, "", 400},
	{"none", "POST /oauth2/token", "", 400, "", 401},
}

func TestStatuses(t *testing.T) {
	h := open(t)
	name := "c" + h.suffix
	for _, r := range statuses {
		t.Run(r.as+" "+r.request+" "+r.body, func(t *testing.T) {
			want := r.want
			if h.ours && r.ours != 0 {
				want = r.ours
			}
			if !h.ours && r.onlyOurs != "" {
				t.Logf("not asked of JupyterHub: %s", r.onlyOurs)
				return
			}
			method, path, _ := strings.Cut(strings.ReplaceAll(r.request, "NAME", name), " ")
			a := h.do(t, r.as, method, path, strings.ReplaceAll(r.body, "NAME", name))
			if a.status != want {
				t.Fatalf("status %d, want %d: %s", a.status, want, a)
			}
			if a.header.Get("X-JupyterHub-Version") == "" && path != "/nonsense" {
				t.Error("the header X-JupyterHub-Version is missing")
			}
			if want >= 400 && !strings.HasPrefix(path, "/oauth2/") && method != "OPTIONS" {
				e := a.object(t)
				if e["status"] != float64(a.status) || e["message"] == "" || e["message"] == nil {
					t.Errorf("the error body is %s", a.body)
				}
			}
		})
	}
}
