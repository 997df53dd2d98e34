package hub

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// profileOf are running servers by their owner, with their profile.
type profileOf map[string]string

func (p profileOf) Get(k ident.Key) servers.Server {
	return servers.Server{Key: k, Profile: p[k.User.String()]}
}

// TestPublicPaths checks that the profile of the server decides, that strangers do not make the launcher work, and that
// its silence changes nothing.
func TestPublicPaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, answer, failure := 0, map[string][]string{"voila": {"x"}}, error(nil)
		p := &publicPaths{servers: profileOf{"alice": "voila", "bob": "lab"}, log: slog.New(slog.DiscardHandler),
			ask: func(context.Context) (map[string][]string, error) { asked++; return answer, failure }}
		of := func(name string) []string { return p.of(t.Context(), ident.Key{User: testUser(t, name)}) }
		for range 10 {
			if diff := cmp.Diff([]string{"x"}, of("alice")); diff != "" || len(of("bob")) > 0 || len(of("carol")) > 0 {
				t.Fatalf("alice: %v, bob: %v", of("alice"), of("bob"))
			}
		}
		if asked != 1 {
			t.Errorf("the launcher is asked %d times", asked)
		}
		failure = errors.New("no answer")
		time.Sleep(publicFor)
		if of("alice") == nil {
			t.Error("nothing is public because the launcher does not answer")
		}
		answer, failure = nil, nil
		time.Sleep(publicFor)
		if of("alice") != nil || asked != 3 {
			t.Errorf("after the policy has changed: %v, asked %d times", of("alice"), asked)
		}
	})
}
