package login

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// changes records what Config.Standing is called with.
type changes struct {
	mu  sync.Mutex
	all []string
}

func (c *changes) note(u ident.User, may bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, map[bool]string{true: "+", false: "-"}[may]+u.String())
}

func (c *changes) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.all, " ")
}

// standing is a site whose changes are recorded.
func standing(t *testing.T, change func(*Config)) (*site, *changes) {
	t.Helper()
	seen := &changes{}
	return newSite(t, func(c *Config) {
		c.Standing = seen.note
		if change != nil {
			change(c)
		}
	}), seen
}

// know makes somebody known to the hub who has not signed in, as the owner of a token.
func (s *site) know(t *testing.T, name string) ident.User {
	t.Helper()
	u := users(t, name)[0]
	if err := s.store.CreateUser(t.Context(), store.User{Name: u}); err != nil {
		t.Fatal(err)
	}
	return u
}

// wantMay checks what MayEnter says: nil, or a Denied for that reason.
func (s *site) wantMay(t *testing.T, u ident.User, reason Reason) {
	t.Helper()
	err := s.svc.MayEnter(t.Context(), u)
	var d *Denied
	if errors.As(err, &d); reason == "" && err != nil || reason != "" &&
		(d == nil || d.Reason != reason || d.User != u) {
		t.Errorf("MayEnter %s: %v, want reason %q", u, err, reason)
	}
}

// events counts the lines of the log with an event of a user.
func (s *site) events(event, user string) (n int) {
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, `"event":"`+event+`"`) && strings.Contains(line, `"user":"`+user+`"`) {
			n++
		}
	}
	return n
}

// TestLeavingAndComingBack follows somebody without a session through the host's answers: a group lost and given back,
// an account that is gone, and a name service that does not answer, which changes nothing either way.
func TestLeavingAndComingBack(t *testing.T) {
	s, seen := standing(t, nil)
	bob := s.know(t, "bob")
	host := func(err error, groups ...string) {
		s.accounts.set(func() {
			s.accounts.err, s.accounts.groups["bob"] = err, groups
			if len(groups) == 0 {
				delete(s.accounts.groups, "bob")
			}
		})
	}
	down := errors.New("no answer")
	for _, step := range []struct {
		err    error
		groups []string
		want   Reason
	}{
		{nil, []string{"cgs"}, ""},
		{down, nil, ""},
		{nil, []string{"cgs"}, ""},
		{nil, []string{"others"}, NotInGroup},
		{down, []string{"cgs"}, NotInGroup},
		{nil, nil, NotInGroup}, // the first reason stays
		{nil, []string{"cgs"}, ""},
		{nil, nil, NoAccount},
		{nil, []string{"cgs"}, ""},
	} {
		host(step.err, step.groups...)
		s.clock.add(5 * time.Minute)
		s.wantMay(t, bob, step.want)
	}
	if want := []string{"-bob", "+bob", "-bob", "+bob"}; !slices.Equal(seen.all, want) {
		t.Errorf("changes %v, want %v", seen.all, want)
	}
	if lost, back := s.events("access-lost", "bob"), s.events("access-back", "bob"); lost != 2 || back != 2 {
		t.Errorf("%d access-lost, %d access-back, want 2 of each", lost, back)
	}
	s.wantEvent("access-lost", `"user":"bob"`, `"reason":"not-in-group"`, `"rule":"cgs"`)
	s.wantEvent("access-back", `"user":"bob"`, `"reason":"recheck"`)
	if n := s.events("recheck-failed", "bob"); n != 2 {
		t.Errorf("%d recheck-failed, want one for each time that the name service went away", n)
	}
}

