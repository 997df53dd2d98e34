package login

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
)

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
