package login

import (
	"errors"
	"sync"
	"testing"
	"time"
)

// TestOnLogin counts each sign-in that ends, and no page that is loaded again.
func TestOnLogin(t *testing.T) {
	var mu sync.Mutex
	var ended []error
	s := newSite(t, func(c *Config) {
		c.OnLogin = func(err error, took time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			ended = append(ended, err)
			if took < 0 {
				t.Errorf("a sign-in took %s", took)
			}
		}
	})
	b := s.browser()
	back := b.start("")
	b.get(back).want(t, 303)
	b.get(back).want(t, 303) // loaded again: signed in already
	s.browser().get(back).want(t, 400)
	claim("preferred_username", "carol")(s)
	s.browser().signIn().want(t, 403)
	mu.Lock()
	defer mu.Unlock()
	var denied *Denied
	if len(ended) != 3 || ended[0] != nil || ended[1] == nil || !errors.As(ended[2], &denied) {
		t.Errorf("heard of %v; want a success, a stale one and a refusal", ended)
	}
}
