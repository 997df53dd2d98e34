package login

import (
	"sync/atomic"
	"testing"
	"time"
)

// TestChanged checks that the end of a session, whatever ends it, and other rights are announced.
func TestChanged(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(t *testing.T, s *site, b *browser)
		want bool
	}{
		"signed out": {func(t *testing.T, _ *site, b *browser) { b.get("/jhub/hub/logout").want(t, 303) }, true},
		"by an administrator": {func(t *testing.T, s *site, _ *browser) {
			if _, err := s.svc.EndSessionsOf(t.Context(), users(t, "alice")[0], "deleted"); err != nil {
				t.Fatal(err)
			}
		}, true},
		"idle": {func(_ *testing.T, s *site, b *browser) { s.clock.add(2 * time.Hour); b.get("/jhub/hub/home") }, true},
		"may not enter": {func(_ *testing.T, s *site, b *browser) {
			s.recheck("alice", "others")
			b.get("/jhub/hub/home")
		}, true},
		"no administrator": {func(_ *testing.T, s *site, b *browser) {
			s.recheck("alice", "cgs")
			b.get("/jhub/hub/home")
		}, true},
		"the same as before": {func(_ *testing.T, s *site, b *browser) {
			s.recheck("alice", "cgs", "wheel")
			b.get("/jhub/hub/home")
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var times atomic.Int32
			s := newSite(t, func(c *Config) {
				c.Idle, c.Changed = time.Hour, func() { times.Add(1) }
				c.Access.AdminUnixGroups = []string{"wheel"}
			})
			s.accounts.set(func() { s.accounts.groups["alice"] = []string{"cgs", "wheel"} })
			b := s.browser()
			b.signIn().want(t, 303)
			b.get("/jhub/hub/home").want(t, 200)
			times.Store(0)
			tt.end(t, s, b)
			if got := times.Load() > 0; got != tt.want {
				t.Errorf("announced: %v, want %v", got, tt.want)
			}
		})
	}
}
