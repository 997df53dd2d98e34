package login

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gifford-lab/gifford-hub/agent/hub/store"
)

func TestForgedAnswers(t *testing.T) {
	put := func(name string, v any) func(*site) {
		return func(s *site) { s.provider.mangle = func(c map[string]any) { c[name] = v } }
	}
	tests := map[string]func(*site){
		"wrong nonce":      put("nonce", "another"),
		"no nonce":         func(s *site) { s.provider.mangle = func(c map[string]any) { delete(c, "nonce") } },
		"wrong audience":   put("aud", "another-client"),
		"wrong party":      put("azp", "another-client"),
		"many audiences":   put("aud", []string{"hub", "another"}),
		"wrong issuer":     put("iss", "https://evil.example"),
		"wrong token hash": put("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
		"no subject":       put("sub", ""),
		"expired": func(s *site) {
			s.provider.mangle = func(c map[string]any) { c["exp"] = s.clock.now().Add(-time.Second).Unix() }
		},
		"alg none": func(s *site) { s.provider.sign = unsigned },
		"alg HS256 with the client secret": func(s *site) {
			key := []byte(strings.Repeat(clientSecret, 4))
			s.provider.sign = func(b []byte) string { return signed(jose.HS256, key, b) }
		},
		"another key": func(s *site) {
			s.provider.sign = func(b []byte) string { return signed(jose.RS256, s.provider.otherKey, b) }
		},
		"another issuer in the answer": func(s *site) {
			s.provider.answer = func(q url.Values) url.Values {
				return url.Values{"state": {q.Get("state")}, "code": {"x"}, "iss": {"https://evil.example"}}
			}
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, nil)
			spoil(s)
			b := s.browser()
			b.signIn().want(t, 403, "could not be verified")
			b.get("/jhub/hub/home").want(t, 401)
			s.wantEvent("login-refused", `"reason":"unverified"`)
		})
	}
}

// TestIssuedInTheFuture checks iat: a clock that is a little ahead is nothing, hours are.
func TestIssuedInTheFuture(t *testing.T) {
	s := newSite(t, nil)
	issued := func(ahead time.Duration) {
		s.provider.mangle = func(c map[string]any) { c["iat"] = s.clock.now().Add(ahead).Unix() }
	}
	issued(clockSkew - time.Second)
	s.browser().signIn().want(t, 303)
	issued(clockSkew + 2*time.Second)
	b := s.browser()
	b.signIn().want(t, 403, "could not be verified")
	b.get("/jhub/hub/home").want(t, 401)
	s.wantEvent("login-refused")
}

func TestStateIsBoundToTheBrowser(t *testing.T) {
	s := newSite(t, nil)
	mine, victim := s.browser(), s.browser()
	back := mine.start("")
	victim.get(back).want(t, 400, "another browser")
	victim.get("/jhub/hub/home").want(t, 401)

	wrong := strings.Replace(back, "state=", "state=x", 1)
	mine.get(wrong).want(t, 400)
	mine.get(s.svc.CallbackPath()+"?code=x").want(t, 400)

	mine.get(back).want(t, 303)
	again := mine.get(back) // the page loaded again: home, without a second sign-in
	again.want(t, 303)
	if got := again.Header.Get("Location"); got != "/jhub/hub/" {
		t.Errorf("went on to %q", got)
	}
	mine.get("/jhub/hub/logout").want(t, 303)
	mine.get(back).want(t, 400, "used already") // replay
}

func TestReplayWithKeptCookie(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	back := b.start("")
	u, _ := url.Parse(back)
	kept := b.Jar.Cookies(u)
	b.get(back).want(t, 303)
	thief := s.browser()
	thief.Jar.SetCookies(u, kept)
	thief.get(back).want(t, 400, "used already") // the provider voided the code
}

func TestStateOfAnotherTabDoesNotOpenThisOne(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	one, two := b.start("/jhub/hub/1"), b.start("/jhub/hub/2")
	if got := b.get(two).Header.Get("Location"); got != "/jhub/hub/2" {
		t.Errorf("second tab went on to %q", got)
	}
	sid := sessionIDs(t, s)
	if got := b.get(one).Header.Get("Location"); got != "/jhub/hub/1" {
		t.Errorf("first tab went on to %q", got)
	}
	if again := sessionIDs(t, s); len(again) != 1 || again[0] != sid[0] {
		t.Errorf("sessions %v, then %v; want the same one", sid, again)
	}
}

