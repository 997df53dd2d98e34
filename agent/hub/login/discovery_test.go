package login

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// eventually waits for what the background does.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for begun := time.Now(); !cond(); time.Sleep(time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatalf("still not so: %s", what)
		}
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
	s.clock.add(discoveryAge - time.Second)
	if err := s.svc.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	found(3)
	if n := strings.Count(s.log.String(), "provider-up"); n != 1 {
		t.Errorf("%d events of one recovery", n)
	}
}

// TestLastGoodMetadata checks that old metadata are read again, that nobody waits for that, and that they hold on while
// the provider does not answer.
func TestLastGoodMetadata(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	b.get("/jhub/hub/start").want(t, 303)
	s.provider.set(func() { s.provider.meta = func(m map[string]any) { m["issuer"] = "https://other.example" } })
	s.clock.add(discoveryAge)
	b.get("/jhub/hub/start").want(t, 303)
	eventually(t, "the provider is asked again, in vain", func() bool {
		return strings.Contains(s.log.String(), "still holds")
	})
	b.get("/jhub/hub/start").want(t, 303)
	s.provider.set(func() {
		s.provider.meta = func(m map[string]any) { m["authorization_endpoint"] = s.provider.URL + "/moved" }
	})
	s.clock.add(discoveryAge)
	b.get("/jhub/hub/start").want(t, 303)
	eventually(t, "the moved end point is used", func() bool {
		return strings.Contains(b.get("/jhub/hub/start").Header.Get("Location"), "/moved")
	})
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
