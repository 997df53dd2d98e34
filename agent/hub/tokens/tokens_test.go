package tokens

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func issuer(t *testing.T, life, longest time.Duration) (*Issuer, *store.Store, ident.User) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "hub.sqlite"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	alice, err := ident.ParseUser("alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.CreateUser(t.Context(), store.User{Name: alice}); err != nil {
		t.Fatal(err)
	}
	a, err := access.New(access.Config{Table: scopes.Default(), Records: db, Log: log,
		Roles: []access.Role{{Role: scopes.Role{Name: "reader", Scopes: []string{"read:users!user"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Records: db, Authority: a, Life: life, Max: longest}), db, alice
}

func TestIssue(t *testing.T) {
	seconds := func(n int64) *int64 { return &n }
	tests := map[string]struct {
		life, longest time.Duration
		req           Request
		want          time.Duration // 0: never ends
		refused       bool
	}{
		"without a word":           {0, 0, Request{}, 0, false},
		"the settings' life":       {time.Hour, 0, Request{}, time.Hour, false},
		"the bound as the default": {0, time.Hour, Request{}, time.Hour, false},
		"as asked":                 {0, time.Hour, Request{ExpiresIn: seconds(60)}, time.Minute, false},
		"beyond the bound":         {0, time.Hour, Request{ExpiresIn: seconds(3601)}, 0, true},
		"for ever, with a bound":   {0, time.Hour, Request{ExpiresIn: seconds(0)}, 0, true},
		"in the past":              {0, 0, Request{ExpiresIn: seconds(-1)}, 0, true},
		"beyond all times":         {0, 0, Request{ExpiresIn: seconds(1 << 62)}, longest * time.Second, false},
		"a scope that she has":     {0, 0, Request{Scopes: []string{"servers!user"}}, 0, false},
		"none":                     {0, 0, Request{Scopes: []string{}}, 0, false},
		"a scope that she has not": {0, 0, Request{Scopes: []string{"admin:users"}}, 0, true},
		"another's":                {0, 0, Request{Scopes: []string{"servers!user=bob"}}, 0, true},
		"no such scope":            {0, 0, Request{Scopes: []string{"nonsense"}}, 0, true},
		"a role":                   {0, 0, Request{Roles: []string{"reader"}}, 0, false},
		"a role that exceeds her":  {0, 0, Request{Roles: []string{"admin"}}, 0, true},
		"no such role":             {0, 0, Request{Roles: []string{"nonsense"}}, 0, true},
		"roles and scopes":         {0, 0, Request{Roles: []string{"reader"}, Scopes: []string{"self"}}, 0, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			i, db, alice := issuer(t, tt.life, tt.longest)
			tt.req.Owner = alice
			secret, made, err := i.Issue(t.Context(), tt.req)
			if tt.refused {
				if err == nil || httpx.Public(err).Status != 400 {
					t.Errorf("got %v", err)
				}
				if left, _ := db.TokensOf(t.Context(), alice); len(left) > 0 {
					t.Errorf("a refused token was kept: %+v", left)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			kept, err := db.TokenByHash(t.Context(), ident.HashToken(secret))
			if err != nil || kept.ID != made.ID || len(secret) != 32 {
				t.Errorf("kept %+v, %v", kept, err)
			}
			if tt.want == 0 != kept.Expires.IsZero() || tt.want > 0 &&
				kept.Expires.Sub(kept.Created).Round(time.Second) != tt.want {
				t.Errorf("it ends %v after %v", kept.Expires, kept.Created)
			}
		})
	}
}
