package login

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// sql runs a statement on the database behind the store's back.
func (s *site) sql(t *testing.T, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", s.file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// full makes the database refuse a kind of change, such as "UPDATE OF seen ON logins", as on a full disk.
func (s *site) full(t *testing.T, change string) {
	t.Helper()
	s.sql(t, `CREATE TRIGGER full BEFORE `+change+` BEGIN SELECT RAISE(ABORT, 'disk full'); END`)
}

// TestSignInOnAFullDisk checks that a sign-in that cannot be written down fails and signs nobody in.
func TestSignInOnAFullDisk(t *testing.T) {
	for _, change := range []string{"INSERT ON users", "INSERT ON logins", "DELETE ON sessions"} {
		t.Run(change, func(t *testing.T) {
			s := newSite(t, nil)
			b := s.browser()
			if strings.Contains(change, "sessions") { // an old session makes way for the new one
				b.signIn().want(t, 303)
				s.sql(t, `DELETE FROM logins`)
			}
			s.full(t, change)
			b.signIn().want(t, 500)
			b.get("/jhub/hub/home").want(t, 401)
		})
	}
	t.Run("the session of another person", func(t *testing.T) {
		s := newSite(t, nil)
		b := s.browser()
		b.signIn().want(t, 303)
		s.full(t, "DELETE ON logins")
		claim("preferred_username", "bob")(s)
		claim("sub", "sub-bob")(s)
		b.signIn().want(t, 500)
		b.get("/jhub/hub/home").want(t, 200, "alice")
	})
	t.Run("the old session cannot be read", func(t *testing.T) {
		s := newSite(t, nil)
		b := s.browser()
		b.signIn().want(t, 303)
		s.sql(t, `ALTER TABLE logins RENAME TO gone`)
		b.signIn().want(t, 500)
		if id, err := s.svc.sessionID(b.request(t), users(t, "alice")[0]); id != "" || err == nil {
			t.Errorf("the sign-in goes on with session %q, %v", id, err)
		}
	})
}

// request returns a request of the browser as it is inside Wrap.
func (b *browser) request(t *testing.T) *http.Request {
	t.Helper()
	at, err := url.Parse(b.s.URL + "/jhub/hub/")
	if err != nil {
		t.Fatal(err)
	}
	token := ""
	for _, c := range b.Jar.Cookies(at) {
		if c.Name == loginCookie {
			token = c.Value
		}
	}
	ctx, err := b.s.svc.sessions.Load(t.Context(), token)
	if err != nil || token == "" {
		t.Fatalf("cookie %q: %v", token, err)
	}
	return httptest.NewRequestWithContext(ctx, http.MethodGet, at.Path, nil)
}

// TestConfirmedFails checks that groups that cannot be written down fail a sign-in, and at a check leave the
// session as it is.
func TestConfirmedFails(t *testing.T) {
	var fails error
	var told []string
	s := newSite(t, func(c *Config) {
		claimGroups(c)
		c.Confirmed = func(_ context.Context, u ident.User, groups []string) error {
			told = append(told, u.String()+":"+strings.Join(groups, " "))
			return fails
		}
	})
	s.provider.refresh = refreshWith("cgs", "more")
	b := s.browser()
	fails = errors.New("disk full")
	b.signIn().want(t, 500)
	b.get("/jhub/hub/home").want(t, 401)
	fails = nil
	b.signIn().want(t, 303)
	s.clock.add(5 * time.Minute)
	b.get("/jhub/hub/home").want(t, 200)
	if got := strings.Join(told, ", "); got != "alice:cgs, alice:cgs, alice:cgs more" {
		t.Errorf("told of %s", got)
	}
	fails = errors.New("disk full")
	s.clock.add(5 * time.Minute)
	b.get("/jhub/hub/home").want(t, 200)
	s.wantEvent("recheck-failed", "disk full")
	s.provider.set(func() { s.provider.down = true })
	told, fails = nil, nil
	s.clock.add(5 * time.Minute)
	b.get("/jhub/hub/home").want(t, 200)
	if len(told) > 0 {
		t.Errorf("told of %v while the provider is silent", told)
	}
	s.clock.add(24 * time.Hour)
	b.get("/jhub/hub/home").want(t, 401)
}

// TestCheckOnAFullDisk checks that a check whose outcome cannot be written down shows no page as if it had been.
func TestCheckOnAFullDisk(t *testing.T) {
	for name, tt := range map[string]struct {
		change string
		groups []string
		status int
	}{
		"claim of the check": {"UPDATE OF attempted ON logins", []string{"cgs"}, 500},
		"outcome":            {"UPDATE OF checked ON logins", []string{"cgs"}, 500},
		"administrator":      {"UPDATE OF admin ON users", []string{"cgs", "wheel"}, 500},
		"end":                {"DELETE ON logins", []string{"others"}, 500},
		"use":                {"UPDATE OF seen ON logins", []string{"cgs"}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, func(c *Config) { c.Access.AdminUnixGroups = []string{"wheel"} })
			b := s.browser()
			b.signIn().want(t, 303)
			s.full(t, tt.change)
			s.recheck("alice", tt.groups...)
			b.get("/jhub/hub/home").want(t, tt.status)
		})
	}
}

