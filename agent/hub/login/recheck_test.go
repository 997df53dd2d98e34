package login

import (
	"errors"
	"sync"
	"testing"
	"time"
)

func claimGroups(c *Config) {
	c.GroupsClaim, c.Access = "groups", Access{AllowedGroups: []string{"cgs"}}
}

func TestUnixLoss(t *testing.T) {
	tests := map[string]struct {
		groups map[string][]string
		reason Reason
	}{
		"no more in the group": {map[string][]string{"alice": {"others"}}, NotInGroup},
		"account gone":         {map[string][]string{}, NoAccount},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, nil)
			b := s.browser()
			b.signIn().want(t, 303)
			s.accounts.set(func() { s.accounts.groups = tt.groups })
			s.clock.add(4 * time.Minute)
			b.get("/jhub/hub/home").want(t, 200, "alice") // not looked up yet
			s.clock.add(time.Minute)
			resp := b.get("/jhub/hub/home")
			resp.want(t, 403)
			if got := Reason(resp.Header.Get("X-Reason")); got != tt.reason {
				t.Errorf("reason %q, want %q", got, tt.reason)
			}
			b.get("/jhub/hub/home").want(t, 401)
			s.wantEvent("session-ended", `"user":"alice"`, `"reason":"`+string(tt.reason)+`"`)
		})
	}
}

func TestAdminLostAndWon(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Access.AdminUnixGroups = []string{"wheel"} })
	b := s.browser()
	b.signIn().want(t, 303)
	b.get("/jhub/hub/home").want(t, 200, "admin=false")
	for _, step := range []struct{ group, want string }{{"wheel", "admin=true"}, {"cgs", "admin=false"},
		{"wheel", "admin=true"}} {
		s.recheck("alice", step.group)
		b.get("/jhub/hub/home").want(t, 200, step.want)
	}
}

// recheck puts somebody into these Unix groups alone, and makes the next request check them.
func (s *site) recheck(name string, groups ...string) {
	s.accounts.set(func() { s.accounts.groups[name] = groups })
	s.clock.add(5 * time.Minute)
}

// wantAdmin checks the marks that the database has of alice.
func (s *site) wantAdmin(t *testing.T, admin, byAPI bool) {
	t.Helper()
	u, err := s.store.UserByName(t.Context(), users(t, "alice")[0])
	if err != nil || u.Admin != admin || u.AdminByAPI != byAPI {
		t.Errorf("the database has admin %v, by the API %v (error %v); want %v, %v", u.Admin, u.AdminByAPI, err, admin,
			byAPI)
	}
}

// TestAdminEndsWithTheGroup checks that a recheck makes nobody an administrator for longer than
// the rules do: who signs out before the group is taken away is none at the next sign-in.
func TestAdminEndsWithTheGroup(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Access.AdminUnixGroups = []string{"wheel"} })
	b := s.browser()
	b.signIn().want(t, 303)
	s.recheck("alice", "cgs", "wheel")
	b.get("/jhub/hub/home").want(t, 200, "admin=true")
	s.wantAdmin(t, true, false)
	b.get("/jhub/hub/logout").want(t, 303)
	s.recheck("alice", "cgs")
	b.signIn().want(t, 303)
	b.get("/jhub/hub/home").want(t, 200, "admin=false")
	s.wantAdmin(t, false, false)
}

// TestAdminByAPIOutlastsTheGroup checks that a recheck takes away no mark that the API gave.
func TestAdminByAPIOutlastsTheGroup(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Access.AdminUnixGroups = []string{"wheel"} })
	s.recheck("alice", "cgs", "wheel")
	b := s.browser()
	b.signIn().want(t, 303)
	if err := s.store.SetAdmin(t.Context(), users(t, "alice")[0], true); err != nil {
		t.Fatal(err)
	}
	s.recheck("alice", "cgs")
	b.get("/jhub/hub/home").want(t, 200, "admin=true")
	s.wantAdmin(t, true, true)
	b.signIn().want(t, 303)
	b.get("/jhub/hub/home").want(t, 200, "admin=true")
}

func TestNameServiceDown(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	b.signIn().want(t, 303)
	s.accounts.set(func() { s.accounts.err = errors.New("no answer") })
	s.browser().signIn().want(t, 503, "cannot be looked up")
	for range 23 {
		s.clock.add(time.Hour)
		b.get("/jhub/hub/home").want(t, 200, "alice")
	}
	s.wantEvent("recheck-failed", `"user":"alice"`)
	s.clock.add(time.Hour)
	b.get("/jhub/hub/home").want(t, 401)
	s.wantEvent("session-ended", `"reason":"unconfirmed"`)
}

func TestLongPauseIsNotStale(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	b.signIn().want(t, 303)
	s.clock.add(72 * time.Hour) // nobody asked, nothing failed
	b.get("/jhub/hub/home").want(t, 200, "alice")
}

// refreshed answers a refresh with these groups and a new refresh token.
func refreshWith(groups ...string) func() (int, map[string]any) {
	return func() (int, map[string]any) {
		return 200, map[string]any{"access_token": "at2", "token_type": "Bearer", "refresh_token": "rt2",
			"claims": map[string]any{"sub": "sub-alice", "groups": groups}}
	}
}

