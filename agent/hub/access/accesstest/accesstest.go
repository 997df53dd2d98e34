// Package accesstest makes Subjects for tests, by the same way as the hub: from sessions. It
// must never be linked into a program.
package accesstest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
)

// one is the only session that there is.
type one login.Session

func (o one) Session(*http.Request) (login.Session, error) { return login.Session(o), nil }

func (o one) SessionByID(context.Context, string) (login.Session, error) {
	return login.Session(o), nil
}

// Subject returns who is signed in with a session, with what they may do.
func Subject(t testing.TB, a *access.Authority, s login.Session) access.Subject {
	t.Helper()
	subject, err := access.NewAuthenticator(access.Sources{Authority: a, Sessions: one(s)}).Browser(
		httptest.NewRequest(http.MethodGet, "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	return subject
}