// TestUseIsNoted checks that the use of a session is written once a minute, and that a failure goes to the journal.
func TestUseIsNoted(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	b.signIn().want(t, 303)
	begun := s.clock.now()
	for _, step := range []struct{ after, seen time.Duration }{{time.Minute - time.Second, 0},
		{time.Second, time.Minute}} {
		s.clock.add(step.after)
		b.get("/jhub/hub/home").want(t, 200)
		l, err := s.store.LoginByID(t.Context(), sessionIDs(t, s)[0])
		if want := begun.Add(step.seen); err != nil || l.Seen.Sub(want).Abs() > time.Millisecond {
			t.Errorf("seen %s, want %s: %v", l.Seen, want, err)
		}
	}
	if strings.Contains(s.log.String(), "database-error") {
		t.Error("a use that was noted is in the journal")
	}
	s.full(t, "UPDATE OF seen ON logins")
	s.clock.add(time.Minute)
	b.get("/jhub/hub/home").want(t, 200)
	s.wantEvent("database-error", `"user":"alice"`, "disk full")
}

// TestStaleSessionCannotEnd checks that a session that must end and cannot is not shown as ended.
func TestStaleSessionCannotEnd(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	b.signIn().want(t, 303)
	s.accounts.set(func() { s.accounts.err = errors.New("no answer") })
	s.full(t, "DELETE ON logins")
	s.clock.add(24 * time.Hour)
	b.get("/jhub/hub/home").want(t, 500)
}

// TestAnotherProcessChecks checks that a check which another process of the hub has begun is not done twice.
func TestAnotherProcessChecks(t *testing.T) {
	s := newSite(t, claimGroups)
	s.provider.refresh = refreshWith("others")
	b := s.browser()
	b.signIn().want(t, 303)
	s.sql(t, `CREATE TRIGGER other BEFORE UPDATE OF attempted ON logins BEGIN SELECT RAISE(IGNORE); END`)
	before := len(s.provider.seen)
	s.clock.add(5 * time.Minute)
	b.get("/jhub/hub/home").want(t, 200)
	if n := len(s.provider.seen) - before; n > 0 {
		t.Errorf("the provider was asked %d times", n)
	}
}

// TestRecheckByID checks a check of a session that ended, or that another request has checked, meanwhile.
func TestRecheckByID(t *testing.T) {
	s := newSite(t, nil)
	if _, err := s.svc.recheck(t.Context(), "no such session"); !errors.Is(err, ErrNoSession) {
		t.Errorf("of no session: %v", err)
	}
	if _, err := s.svc.SessionByID(t.Context(), "no such session"); !errors.Is(err, ErrNoSession) {
		t.Errorf("of no session: %v", err)
	}
	s.browser().signIn().want(t, 303)
	id := sessionIDs(t, s)[0]
	s.full(t, "UPDATE ON logins")
	if l, err := s.svc.recheck(t.Context(), id); err != nil || l.User.String() != "alice" {
		t.Errorf("of one that was just checked: %s, %v", l.User, err)
	}
	s.sql(t, `ALTER TABLE logins RENAME TO gone`)
	if _, err := s.svc.recheck(t.Context(), id); err == nil || errors.Is(err, ErrNoSession) {
		t.Errorf("without a database: %v", err)
	}
	if _, err := s.svc.SessionByID(t.Context(), id); err == nil || errors.Is(err, ErrNoSession) {
		t.Errorf("without a database: %v", err)
	}
	if n, err := s.svc.EndSessionsOf(t.Context(), users(t, "alice")[0], "x"); err == nil {
		t.Errorf("%d sessions ended without a database", n)
	}
}