// TestAskedOncePerRecheck checks that uses of somebody's tokens ask once in the time of recheck, that a failure is
// tried again after a minute, and that requests at once wait for one question.
func TestAskedOncePerRecheck(t *testing.T) {
	s, _ := standing(t, nil)
	bob := s.know(t, "bob")
	s.wantMay(t, bob, "")
	s.accounts.set(func() { s.accounts.groups["bob"] = nil })
	s.clock.add(5*time.Minute - 1)
	s.wantMay(t, bob, "")
	s.accounts.set(func() { s.accounts.err = errors.New("no answer") })
	s.clock.add(1)
	s.wantMay(t, bob, "")
	s.accounts.set(func() { s.accounts.err = nil })
	s.clock.add(retryCheck - 1)
	s.wantMay(t, bob, "")
	s.clock.add(1)
	var each sync.WaitGroup
	for range 8 {
		each.Go(func() { s.wantMay(t, bob, NotInGroup) })
	}
	each.Wait()
	if n := s.events("access-lost", "bob"); n != 1 {
		t.Errorf("%d access-lost", n)
	}
}

// TestLossEndsSessionsAndMark checks what ends at a refusal, whoever finds it out: all sessions, and the mark of an
// administrator by rules, but not the one that the API gave.
func TestLossEndsSessionsAndMark(t *testing.T) {
	for name, find := range map[string]func(s *site, u ident.User, b *browser){
		"the use of a token": func(s *site, u ident.User, _ *browser) { s.wantMay(s.t, u, NotInGroup) },
		"a session":          func(s *site, _ ident.User, b *browser) { b.get("/jhub/hub/home").want(s.t, 403) },
		"a sign-in":          func(s *site, _ ident.User, _ *browser) { s.browser().signIn().want(s.t, 403) },
	} {
		for _, byAPI := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				s, seen := standing(t, func(c *Config) { c.Access.AdminUnixGroups = []string{"wheel"} })
				alice := users(t, "alice")[0]
				s.recheck("alice", "cgs", "wheel")
				one, two := s.browser(), s.browser()
				one.signIn().want(t, 303)
				two.signIn().want(t, 303)
				if byAPI {
					if err := s.store.SetAdmin(t.Context(), alice, true); err != nil {
						t.Fatal(err)
					}
				}
				s.wantAdmin(t, true, byAPI)
				s.recheck("alice", "others")
				find(s, alice, one)
				s.wantAdmin(t, byAPI, byAPI)
				one.get("/jhub/hub/home").want(t, 401)
				two.get("/jhub/hub/home").want(t, 401)
				s.wantMay(t, alice, NotInGroup)
				if !slices.Equal(seen.all, []string{"-alice"}) {
					t.Errorf("changes %v", seen.all)
				}
				s.accounts.set(func() { s.accounts.groups["alice"] = []string{"cgs"} })
				s.browser().signIn().want(t, 303)
				s.wantMay(t, alice, "")
				s.wantEvent("access-back", `"reason":"login"`)
			})
		}
	}
}

// TestDismissedAdministrator checks that somebody who may stay, but as an administrator no more, is none by token too.
func TestDismissedAdministrator(t *testing.T) {
	s, _ := standing(t, func(c *Config) { c.Access.AdminUnixGroups = []string{"wheel"} })
	alice := users(t, "alice")[0]
	s.recheck("alice", "cgs", "wheel")
	b := s.browser()
	b.signIn().want(t, 303)
	b.get("/jhub/hub/logout").want(t, 303)
	s.accounts.set(func() { s.accounts.broken = map[string]error{"wheel": errors.New("no answer")} })
	s.clock.add(5 * time.Minute)
	s.wantMay(t, alice, "")
	s.wantAdmin(t, true, false) // not known, so it stays
	s.accounts.set(func() { s.accounts.broken = nil })
	s.recheck("alice", "cgs")
	s.wantMay(t, alice, "")
	s.wantAdmin(t, false, false)
}

// TestStrangersLeaveNoTrace checks that a refused sign-in of somebody whom the hub does not know saves nothing.
func TestStrangersLeaveNoTrace(t *testing.T) {
	s, seen := standing(t, nil)
	s.accounts.set(func() { s.accounts.groups["alice"] = nil })
	s.browser().signIn().want(t, 403)
	if all, err := s.store.Departed(t.Context()); len(all)+len(seen.all) > 0 || err != nil {
		t.Errorf("saved %+v, changes %v, %v", all, seen.all, err)
	}
}

