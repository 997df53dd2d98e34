package operator

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
)

// TestIdentities lists as the command does.
func TestIdentities(t *testing.T) {
	alice, err := ident.ParseUser("alice")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		all    []store.Identity
		err    error
		status int
		body   string
	}{
		"none":   {nil, nil, 200, "[]\n"},
		"broken": {nil, errors.New("disk full"), 500, `{"message":"disk full"}` + "\n"},
		"one": {[]store.Identity{{User: alice, Issuer: "https://id", Subject: "1", Bound: at}}, nil, 200,
			`[{"user":"alice","issuer":"https://id","subject":"1","bound":"2026-11-01T00:00:00Z"}]` + "\n"},
	} {
		o := New(Config{Log: slog.New(slog.DiscardHandler),
			Identities: func(context.Context) ([]store.Identity, error) { return tt.all, tt.err }})
		w := httptest.NewRecorder()
		o.Handler().ServeHTTP(w, httptest.NewRequest("GET", control.IdentitiesPath, nil))
		if w.Code != tt.status || w.Body.String() != tt.body {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}