func sessionIDs(t *testing.T, s *site) (ids []string) {
	t.Helper()
	all, err := s.store.LoginsOf(t.Context(), users(t, "alice")[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		ids = append(ids, l.SessionID)
	}
	return ids
}

func TestAttemptExpires(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	back := b.start("")
	s.clock.add(attemptTime)
	b.get(back).want(t, 400, "too long")
}

func TestSessionFixation(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	u, _ := url.Parse(s.URL + "/jhub/hub/")
	b.Jar.SetCookies(u, []*http.Cookie{{Name: loginCookie, Value: "planted", Path: "/jhub/hub/"}})
	b.signIn().want(t, 303)
	planted := s.browser()
	planted.Jar.SetCookies(u, []*http.Cookie{{Name: loginCookie, Value: "planted", Path: "/jhub/hub/"}})
	planted.get("/jhub/hub/home").want(t, 401)
	var first string
	for _, c := range b.Jar.Cookies(u) {
		if c.Name == loginCookie {
			first = c.Value
		}
	}
	b.signIn().want(t, 303)
	planted.Jar.SetCookies(u, []*http.Cookie{{Name: loginCookie, Value: first, Path: "/jhub/hub/"}})
	planted.get("/jhub/hub/home").want(t, 401)
	b.get("/jhub/hub/home").want(t, 200)
}

func TestAnotherPersonInTheSameBrowser(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	b.signIn().want(t, 303)
	ids := sessionIDs(t, s)
	if _, err := s.store.CreateToken(t.Context(), store.Token{Hash: "h", Kind: store.OAuthToken,
		User: users(t, "alice")[0], SessionID: ids[0]}); err != nil {
		t.Fatal(err)
	}
	s.provider.set(func() { s.provider.claims["preferred_username"], s.provider.claims["sub"] = "bob", "sub-bob" })
	b.signIn().want(t, 303)
	b.get("/jhub/hub/home").want(t, 200, "bob")
	if left := sessionIDs(t, s); len(left) != 0 {
		t.Errorf("alice's sessions %v are left", left)
	}
	if _, err := s.store.TokenByHash(t.Context(), "h"); err == nil {
		t.Error("alice's token is left")
	}
}

func TestProviderErrors(t *testing.T) {
	tests := map[string]struct {
		status int
		words  string
	}{
		"access_denied":           {403, "cancelled"},
		"login_required":          {403, "first"},
		"temporarily_unavailable": {503, "cannot be reached"},
		"invalid_scope":           {502, "invalid_scope"},
		"<script>":                {502, "unknown"},
	}
	for code, tt := range tests {
		t.Run(code, func(t *testing.T) {
			s := newSite(t, nil)
			s.provider.answer = func(q url.Values) url.Values {
				return url.Values{"error": {code}, "error_description": {"<b>words</b>"}, "state": {q.Get("state")}}
			}
			resp := s.browser().signIn()
			resp.want(t, tt.status, tt.words)
			if strings.Contains(resp.body, "<b>") {
				t.Error("the provider's text is on the page")
			}
		})
	}
}

func TestWrongClientSecret(t *testing.T) {
	s := newSite(t, func(c *Config) { c.ClientSecret = "wrong" })
	s.browser().signIn().want(t, 502, "invalid_client", "client secret")
}

func TestProviderDown(t *testing.T) {
	s := newSite(t, nil)
	s.provider.set(func() { s.provider.down = true })
	b := s.browser()
	b.get("/jhub/hub/start").want(t, 503, "cannot be reached")
	if err := s.svc.Ready(t.Context()); err == nil {
		t.Error("Ready while the provider is down")
	}
	s.wantEvent("provider-down")
	s.provider.set(func() { s.provider.down = false })
	b.get("/jhub/hub/start").want(t, 503) // remembered for some seconds
	s.clock.add(discoveryPause)
	back := b.start("")
	s.wantEvent("provider-up")
	s.provider.set(func() { s.provider.down = true })
	b.get(back).want(t, 503, "cannot be reached")
}
