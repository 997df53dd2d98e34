package login

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

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
		b.signIn().want(t, 500)
		b.get("/jhub/hub/home").want(t, 200, "alice")
	})
	t.Run("the old session cannot be read", func(t *testing.T) {
		s := newSite(t, nil)
		b := s.browser()
		b.signIn().want(t, 303)
		s.sql(t, `ALTER TABLE logins RENAME TO gone`)
		b.signIn().want(t, 500)
	})
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
		&http.Cookie{Name: LoginCookie, Value: "x"})} {
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

// TestLogout checks where people go after it, and that it does not claim what it could not do.
func TestLogout(t *testing.T) {
	const local = "/jhub/hub/login"
	logout := func(c *Config) { c.ProviderLogout = true }
	for name, tt := range map[string]struct {
		config func(*Config)
		meta   func(map[string]any)
		want   string
	}{
		"here":            {nil, nil, local},
		"at the provider": {logout, nil, "PROVIDER/end?client_id=hub&id_token_hint=ID&x=1"},
		"and back": {func(c *Config) { logout(c); c.PostLogoutURL = "https://hub.example/" }, nil,
			"PROVIDER/end?client_id=hub&id_token_hint=ID&post_logout_redirect_uri=https%3A%2F%2Fhub.example%2F&x=1"},
		"it has no end point":  {logout, func(m map[string]any) { delete(m, "end_session_endpoint") }, local},
		"its end point is bad": {logout, func(m map[string]any) { m["end_session_endpoint"] = "https://[::1" }, local},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, tt.config)
			s.provider.meta = tt.meta
			b := s.browser()
			b.signIn().want(t, 303)
			l, err := s.store.LoginByID(t.Context(), sessionIDs(t, s)[0])
			if err != nil {
				t.Fatal(err)
			}
			want := strings.NewReplacer("PROVIDER", s.provider.URL, "ID", openSecret(l.Secret).IDToken).Replace(tt.want)
			out := b.get("/jhub/hub/logout")
			out.want(t, 303)
			if got := out.Header.Get("Location"); got != want {
				t.Errorf("went to %q, want %q", got, want)
			}
			s.wantEvent("logout", `"user":"alice"`)
			again := b.get("/jhub/hub/logout")
			again.want(t, 303)
			if got := again.Header.Get("Location"); got != local || strings.Count(s.log.String(), `"logout"`) != 1 {
				t.Errorf("nobody signed out, to %q", got)
			}
		})
	}
	for _, change := range []string{"DELETE ON logins", "DELETE ON sessions"} {
		s := newSite(t, nil)
		b := s.browser()
		b.signIn().want(t, 303)
		s.full(t, change)
		b.get("/jhub/hub/logout").want(t, 500)
	}
	s := newSite(t, logout)
	b := s.browser()
	b.signIn().want(t, 303)
	s.sql(t, `UPDATE logins SET secret = x'00'`)
	if got := b.get("/jhub/hub/logout").Header.Get("Location"); got != s.provider.URL+"/end?client_id=hub&x=1" {
		t.Errorf("without a hint to %q", got)
	}
}

// TestLogoutWithoutProvider checks that a provider that is down keeps nobody signed in.
func TestLogoutWithoutProvider(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	b.signIn().want(t, 303)
	c := s.svc.c
	c.ProviderLogout = true
	again, err := New(t.Context(), c) // a hub that has just started
	if err != nil {
		t.Fatal(err)
	}
	s.provider.set(func() { s.provider.down = true })
	u, _ := url.Parse(s.URL + "/jhub/hub/")
	r := httptest.NewRequest(http.MethodGet, "/jhub/hub/logout", nil)
	for _, cookie := range b.Jar.Cookies(u) {
		r.AddCookie(cookie)
	}
	w := httptest.NewRecorder()
	again.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := again.Logout(w, r); err != nil {
			t.Error(err)
		}
	})).ServeHTTP(w, r)
	if got := w.Header().Get("Location"); got != "/jhub/hub/login" {
		t.Errorf("went to %q", got)
	}
	b.get("/jhub/hub/home").want(t, 401)
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

