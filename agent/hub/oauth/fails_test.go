package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// failing is a database of which one method fails.
type failing struct {
	*store.Store
	createCode, takeCode, createToken, tokensOf error
}

func (f failing) CreateCode(ctx context.Context, c store.Code) error {
	return errors.Join(f.createCode, f.Store.CreateCode(ctx, c))
}

func (f failing) TakeCode(ctx context.Context, hash string) (store.Code, error) {
	if f.takeCode != nil {
		return store.Code{}, f.takeCode
	}
	return f.Store.TakeCode(ctx, hash)
}

func (f failing) CreateToken(ctx context.Context, t store.Token) (int64, error) {
	if f.createToken != nil {
		return 0, f.createToken
	}
	return f.Store.CreateToken(ctx, t)
}

func (f failing) TokensOf(ctx context.Context, u ident.User) ([]store.Token, error) {
	if f.tokensOf != nil {
		return nil, f.tokensOf
	}
	return f.Store.TokensOf(ctx, u)
}

// TestDatabaseFails checks that a database that fails yields neither a code nor a token, and
// is no fault of the client.
func TestDatabaseFails(t *testing.T) {
	down := errors.New("disk full")
	p, db, asked := provider(t, "carl", false)
	good := url.Values{"client_id": {"service-trusted"}, "client_secret": {"secret-trusted"},
		"grant_type": {"authorization_code"}, "redirect_uri": {"/services/trusted/oauth_callback"}}
	fresh := func() string {
		t.Helper()
		p.cfg.Records = db
		w, err := authorize(p, "GET", service("trusted"))
		if err != nil {
			t.Fatal(err)
		}
		back, _ := url.Parse(w.Header().Get("Location"))
		return back.Query().Get("code")
	}
	for name, records := range map[string]failing{"code": {Store: db, takeCode: down},
		"token": {Store: db, createToken: down}} {
		good.Set("code", fresh())
		p.cfg.Records = records
		if status, body := exchange(p, good); status != 500 || body != nil {
			t.Errorf("%s: %d %v", name, status, body)
		}
	}
	p.cfg.Records = failing{Store: db, createCode: down}
	if w, err := authorize(p, "GET", service("trusted")); !errors.Is(err, down) || w.Header().Get("Location") != "" {
		t.Errorf("a code that could not be stored: %q, %v", w.Header().Get("Location"), err)
	}
	p.cfg.Records = failing{Store: db, tokensOf: down}
	if w, err := authorize(p, "GET", service("board")); !errors.Is(err, down) || *asked ||
		w.Header().Get("Location") != "" {
		t.Errorf("whether to ask could not be looked up: %q, %v", w.Header().Get("Location"), err)
	}
}

// TestNobodyInTheBrowser checks that the error of who is in the browser is the answer, and that no client hears of it.
func TestNobodyInTheBrowser(t *testing.T) {
	p, _, asked := provider(t, "carl", false)
	p.cfg.Person = func(*http.Request) (access.Subject, error) { return access.Subject{}, login.ErrNoSession }
	w, err := authorize(p, "GET", service("trusted"))
	if !errors.Is(err, login.ErrNoSession) || w.Header().Get("Location") != "" || *asked {
		t.Errorf("%q, %v", w.Header().Get("Location"), err)
	}
}