// TestRefusalOfANamesake checks that the refusal of another account with somebody's name is no word about them.
func TestRefusalOfANamesake(t *testing.T) {
	s, seen, alice, _ := providerSite(t)
	s.provider.set(func() { s.provider.claims["sub"], s.provider.claims["groups"] = "sub-eve", []string{"others"} })
	s.browser().signIn().want(t, 403)
	s.wantMay(t, alice, "")
	s.clock.add(5 * time.Minute)
	s.provider.set(func() { s.provider.down = true })
	s.wantMay(t, alice, "")
	if len(seen.all) > 0 {
		t.Errorf("changes %v", seen.all)
	}
}

// providerSite is a site that admits by the provider's group cgs, or by the Unix group wheel; alice was admitted by
// the former.
func providerSite(t *testing.T) (*site, *changes, ident.User, *browser) {
	t.Helper()
	s, seen := standing(t, func(c *Config) {
		claimGroups(c)
		c.Access.AllowedUnixGroups = []string{"wheel"}
	})
	s.accounts.set(func() { s.accounts.groups["alice"] = []string{"staff"} })
	s.provider.refresh, s.provider.ends = refreshWith("cgs"), 1800
	b := s.browser()
	b.signIn().want(t, 303)
	return s, seen, users(t, "alice")[0], b
}

// TestProviderGroups checks what is known of somebody whom a group at the provider admits, when only a token is used.
func TestProviderGroups(t *testing.T) {
	refuse := func() (int, map[string]any) { return 400, map[string]any{"error": "invalid_grant"} }
	for name, tt := range map[string]struct {
		change func(s *site, b *browser)
		after  time.Duration // default recheck
		want   Reason
	}{
		"still in it": {func(*site, *browser) {}, 0, ""},
		"no more in it": {func(s *site, _ *browser) { s.provider.refresh = refreshWith("others") }, 0,
			NotInGroup},
		"refresh refused":          {func(s *site, _ *browser) { s.provider.refresh = refuse }, 0, NotInGroup},
		"refresh token at its end": {func(s *site, _ *browser) { s.provider.refresh = refuse }, 30 * time.Minute, ""},
		"provider down":            {func(s *site, _ *browser) { s.provider.down = true }, 0, ""},
		"signed out": {func(s *site, b *browser) {
			s.provider.refresh = refuse
			s.provider.mu.Unlock()
			defer s.provider.mu.Lock()
			b.get("/jhub/hub/logout").want(s.t, 303)
		}, 0, ""},
		"refused, but in wheel": {func(s *site, _ *browser) {
			s.provider.refresh = refuse
			s.accounts.set(func() { s.accounts.groups["alice"] = []string{"wheel"} })
		}, 0, ""},
		"blameless, but no account": {func(s *site, _ *browser) {
			s.provider.down = true
			s.accounts.set(func() { s.accounts.groups = nil })
		}, 0, NoAccount},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, alice, b := providerSite(t)
			s.provider.set(func() { tt.change(s, b) })
			s.clock.add(max(tt.after, 5*time.Minute))
			s.wantMay(t, alice, tt.want)
			s.clock.add(5 * time.Minute)
			s.wantMay(t, alice, tt.want)
		})
	}
}

// TestOtherSessionSpeaks checks that the end of one session at the provider says nothing while another lasts.
func TestOtherSessionSpeaks(t *testing.T) {
	s, seen, alice, _ := providerSite(t)
	s.browser().signIn().want(t, 303)
	once := sync.Once{}
	s.provider.set(func() {
		s.provider.refresh = func() (status int, body map[string]any) {
			status, body = refreshWith("cgs")()
			once.Do(func() { status, body = 400, map[string]any{"error": "invalid_grant"} })
			return status, body
		}
	})
	s.clock.add(5 * time.Minute)
	s.wantMay(t, alice, "")
	if all, err := s.store.LoginsOf(t.Context(), alice); len(all) != 1 || len(seen.all) > 0 || err != nil {
		t.Errorf("%d sessions, changes %v, %v", len(all), seen.all, err)
	}
}