// TestDiscovery checks that metadata are asked for once, and not again too soon after a failure.
func TestDiscovery(t *testing.T) {
	s := newSite(t, nil)
	found := func(want int) {
		t.Helper()
		s.provider.set(func() {
			if s.provider.found != want {
				t.Errorf("metadata were asked for %d times, want %d", s.provider.found, want)
			}
		})
	}
	b := s.browser()
	s.provider.meta = func(m map[string]any) { m["issuer"] = "https://other.example" }
	for range 3 {
		b.get("/jhub/hub/start").want(t, 503)
	}
	found(1)
	s.clock.add(discoveryPause)
	b.get("/jhub/hub/start").want(t, 503)
	found(2)
	if n := strings.Count(s.log.String(), "provider-down"); n != 1 {
		t.Errorf("%d events of one failure", n)
	}
	s.provider.set(func() { s.provider.meta = nil })
	s.clock.add(discoveryPause)
	for range 3 {
		b.get("/jhub/hub/start").want(t, 303)
	}
	s.clock.add(time.Hour)
	if err := s.svc.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	found(3)
	if n := strings.Count(s.log.String(), "provider-up"); n != 1 {
		t.Errorf("%d events of one recovery", n)
	}
}

func TestGoodStartIsNoNews(t *testing.T) {
	s := newSite(t, nil)
	s.browser().get("/jhub/hub/start").want(t, 303)
	if strings.Contains(s.log.String(), "provider-") {
		t.Errorf("the journal has %s", s.log)
	}
}

func TestMetadata(t *testing.T) {
	for name, tt := range map[string]struct {
		meta   func(map[string]any)
		config func(*Config)
		status int
	}{
		"no token endpoint":    {func(m map[string]any) { delete(m, "token_endpoint") }, nil, 503},
		"no keys":              {func(m map[string]any) { delete(m, "jwks_uri") }, nil, 503},
		"keys that are no URL": {func(m map[string]any) { m["end_session_endpoint"] = 7 }, nil, 503},
		"what is missing is set by hand": {func(m map[string]any) { delete(m, "authorization_endpoint") },
			func(c *Config) { c.Endpoints.Authorization = "https://by.hand/" }, 303},
		"by hand goes first": {nil, func(c *Config) { c.Endpoints.Authorization = "https://by.hand/" }, 303},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, tt.config)
			s.provider.meta = tt.meta
			resp := s.browser().get("/jhub/hub/start")
			resp.want(t, tt.status)
			if got := resp.Header.Get("Location"); tt.config != nil && !strings.HasPrefix(got, "https://by.hand/") {
				t.Errorf("went to %s", got)
			}
		})
	}
}

// TestStartAsksForNoSwitch checks that people are asked who they are only where they want to be.
func TestStartAsksForNoSwitch(t *testing.T) {
	s := newSite(t, nil)
	for path, want := range map[string]string{"/jhub/hub/start": "", "/jhub/hub/start?switch=1": "login"} {
		u, err := url.Parse(s.browser().get(path).Header.Get("Location"))
		if err != nil || u.Query().Get("prompt") != want {
			t.Errorf("%s: %v, %v", path, u, err)
		}
	}
}

// TestAnswerWithoutIssuer checks that providers that do not name themselves in the answer are good.
func TestAnswerWithoutIssuer(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	back := b.start("")
	u, _ := url.Parse(back)
	q := u.Query()
	q.Del("iss")
	u.RawQuery = q.Encode()
	b.get(u.String()).want(t, 303)
}

// TestManyAudiences checks that a token for several parties is taken if it names us as the authorized one.
func TestManyAudiences(t *testing.T) {
	s := newSite(t, nil)
	s.provider.mangle = func(c map[string]any) { c["aud"], c["azp"] = []string{"hub", "another"}, "hub" }
	s.browser().signIn().want(t, 303)
}