// TestSession checks the three parts of a session: the cookie, the sign-in and the user.
func TestSession(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	b.signIn().want(t, 303)
	u, _ := url.Parse(s.URL + "/jhub/hub/")
	request := func(cookies ...*http.Cookie) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/jhub/hub/home", nil)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		return r
	}
	got, err := s.svc.Session(request(b.Jar.Cookies(u)...))
	if err != nil || got.ID != sessionIDs(t, s)[0] || got.User.String() != "alice" || got.DisplayName != "Alice A" ||
		got.Admin || got.Since.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	for name, r := range map[string]*http.Request{"no cookie": request(), "a cookie of nobody": request(
		&http.Cookie{Name: loginCookie, Value: "x"})} {
		if got, err := s.svc.Session(r); !errors.Is(err, ErrNoSession) || got.ID != "" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for table, back := range map[string]string{"users": "gone", "sessions": "gone"} {
		s.sql(t, `ALTER TABLE `+table+` RENAME TO `+back)
		if got, err := s.svc.Session(request(b.Jar.Cookies(u)...)); err == nil || errors.Is(err, ErrNoSession) ||
			got.ID != "" {
			t.Errorf("without %s: %+v, %v", table, got, err)
		}
		s.sql(t, `ALTER TABLE `+back+` RENAME TO `+table)
	}
}

// TestBlockedMeanwhile checks that a name that a new start of the hub blocks ends its sessions at once.
func TestBlockedMeanwhile(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	b.signIn().want(t, 303)
	s.svc.c.Access.BlockedUsers = users(t, "bob")
	b.get("/jhub/hub/home").want(t, 200)
	s.svc.c.Access.BlockedUsers = users(t, "alice")
	b.get("/jhub/hub/home").want(t, 403, "blocked")
	b.get("/jhub/hub/home").want(t, 401)
	n := strings.Count(s.log.String(), "session-ended")
	if got, err := s.svc.EndSessionsOf(t.Context(), users(t, "alice")[0], "x"); err != nil || got != 0 ||
		strings.Count(s.log.String(), "session-ended") != n {
		t.Errorf("%d sessions ended again, %v", got, err)
	}
}

// TestNewFails checks that a hub without its key for sign-ins does not start.
func TestNewFails(t *testing.T) {
	s := newSite(t, nil)
	s.sql(t, `UPDATE secret_keys SET key = x'00'`)
	if _, err := New(t.Context(), s.svc.c); err == nil || !strings.Contains(err.Error(), "key for sign-in cookies") {
		t.Errorf("with a bad key: %v", err)
	}
	s.sql(t, `DROP TABLE secret_keys`)
	if _, err := New(t.Context(), s.svc.c); err == nil {
		t.Error("without the table of keys")
	}
}

// TestAdminNotKnown checks that people come in, and stay in, whose being an administrator cannot be looked up.
func TestAdminNotKnown(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Access.AdminUnixGroups = []string{"wheel"} })
	b := s.browser()
	s.accounts.set(func() { s.accounts.broken = map[string]error{"wheel": errors.New("no answer")} })
	b.signIn().want(t, 303)
	b.get("/jhub/hub/home").want(t, 200, "admin=false")
	s.wantEvent("lookup-failed", `"user":"alice"`)
	s.accounts.set(func() { s.accounts.broken = nil })
	s.recheck("alice", "cgs", "wheel")
	b.get("/jhub/hub/home").want(t, 200, "admin=true")
	s.accounts.set(func() { s.accounts.broken = map[string]error{"wheel": errors.New("no answer")} })
	s.clock.add(5 * time.Minute)
	b.get("/jhub/hub/home").want(t, 200, "admin=true")
	s.wantEvent("recheck-failed", "wheel")
	if strings.Count(s.log.String(), "lookup-failed") != 1 {
		t.Error("a check that fails counts as a sign-in")
	}
}

// TestUpsertKeepsTokens checks that a second sign-in in one browser keeps the tokens under the first.
func TestUpsertKeepsTokens(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	b.signIn().want(t, 303)
	if _, err := s.store.CreateToken(t.Context(), store.Token{Hash: "h", Kind: store.OAuthToken,
		User: users(t, "alice")[0], SessionID: sessionIDs(t, s)[0]}); err != nil {
		t.Fatal(err)
	}
	b.signIn().want(t, 303)
	if _, err := s.store.TokenByHash(t.Context(), "h"); err != nil {
		t.Error(fmt.Errorf("the token after a second sign-in: %w", err))
	}
}

// TestCallbackWithoutProvider ends a sign-in that another process of the hub began, while the provider is down.
func TestCallbackWithoutProvider(t *testing.T) {
	s := newSite(t, nil)
	s.provider.set(func() { s.provider.down = true })
	fresh, err := New(t.Context(), s.svc.c)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	p, err := fresh.identify(r, newAttempt("/", s.clock.now()), "code")
	if err == nil || httpx.Public(err).Status != http.StatusServiceUnavailable || !p.user.IsZero() {
		t.Errorf("identified %v, %v; want 503", p.user, err)
	}
}
