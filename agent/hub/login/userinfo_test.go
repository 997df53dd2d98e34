package login

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
)

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
	b.signIn().want(t, 403, "could not be verified")
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