// TestDisplayName checks that the Unix name stands in for a name that the provider does not send.
func TestDisplayName(t *testing.T) {
	for claimed, want := range map[string]string{"": "alice", "Alice A": "Alice A"} {
		s := newSite(t, nil)
		claim("name", claimed)(s)
		s.browser().signIn().want(t, 303)
		if u, err := s.store.UserByName(t.Context(), users(t, "alice")[0]); err != nil || u.DisplayName != want {
			t.Errorf("%q, %v", u.DisplayName, err)
		}
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

// TestCheckAfterRestart checks that a hub that starts while its provider is down throws nobody out.
func TestCheckAfterRestart(t *testing.T) {
	s := newSite(t, claimGroups)
	s.provider.refresh = refreshWith("cgs")
	s.browser().signIn().want(t, 303)
	again, err := New(t.Context(), s.svc.c)
	if err != nil {
		t.Fatal(err)
	}
	s.provider.set(func() { s.provider.down = true })
	s.clock.add(5 * time.Minute)
	if got, err := again.SessionByID(t.Context(), sessionIDs(t, s)[0]); err != nil || got.User.String() != "alice" {
		t.Errorf("%+v, %v", got, err)
	}
	s.wantEvent("recheck-failed", `"user":"alice"`)
}

// TestChecksOfGroups runs one check of a session whose groups are the provider's.
func TestChecksOfGroups(t *testing.T) {
	refresh := func(answer map[string]any) func(*fakeProvider) {
		return func(p *fakeProvider) {
			p.refresh = func() (int, map[string]any) {
				answer["access_token"], answer["token_type"] = "at2", "Bearer"
				return 200, answer
			}
		}
	}
	cgs := map[string]any{"sub": "sub-alice", "groups": []string{"cgs"}}
	text := func(status int, kind, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}
	}
	tests := map[string]struct {
		setup  func(p *fakeProvider)
		after  time.Duration
		status int
		asked  int    // requests of userinfo in the check
		fails  string // what recheck-failed says; "" for none
	}{
		"refreshed": {refresh(map[string]any{"claims": cgs}), 5 * time.Minute, 200, 0, ""},
		"refreshed, groups from userinfo": {func(p *fakeProvider) {
			refresh(map[string]any{"claims": map[string]any{"sub": "sub-alice"}})(p)
			p.userinfo = cgs
		}, 5 * time.Minute, 200, 1, ""},
		"refreshed without an id_token": {func(p *fakeProvider) { refresh(map[string]any{})(p); p.userinfo = cgs },
			5 * time.Minute, 200, 1, ""},
		"refreshed, userinfo refuses": {refresh(map[string]any{}), 5 * time.Minute, 403, 1, ""},
		"refresh refused for another reason": {func(p *fakeProvider) {
			p.refresh = func() (int, map[string]any) { return 400, map[string]any{"error": "invalid_client"} }
		}, 5 * time.Minute, 200, 0, "invalid_client"},
		"a forged id_token": {func(p *fakeProvider) {
			refresh(map[string]any{"claims": cgs})(p)
			p.sign = func(b []byte) string { return signed(jose.RS256, p.otherKey, b) }
		}, 5 * time.Minute, 200, 0, "cannot verify the id_token"},
		"another person's id_token": {refresh(map[string]any{"claims": map[string]any{"sub": "sub-bob",
			"groups": []string{"cgs"}}}), 5 * time.Minute, 200, 0, "about another person"},
		"another person's userinfo": {func(p *fakeProvider) {
			p.userinfo = map[string]any{"sub": "sub-bob", "groups": []string{"cgs"}}
		}, 5 * time.Minute, 200, 1, "about another person"},
		"userinfo fails": {func(p *fakeProvider) { p.info = text(500, "text/plain", "") }, 5 * time.Minute, 200, 1,
			"answered 500"},
		"userinfo is no JSON": {func(p *fakeProvider) { p.info = text(200, "application/json", "<html>") },
			5 * time.Minute, 200, 1, "cannot read the answer"},
		"userinfo is cut off": {func(p *fakeProvider) {
			p.info = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "100")
				_, _ = io.WriteString(w, `{"sub":"sub-alice"}`)
			}
		}, 5 * time.Minute, 200, 1, "unexpected EOF"},
		"userinfo is signed": {func(p *fakeProvider) {
			p.info = func(w http.ResponseWriter, _ *http.Request) {
				text(200, "application/jwt", signed(jose.RS256, p.key, []byte(`{"sub":"sub-alice","groups":"cgs"}`)))(w,
					nil)
			}
		}, 5 * time.Minute, 200, 1, ""},
		"userinfo is forged": {func(p *fakeProvider) {
			p.info = func(w http.ResponseWriter, _ *http.Request) {
				text(200, "application/jwt", signed(jose.RS256, p.otherKey,
					[]byte(`{"sub":"sub-alice","groups":"cgs"}`)))(w, nil)
			}
		}, 5 * time.Minute, 200, 1, "cannot verify the answer"},
		"void before its time": {func(*fakeProvider) {}, 5 * time.Minute, 403, 1, ""},
		"void, without a time": {func(p *fakeProvider) { p.lasting = true }, 2 * time.Hour, 200, 1,
			"access token"},
		"good, without a time": {func(p *fakeProvider) { p.lasting, p.userinfo = true, cgs }, 2 * time.Hour,
			200, 1, ""},
		"good until its time": {func(p *fakeProvider) { p.userinfo = cgs }, time.Hour - time.Minute, 200, 1,
			""},
		"nothing to ask with, any more": {func(p *fakeProvider) { p.userinfo = cgs }, time.Hour + time.Minute, 200, 0,
			"offline_access"},
		"no end point and no groups": {func(p *fakeProvider) {
			refresh(map[string]any{"claims": map[string]any{"sub": "sub-alice"}})(p)
			p.meta = func(m map[string]any) { delete(m, "userinfo_endpoint") }
		}, 5 * time.Minute, 403, 0, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, claimGroups)
			sign, info := s.provider.sign, s.provider.info
			tt.setup(s.provider)
			later, laterInfo := s.provider.sign, s.provider.info
			s.provider.sign, s.provider.info = sign, info
			b := s.browser()
			b.signIn().want(t, 303)
			s.provider.set(func() { s.provider.sign, s.provider.info, s.provider.asked = later, laterInfo, 0 })
			s.clock.add(tt.after)
			b.get("/jhub/hub/home").want(t, tt.status)
			s.provider.set(func() {
				if s.provider.asked != tt.asked {
					t.Errorf("userinfo was asked %d times, want %d", s.provider.asked, tt.asked)
				}
			})
			if tt.fails != "" {
				s.wantEvent("recheck-failed", tt.fails)
			} else if strings.Contains(s.log.String(), "recheck-failed") {
				t.Errorf("the check failed:\n%s", s.log)
			}
		})
	}
}

