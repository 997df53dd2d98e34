package web

import (
	"database/sql"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/access/accesstest"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// signedIn is a browser whose rights were found out before.
type signedIn struct{ access.Subject }

func (s signedIn) Browser(*http.Request) (access.Subject, error) { return s.Subject, nil }

// lose takes a table from the database.
func (h *hub) lose(t *testing.T, table string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+h.path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), "ALTER TABLE "+table+" RENAME TO gone"); err != nil {
		t.Fatal(err)
	}
}

// TestDatabaseFails has each page and form without a table that it needs. The answer is an error page, and its cause is
// not on it.
func TestDatabaseFails(t *testing.T) {
	form := func(pairs ...string) url.Values {
		f := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			f.Set(pairs[i], pairs[i+1])
		}
		return f
	}
	tests := []struct {
		table, user, target string
		form                url.Values // nil: GET
	}{
		{"servers", "alice", "/hub/home", nil},
		{"shares", "alice", "/hub/home", nil},
		{"users", "alice", "/hub/spawn", nil},
		{"servers", "alice", "/hub/spawn/alice/y", nil},
		{"users", "gail", "/hub/spawn", form("profile", "gpu")},
		{"servers", "alice", "/hub/spawn-pending/alice/y", nil},
		{"servers", "alice", "/hub/user/alice/y/lab", nil},
		{"servers", "alice", "/hub/servers", form("name", "y")},
		{"servers", "alice", "/hub/delete/alice/x", form()},
		{"servers", "alice", "/hub/stop/alice/x", form()},
		{"servers", "alice", "/hub/reset/alice/x", nil},
		{"servers", "alice", "/hub/reset/alice/x", form()},
		{"servers", "alice", "/hub/keep/alice/x", form()},
		{"shares", "alice", "/hub/share/alice", nil},
		{"share_codes", "alice", "/hub/share/alice", nil},
		{"shares", "alice", "/hub/share/alice", form("do", "grant", "name", "gail")},
		{"shares", "alice", "/hub/share/alice", form("do", "revoke", "name", "gail")},
		{"share_codes", "alice", "/hub/share/alice", form("do", "link", "hours", "1")},
		{"share_codes", "alice", "/hub/share/alice", form("do", "revoke-link", "id", "1")},
		{"share_codes", "bob", "/hub/accept-share?code=x", nil},
		{"share_codes", "bob", "/hub/accept-share", form("code", "x")},
		{"users", "dora", "/hub/admin", nil},
		{"servers", "dora", "/hub/admin", nil},
		{"memberships", "dora", "/hub/admin", nil},
		{"users", "dora", "/hub/admin/users", form("names", "zoe")},
		{"users", "dora", "/hub/admin/mark", form("user", "carol", "admin", "1")},
		{"users", "dora", "/hub/admin/delete-user?user=gail", nil},
		{"users", "dora", "/hub/admin/delete-user", form("user", "gail")},
		{"user_groups", "dora", "/hub/admin/groups", nil},
		{"user_groups", "dora", "/hub/admin/groups", form("group", "new")},
		{"user_groups", "dora", "/hub/admin/members", form("group", "lab", "users", "gail", "change", "add")},
		{"memberships", "dora", "/hub/admin/members", form("group", "lab", "users", "carol", "change", "remove")},
		{"user_groups", "dora", "/hub/admin/delete-group?group=lab", nil},
		{"user_groups", "dora", "/hub/admin/delete-group", form("group", "lab")},
		{"usage", "dora", "/hub/admin/usage", nil},
		{"usage", "dora", "/hub/admin/usage?month=2026-01", nil},
		{"usage", "dora", "/hub/admin/usage.csv", nil},
		{"tokens", "alice", "/hub/token", nil},
		{"tokens", "alice", "/hub/token", form("note", "x")},
		{"tokens", "alice", "/hub/token/revoke", form("id", "1")},
		{"tokens", "alice", "/hub/token/revoke", form("client", "service-grades")},
	}
	for _, tt := range tests {
		method := http.MethodGet
		if tt.form != nil {
			method = http.MethodPost
		}
		t.Run(method+" "+tt.target+" "+tt.form.Encode()+" without "+tt.table, func(t *testing.T) {
			t.Parallel()
			h := newAdmin(t, twoNamed)
			h.cfg.Access = signedIn{accesstest.Subject(t, h.cfg.Authority, login.Session{ID: sessionOf(tt.user),
				User: key(tt.user).User, Admin: tt.user == "dora"})}
			h.lose(t, tt.table)
			resp := h.post(tt.target, tt.user, tt.form)
			if tt.form == nil {
				resp = h.do(method, tt.target, tt.user)
			}
			text := body(t, resp)
			if resp.StatusCode != http.StatusInternalServerError || !strings.Contains(text, "Something went wrong") {
				t.Errorf("%s\n%s", resp.Status, text)
			}
			if strings.Contains(text, "database") || strings.Contains(text, tt.table+":") {
				t.Errorf("the page has the cause:\n%s", text)
			}
		})
	}
}

// TestBackendFails checks that people see the words of the backend, and of other errors none.
func TestBackendFails(t *testing.T) {
	refused := &backend.Error{Code: backend.Internal, Message: "job timed out", Hint: "systemctl status x"}
	tests := map[string]struct {
		target string
		breaks func(h *hub, err error)
	}{
		"stop":  {"/hub/stop/alice", func(h *hub, err error) { h.servers.stopErr = err }},
		"reset": {"/hub/reset/gail", func(h *hub, err error) { h.servers.resetErr = err }},
		"start": {"/hub/spawn/gail", func(h *hub, err error) { h.servers.startErr = err }},
		"delete": {"/hub/delete/alice/x", func(h *hub, err error) {
			h.servers.resetErr = err
		}},
		"postpone": {"/hub/keep/alice", func(h *hub, err error) { h.postponeErr = err }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, err := range []error{refused, errors.New("secret detail")} {
				var h *hub
				h = newHub(t, func(c *setup) {
					twoNamed(c)
					c.Postpone = func(ident.Key) error { return h.postponeErr }
				})
				tt.breaks(h, err)
				resp := h.post(tt.target, "dora", nil)
				text := body(t, resp)
				shown := strings.Contains(text, "job timed out") && strings.Contains(text, "systemctl status x")
				if resp.StatusCode != http.StatusInternalServerError || shown != (err == refused) ||
					strings.Contains(text, "secret") {
					t.Errorf("%v: %s\n%s", err, resp.Status, text)
				}
			}
		})
	}
}
