package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// crowd returns the API over a database of 1,000 users in a group of the lab with ten tokens
// each, and one of the tokens.
func crowd(b *testing.B) (http.Handler, string) {
	b.Helper()
	a, _, db := build(b)
	const secret = "the-one-of-user0500"
	for i := range 1000 {
		u, _ := ident.ParseUser(fmt.Sprintf("user%04d", i))
		if err := db.CreateUser(b.Context(), store.User{Name: u}); err != nil {
			b.Fatal(err)
		}
		if err := db.SetMemberships(b.Context(), u, store.FromLogin, []string{"cgs"}); err != nil {
			b.Fatal(err)
		}
		for j := range 10 {
			token := fmt.Sprintf("%04d-%d", i, j)
			if i == 500 && j == 5 {
				token = secret
			}
			if _, err := db.CreateToken(b.Context(),
				store.Token{Hash: ident.HashToken(token), Kind: store.APIToken, User: u,
					Scopes: []string{"inherit"}}); err != nil {
				b.Fatal(err)
			}
		}
	}
	return a.Handler(), secret
}

func measure(b *testing.B, h http.Handler, token, path string) {
	b.Helper()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "token "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
}

// BenchmarkTokenCheck is what every request of a notebook asks once in five minutes.
func BenchmarkTokenCheck(b *testing.B) {
	h, token := crowd(b)
	measure(b, h, token, "/hub/api/user")
}

// BenchmarkListUsers is the first page of an administrator's list, 200 of 1,000 users.
func BenchmarkListUsers(b *testing.B) {
	h, _ := crowd(b)
	measure(b, h, "service-token-of-all", "/hub/api/users?sort=name")
}
