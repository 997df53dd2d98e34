package services

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func database(t *testing.T) *store.Store {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "hub.sqlite"),
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func registry(t *testing.T, db *store.Store, declared ...Service) *Registry {
	t.Helper()
	r, err := New(t.Context(), Config{BaseURL: "/x/", Declared: declared, Records: db})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRegistry(t *testing.T) {
	db := database(t)
	board := Service{Name: "board", URL: "http://127.0.0.1:9001", TokenHash: ident.HashToken("secret"),
		ClientID: "service-board", Display: true}
	r := registry(t, db, board)
	got, ok := r.Get("board")
	board.Declared, board.Prefix, board.RedirectURI = true, "/x/services/board/", "/x/services/board/oauth_callback"
	if diff := cmp.Diff(board, got); diff != "" || !ok {
		t.Errorf("board (-want +got):\n%s", diff)
	}
	if name, ok := r.ByToken("secret"); !ok || name != "board" {
		t.Errorf("the token is %q's", name)
	}
	for _, wrong := range []string{"", "Secret", ident.HashToken("secret")} {
		if name, ok := r.ByToken(wrong); ok {
			t.Errorf("the token %q opens %q", wrong, name)
		}
	}
	if s, ok := r.Client("service-board"); !ok || s.Name != "board" {
		t.Errorf("the client is %q", s.Name)
	}
	if s, ok := r.Client(""); ok {
		t.Errorf("no client id is %q's", s.Name)
	}
}

// TestAddedServicesStay adds services through the API and opens the registry again.
func TestAddedServicesStay(t *testing.T) {
	db := database(t)
	r := registry(t, db, Service{Name: "declared", ClientID: "service-declared"})
	added := Service{Name: "added", URL: "unix:/run/x.sock", TokenHash: ident.HashToken("t"),
		Info: map[string]any{"a": "b"}}
	if err := r.Add(added); err != nil {
		t.Fatal(err)
	}
	tests := map[string]Service{
		"taken":              {Name: "added"},
		"declared":           {Name: "declared"},
		"name":               {Name: "../x"},
		"slash":              {Name: "a/b"},
		"client of another":  {Name: "y", ClientID: "service-declared"},
		"a server's client":  {Name: "y", ClientID: "jupyterhub-user-alice"},
		"url without scheme": {Name: "y", URL: "127.0.0.1:80"},
		"file":               {Name: "y", URL: "file:///etc/passwd"},
		"url with a path":    {Name: "y", URL: "http://127.0.0.1:80/x"},
		"relative socket":    {Name: "y", URL: "unix:x.sock"},
	}
	for name, s := range tests {
		if err := r.Add(s); err == nil {
			t.Errorf("%s: %+v was taken", name, s)
		}
	}
	var removed []string
	again, err := New(t.Context(), Config{BaseURL: "/x/", Declared: []Service{{Name: "declared"}}, Records: db,
		Removed: func(name string) { removed = append(removed, name) }})
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := again.Get("added"); !ok || s.Prefix != "/x/services/added/" || s.TokenHash != added.TokenHash ||
		s.Info["a"] != "b" || s.Declared {
		t.Errorf("after a restart: %+v", s)
	}
	if err := again.Remove("declared"); !errors.Is(err, ErrDeclared) {
		t.Errorf("removing a declared one: %v", err)
	}
	if err := again.Remove("added"); err != nil {
		t.Error(err)
	}
	if err := again.Remove("added"); !errors.Is(err, ErrUnknown) {
		t.Errorf("removing it again: %v", err)
	}
	if diff := cmp.Diff([]string{"added"}, removed); diff != "" {
		t.Errorf("told of removals (-want +got):\n%s", diff)
	}
	if s := registry(t, db).List(); len(s) != 0 {
		t.Errorf("left: %+v", s)
	}
}

func TestNewRefuses(t *testing.T) {
	_, err := New(t.Context(), Config{BaseURL: "/", Declared: []Service{{Name: "board", URL: "ftp://x"}},
		Records: database(t)})
	if err == nil || !strings.Contains(err.Error(), "board") {
		t.Errorf("got %v", err)
	}
}