// TestRefreshedTokens checks what is kept of an answer: the new refresh token even where the check then fails, and
// the id_token only for a logout at the provider.
func TestRefreshedTokens(t *testing.T) {
	for _, logout := range []bool{false, true} {
		s := newSite(t, func(c *Config) { claimGroups(c); c.ProviderLogout = logout })
		s.provider.refresh = refreshWith("cgs")
		b := s.browser()
		b.signIn().want(t, 303)
		kept := func() secret {
			l, err := s.store.LoginByID(t.Context(), sessionIDs(t, s)[0])
			if err != nil {
				t.Fatal(err)
			}
			return openSecret(l.Secret)
		}
		first := kept()
		s.clock.add(5 * time.Minute)
		b.get("/jhub/hub/home").want(t, 200)
		second := kept()
		if second.Refresh != "rt2" || (second.IDToken != "") != logout || logout && second.IDToken == first.IDToken ||
			second.Access != "" {
			t.Errorf("logout %v: first %+v, then %+v", logout, first, second)
		}
		s.provider.set(func() { // an answer without an id_token keeps the one before
			s.provider.refresh = func() (int, map[string]any) {
				return 200, map[string]any{"access_token": "a", "token_type": "Bearer", "refresh_token": "rt3"}
			}
			s.provider.userinfo = map[string]any{"sub": "sub-alice", "groups": "cgs"}
		})
		s.clock.add(5 * time.Minute)
		b.get("/jhub/hub/home").want(t, 200)
		if third := kept(); third.Refresh != "rt3" || third.IDToken != second.IDToken {
			t.Errorf("logout %v: then %+v", logout, third)
		}
	}
	s := newSite(t, claimGroups)
	s.provider.refresh = refreshWith("cgs")
	b := s.browser()
	b.signIn().want(t, 303)
	s.full(t, "UPDATE OF secret ON logins")
	s.clock.add(5 * time.Minute)
	b.get("/jhub/hub/home").want(t, 200)
	s.wantEvent("recheck-failed", "disk full")
}

