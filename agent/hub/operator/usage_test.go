package operator

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestUsage asks as the command does.
func TestUsage(t *testing.T) {
	alice, err := ident.ParseUser("alice")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		target string
		fails  error
		asked  *store.AccountingQuery
		status int
		body   string
	}{
		"all": {"/usage", nil, &store.AccountingQuery{}, 200,
			`[{"user":"alice","month":"2026-11","gpu_hours":1,"cpu_hours":2,"memory_gib_hours":0.5,"server_hours":0}]` +
				"\n"},
		"one user's month": {"/usage?month=2026-11&user=alice", nil,
			&store.AccountingQuery{Month: "2026-11", User: alice},
			200,
			`[{"user":"alice","month":"2026-11","gpu_hours":1,"cpu_hours":2,"memory_gib_hours":0.5,"server_hours":0}]` +
				"\n"},
		"no month": {"/usage?month=1999-01", nil, &store.AccountingQuery{Month: "1999-01"}, 200, "[]\n"},
		"no name":  {"/usage?user=../x", nil, nil, 400, ""},
		"broken":   {"/usage", errors.New("disk full"), &store.AccountingQuery{}, 500, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var asked *store.AccountingQuery
			o := New(Config{Log: slog.New(slog.DiscardHandler),
				Accounting: func(_ context.Context, q store.AccountingQuery) ([]store.Spent, error) {
					asked = &q
					if q.Month == "1999-01" {
						return nil, tt.fails
					}
					return []store.Spent{{User: alice, Month: "2026-11", GPU: 3600, CPU: 7200, Memory: 1800 << 30}},
						tt.fails
				}})
			w := httptest.NewRecorder()
			o.Handler().ServeHTTP(w, httptest.NewRequest("GET", tt.target, nil))
			if w.Code != tt.status || tt.body != "" && w.Body.String() != tt.body {
				t.Errorf("answered %d %s", w.Code, w.Body)
			}
			if diff := cmp.Diff(tt.asked, asked, cmpopts.EquateComparable(ident.User{})); diff != "" {
				t.Errorf("asked the database (-want +got):\n%s", diff)
			}
		})
	}
}