// TestNeverTold checks that nobody is refused for groups that the provider never told, as after the loss of the
// database.
func TestNeverTold(t *testing.T) {
	s, _ := standing(t, claimGroups)
	bob := s.know(t, "bob")
	s.wantMay(t, bob, "")
	s.accounts.set(func() { s.accounts.groups = nil })
	s.clock.add(5 * time.Minute)
	s.wantMay(t, bob, NoAccount)
	s.accounts.set(func() { s.accounts.groups = map[string][]string{"bob": nil} })
	s.clock.add(5 * time.Minute)
	s.wantMay(t, bob, NoAccount) // that they may is not known either
}

// TestConfirmLost checks that it asks at once, and is sure or says no.
func TestConfirmLost(t *testing.T) {
	s, _ := standing(t, nil)
	bob := s.know(t, "bob")
	s.wantMay(t, bob, "")
	want := func(sure bool) {
		t.Helper()
		if s.svc.ConfirmLost(t.Context(), bob) != sure {
			t.Errorf("ConfirmLost is not %v", sure)
		}
	}
	want(false)
	s.accounts.set(func() { s.accounts.groups["bob"] = nil })
	want(true)
	lost := s.clock.now()
	s.clock.add(time.Second)
	want(true)
	if since, err := s.svc.LostSince(t.Context(), bob); !since.Equal(lost) || err != nil {
		t.Errorf("lost since %v, %v; want %v", since, err, lost)
	}
	s.accounts.set(func() { s.accounts.err = errors.New("no answer") })
	want(false)
	s.accounts.set(func() { s.accounts.err, s.accounts.groups["bob"] = nil, []string{"cgs"} })
	want(false)
	if since, err := s.svc.LostSince(t.Context(), bob); !since.IsZero() || err != nil {
		t.Errorf("lost since %v, %v", since, err)
	}
}

// TestRun checks that the owners of servers and those who have left are judged though nobody asks for them.
func TestRun(t *testing.T) {
	s, seen := standing(t, func(c *Config) { c.Recheck = time.Millisecond })
	bob, carol := s.know(t, "bob"), users(t, "carol")[0]
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() {
		s.svc.Run(ctx, func() []ident.User {
			s.clock.add(time.Millisecond)
			return []ident.User{bob, carol}
		})
	})
	defer ended.Wait()
	defer cancel()
	for _, step := range []struct {
		groups []string
		want   string
	}{{[]string{"cgs"}, "-carol"}, {nil, "-carol -bob"}, {[]string{"cgs"}, "-carol -bob +bob"}} {
		s.accounts.set(func() { s.accounts.groups["bob"] = step.groups })
		for begun := time.Now(); seen.text() != step.want; time.Sleep(time.Millisecond) {
			if time.Since(begun) > 10*time.Second {
				t.Fatalf("changes %q, want %q", seen.text(), step.want)
			}
		}
	}
}

// TestAllowAllAdmitsPeople checks that allow_all admits no system account, neither at a sign-in nor later, that other
// rules may, and that the bound is that of the policy.
func TestAllowAllAdmitsPeople(t *testing.T) {
	for name, tt := range map[string]struct {
		uid, min uint32
		access   Access
		admitted bool
	}{
		"a person":                    {1000, 0, Access{}, true},
		"a system account":            {999, 0, Access{}, false},
		"nobody":                      {65534, 0, Access{}, false},
		"root":                        {0, 0, Access{}, false},
		"a higher bound":              {1999, 2000, Access{}, false},
		"a lower bound":               {500, 500, Access{}, true},
		"a system account by name":    {999, 0, Access{AllowedUsers: users(t, "alice")}, true},
		"a system account by group":   {999, 0, Access{AllowedUnixGroups: []string{"cgs"}}, true},
		"an administrator by a group": {999, 0, Access{AdminUnixGroups: []string{"cgs"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, func(c *Config) {
				c.Access = tt.access
				c.Access.AllowAll, c.Access.MinUID = true, tt.min
			})
			s.accounts.set(func() { s.accounts.uids = map[string]uint32{"alice": tt.uid} })
			alice := s.know(t, "alice")
			if tt.admitted {
				s.browser().signIn().want(t, 303)
				s.wantMay(t, alice, "")
				return
			}
			s.browser().signIn().want(t, 403, "alice is a system account of this machine")
			s.wantMay(t, alice, SystemAccount)
		})
	}
}