// TestComplete checks when userinfo is asked at a sign-in: where a claim that counts is missing.
func TestComplete(t *testing.T) {
	verify, no := true, false
	for name, tt := range map[string]struct {
		config func(*Config)
		claims claims
		access string
		asked  bool
	}{
		"nothing is missing":      {nil, claims{"preferred_username": "a"}, "at", false},
		"the name":                {nil, claims{}, "at", true},
		"without an access token": {nil, claims{}, "", false},
		"the groups": {func(c *Config) { c.GroupsClaim = "groups" }, claims{"preferred_username": "a"},
			"at", true},
		"the groups are there": {func(c *Config) { c.GroupsClaim = "g" },
			claims{"preferred_username": "a", "g": "x"}, "at", false},
		"groups do not count": {nil, claims{"preferred_username": "a", "groups": "x"}, "at", false},
		"whether it is verified": {func(c *Config) { c.RequireVerifiedEmail = &verify },
			claims{"preferred_username": "a"}, "at", true},
		"it is not verified": {func(c *Config) { c.RequireVerifiedEmail = &verify },
			claims{"preferred_username": "a", "email_verified": false}, "at", false},
		"verified does not count": {func(c *Config) { c.RequireVerifiedEmail = &no }, claims{"preferred_username": "a"},
			"at", false},
		"no end point": {func(c *Config) { c.Issuer = "" }, claims{}, "at", false},
	} {
		asked := false
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = r.Header.Get("Authorization") == "Bearer at"
			writeJSON(w, 200, map[string]any{"sub": "", "more": "yes"})
		}))
		c := Config{Issuer: "x"}
		if tt.config != nil {
			tt.config(&c)
		}
		ep := &endpoints{userInfo: srv.URL}
		if c.Issuer == "" {
			ep.userInfo = ""
		}
		p := &provider{c: c.withDefaults()}
		if err := p.complete(t.Context(), ep, tt.claims, tt.access); err != nil || asked != tt.asked ||
			(tt.claims["more"] != nil) != tt.asked {
			t.Errorf("%s: asked %v, %v: %v", name, asked, tt.claims, err)
		}
		srv.Close()
	}
}

// TestUserInfoAtSignIn checks a userinfo that fails, or refuses, at a sign-in.
func TestUserInfoAtSignIn(t *testing.T) {
	s := newSite(t, claimGroups)
	delete(s.provider.claims, "groups")
	b := s.browser()
	b.signIn().want(t, 403, "no group")
	s.wantEvent("userinfo-refused")
	s.provider.info = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	b.signIn().want(t, 503)
	s.provider.info = func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, 200,
			map[string]any{"sub": "sub-bob"})
	}
	b.signIn().want(t, 500)
	p := s.svc.provider
	if _, err := p.userInfoOf(t.Context(), &endpoints{userInfo: "https://[::1"}, "at", "x"); err == nil ||
		httpx.Public(err).Status != 500 {
		t.Errorf("an end point that is no URL: %v", err)
	}
	if _, err := p.userInfoOf(t.Context(), &endpoints{userInfo: "http://127.0.0.1:1/"}, "at",
		"x"); httpx.Public(err).Status != 503 {
		t.Errorf("an end point that does not answer: %v", err)
	}
}

// TestDeniedText checks that each reason has words of its own, and that the person stands in them.
func TestDeniedText(t *testing.T) {
	alice := users(t, "alice")[0]
	seen := map[string]Reason{}
	for _, reason := range []Reason{NoName, NameMismatch, UnverifiedEmail, Blocked, NoAccount, NotInGroup, NotListed,
		NoRule,
		Revoked, "another"} {
		d := &Denied{Reason: reason, User: alice, Detail: "DETAIL"}
		e := httpx.Public(d)
		if other, known := seen[e.Public]; known || e.Status != 403 || e.Hint == "" || d.Error() != e.Public {
			t.Errorf("%s (like %s): %+v", reason, other, e)
		}
		seen[e.Public] = reason
		if named := strings.Contains(e.Public, "alice"); named != (reason != NoName && reason != NoRule) {
			t.Errorf("%s: %s", reason, e.Public)
		}
	}
	if got := (&Denied{Reason: NameMismatch, Name: "x\ny"}).Error(); !strings.HasPrefix(got, `"x\ny"`) {
		t.Error(got)
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