// TestForms checks forms that are too long or no forms at all: no consent and no token.
func TestForms(t *testing.T) {
	p, _, _ := provider(t, "carl", false)
	for name, body := range map[string]string{"too long": "scopes=" + strings.Repeat("x", maxForm), "no form": "%zz"} {
		post := func(path string) (*httptest.ResponseRecorder, *http.Request) {
			r := httptest.NewRequest("POST", path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return httptest.NewRecorder(), r
		}
		w, r := post("/hub/api/oauth2/authorize?" + service("board").Encode())
		if err := p.Authorize(w, r); err == nil || httpx.Public(err).Status != 400 || w.Header().Get("Location") != "" {
			t.Errorf("consent, %s: %q, %v", name, w.Header().Get("Location"), err)
		}
		w, r = post("/hub/api/oauth2/token")
		if err := p.Token(w, r); err != nil || w.Code != 400 || !strings.Contains(w.Body.String(), "invalid_request") {
			t.Errorf("token, %s: %d %s, %v", name, w.Code, w.Body, err)
		}
	}
}

// TestOpenedIsRecorded checks that whoever opens another's server agrees to that, and who opens their own does not.
func TestOpenedIsRecorded(t *testing.T) {
	for user, want := range map[string]string{"alice": "", "bob": "bob opens alice"} {
		p, _, _ := provider(t, user, true)
		got := ""
		p.cfg.Agree = func(_ context.Context, who access.Subject, server ident.Key) error {
			got += who.User.String() + " opens " + server.String()
			return nil
		}
		if _, err := authorize(p, "POST", query()); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s: %q", user, got)
		}
		p.cfg.Agree = func(context.Context, access.Subject, ident.Key) error { return errors.New("cannot write") }
		if w, err := authorize(p, "POST", query()); (err == nil) != (want == "") || err != nil &&
			w.Header().Get("Location") != "" {
			t.Errorf("%s, with a journal that cannot be written: %v", user, err)
		}
	}
}

// TestAskedOnce checks that nobody is asked whom the hub has asked before the server could.
func TestAskedOnce(t *testing.T) {
	for _, agreed := range []bool{true, false} {
		p, _, asked := provider(t, "bob", true)
		p.cfg.Agreed = func(context.Context, access.Subject, ident.Key) (bool, error) { return agreed, nil }
		w, err := authorize(p, "GET", query())
		if err != nil || *asked == agreed || strings.Contains(w.Header().Get("Location"), "code=") != agreed {
			t.Errorf("agreed %v: asked %v, %q, %v", agreed, *asked, w.Header().Get("Location"), err)
		}
	}
	p, _, asked := provider(t, "bob", true)
	p.cfg.Agreed = func(context.Context, access.Subject, ident.Key) (bool, error) { return false, errors.New("x") }
	if w, err := authorize(p, "GET", query()); err == nil || *asked || w.Header().Get("Location") != "" {
		t.Error("let through although nobody knows")
	}
}

// TestExpiredCode checks the last second of a code.
func TestExpiredCode(t *testing.T) {
	form := url.Values{"redirect_uri": {"/x"}}
	for life, want := range map[time.Duration]bool{time.Minute: true, 0: false, -time.Second: false} {
		c := store.Code{ClientID: "c", RedirectURI: "/x", Expires: time.Now().Add(life)}
		if got := mismatch(c, "c", form); (got == "") != want {
			t.Errorf("%s: %q", life, got)
		}
	}
}

// TestBasic checks that a client may show its secret as RFC 6749 prefers.
func TestBasic(t *testing.T) {
	p, _, _ := provider(t, "alice", false)
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code(t, p, query())},
		"redirect_uri": {"/user/alice/oauth_callback"}, "client_id": {"other"}, "client_secret": {"guess"}}
	r := httptest.NewRequest("POST", "/hub/api/oauth2/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("jupyterhub-user-alice", "secret-alice")
	w := httptest.NewRecorder()
	if err := p.Token(w, r); err != nil || w.Code != 200 {
		t.Errorf("%d %s, %v", w.Code, w.Body, err)
	}
}

// TestVerifierWithoutChallenge checks that a code that was asked for without PKCE is not redeemed with a verifier
// (RFC 9700, 2.1.1): somebody may have taken the challenge out of the authorisation request.
func TestVerifierWithoutChallenge(t *testing.T) {
	c := store.Code{ClientID: "c", RedirectURI: "/x", Expires: time.Now().Add(time.Minute)}
	if got := mismatch(c, "c", url.Values{"redirect_uri": {"/x"}, "code_verifier": {"v"}}); got == "" {
		t.Error("a verifier is taken for a code without a challenge")
	}
	if got := mismatch(c, "c", url.Values{"redirect_uri": {"/x"}}); got != "" {
		t.Errorf("a code without PKCE: %s", got)
	}
}