func TestClaimGroupsByRefreshToken(t *testing.T) {
	s := newSite(t, claimGroups)
	s.provider.refresh = refreshWith("cgs", "more")
	b := s.browser()
	b.signIn().want(t, 303)
	for _, want := range []string{"rt1", "rt2"} { // the token was rotated
		s.clock.add(5 * time.Minute)
		b.get("/jhub/hub/home").want(t, 200)
		last := s.provider.seen[len(s.provider.seen)-1]
		if got := last.Get("refresh_token"); got != want {
			t.Errorf("refreshed with %q, want %q", got, want)
		}
	}
	s.provider.set(func() { s.provider.down = true })
	s.clock.add(5 * time.Minute)
	b.get("/jhub/hub/home").want(t, 200) // a provider that is down ends nothing
	s.provider.set(func() { s.provider.down, s.provider.refresh = false, refreshWith("others") })
	b.get("/jhub/hub/home").want(t, 200) // not tried again yet
	s.clock.add(retryCheck)
	b.get("/jhub/hub/home").want(t, 403, "no group")
	b.get("/jhub/hub/home").want(t, 401)
	s.wantEvent("session-ended", `"reason":"not-in-group"`)
}

func TestRefreshTokenRevoked(t *testing.T) {
	s := newSite(t, claimGroups)
	s.provider.refresh = func() (int, map[string]any) { return 400, map[string]any{"error": "invalid_grant"} }
	b := s.browser()
	b.signIn().want(t, 303)
	s.clock.add(5 * time.Minute)
	b.get("/jhub/hub/home").want(t, 403, "ended the session")
	b.get("/jhub/hub/home").want(t, 401)
}

func TestRefreshedForAnotherPerson(t *testing.T) {
	s := newSite(t, claimGroups)
	s.provider.refresh = func() (int, map[string]any) {
		return 200, map[string]any{"access_token": "x", "token_type": "Bearer",
			"claims": map[string]any{"sub": "sub-bob", "groups": "cgs"}}
	}
	b := s.browser()
	b.signIn().want(t, 303)
	s.clock.add(24 * time.Hour)
	b.get("/jhub/hub/home").want(t, 401) // never confirmed
}

func TestClaimGroupsByUserInfo(t *testing.T) {
	s := newSite(t, claimGroups)
	s.provider.userinfo = map[string]any{"sub": "sub-alice", "groups": []string{"cgs"}}
	b := s.browser()
	b.signIn().want(t, 303)
	s.clock.add(5 * time.Minute)
	b.get("/jhub/hub/home").want(t, 200)
	s.provider.set(func() { s.provider.userinfo["groups"] = []string{} })
	s.clock.add(5 * time.Minute)
	b.get("/jhub/hub/home").want(t, 403, "no group")
}

func TestAccessTokenRevoked(t *testing.T) {
	s := newSite(t, claimGroups) // userinfo answers 401, the token has 55 minutes left
	b := s.browser()
	b.signIn().want(t, 303)
	s.clock.add(5 * time.Minute)
	b.get("/jhub/hub/home").want(t, 403, "ended the session")
}

func TestUnixLossWhileProviderIsDown(t *testing.T) {
	s := newSite(t, claimGroups)
	s.provider.refresh = refreshWith("cgs")
	b := s.browser()
	b.signIn().want(t, 303)
	s.provider.set(func() { s.provider.down = true })
	s.accounts.set(func() { s.accounts.groups = nil })
	s.clock.add(5 * time.Minute)
	b.get("/jhub/hub/home").want(t, 403, "no account")
}

func TestOneRefreshForManyRequests(t *testing.T) {
	s := newSite(t, claimGroups)
	s.provider.refresh = refreshWith("cgs")
	b := s.browser()
	b.signIn().want(t, 303)
	before := len(s.provider.seen)
	s.clock.add(48 * time.Hour) // beyond MaxStale: nobody may be thrown out meanwhile
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() { b.get("/jhub/hub/home").want(t, 200, "alice") })
	}
	wg.Wait()
	if n := len(s.provider.seen) - before; n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
}

func TestIdleAndLifetime(t *testing.T) {
	tests := map[string]struct {
		config func(*Config)
		steps  []time.Duration // each but the last finds the session alive
	}{
		"idle slides": {func(c *Config) { c.Idle = time.Hour },
			[]time.Duration{50 * time.Minute, 50 * time.Minute, time.Hour}},
		"lifetime":  {func(c *Config) { c.Lifetime = 2 * time.Hour }, []time.Duration{time.Hour, time.Hour}},
		"two weeks": {nil, []time.Duration{13 * 24 * time.Hour, 24 * time.Hour}},
		"unused":    {nil, []time.Duration{14 * 24 * time.Hour}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, tt.config)
			b := s.browser()
			b.signIn().want(t, 303)
			for i, d := range tt.steps {
				s.clock.add(d)
				want := 200
				if i == len(tt.steps)-1 {
					want = 401
				}
				b.get("/jhub/hub/home").want(t, want)
			}
		})
	}
}

func TestEndSessionsOf(t *testing.T) {
	s := newSite(t, nil)
	one, two := s.browser(), s.browser()
	one.signIn().want(t, 303)
	two.signIn().want(t, 303)
	n, err := s.svc.EndSessionsOf(t.Context(), users(t, "alice")[0], "by an administrator")
	if err != nil || n != 2 {
		t.Errorf("EndSessionsOf = %d, %v; want 2", n, err)
	}
	one.get("/jhub/hub/home").want(t, 401)
	two.get("/jhub/hub/home").want(t, 401)
	s.wantEvent("session-ended", "by an administrator")
}
