package store

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func named(t *testing.T, u, server string) ident.Key {
	t.Helper()
	k, err := ident.ParseKey(u, server)
	ok(t, err)
	return k
}

// TestServersWithin saves many servers at once: no more are saved than there may be, and those that are saved can
// be saved again.
func TestServersWithin(t *testing.T) {
	s, _ := openTest(t)
	ctx := t.Context()
	ok(t, s.UpsertServerWithin(ctx, Server{Key: named(t, "alice", "")}, 0))
	ok(t, s.UpsertServerWithin(ctx, Server{Key: named(t, "bob", "x")}, 2))
	var saved atomic.Int32
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			switch err := s.UpsertServerWithin(ctx, Server{Key: named(t, "alice", fmt.Sprintf("s%d", i))}, 2); {
			case err == nil:
				saved.Add(1)
			case !errors.Is(err, ErrTooManyServers):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	all, err := s.ServersOf(ctx, user(t, "alice"))
	ok(t, err)
	if len(all) != 3 || saved.Load() != 2 {
		t.Fatalf("saved %d named servers, and there are %d servers", saved.Load(), len(all))
	}
	ok(t, s.UpsertServerWithin(ctx, Server{Key: all[2].Key, DisplayName: "again"}, 2))
	ok(t, s.UpsertServerWithin(ctx, Server{Key: all[2].Key}, 0))
	ok(t, s.UpsertServerWithin(ctx, Server{Key: named(t, "alice", "more")}, -1))
	if err := s.UpsertServerWithin(ctx, Server{Key: named(t, "carol", "x")}, 0); !errors.Is(err, ErrTooManyServers) {
		t.Errorf("a named server where there may be none: %v", err)
	}
}

// TestRenameServer checks that shares and share codes go along with a server, and that nothing of another server
// changes.
func TestRenameServer(t *testing.T) {
	s, c := openTest(t)
	ctx := t.Context()
	x, y, longer := named(t, "alice", "x"), named(t, "alice", "y"), named(t, "alice", "xx")
	for _, k := range []ident.Key{x, longer} {
		ok(t, s.UpsertServer(ctx, Server{Key: k, DisplayName: "X"}))
		scopes := []string{"access:servers!server=alice/" + k.Server.String(), "access:servers!server=alice/xx"}
		_, err := s.GrantShare(ctx, Share{Key: k, User: user(t, "bob"), Scopes: scopes})
		ok(t, err)
		_, err = s.CreateShareCode(ctx, ShareCode{Hash: k.String(), Key: k, Scopes: scopes,
			Created: c.now(), Expires: c.now().Add(1e12)})
		ok(t, err)
	}
	ok(t, s.SaveGPUUse(ctx, GPUUse{Key: x, Started: c.now()}))
	notFound(t, "rename of no server", s.RenameServer(ctx, y, Server{Key: x}))
	if err := s.RenameServer(ctx, x, Server{Key: longer}); !errors.Is(err, ErrExists) {
		t.Errorf("rename to a name that is taken: %v", err)
	}
	ok(t, s.RenameServer(ctx, x, Server{Key: y, DisplayName: "Y"}))
	_, err := s.ServerByKey(ctx, x)
	notFound(t, "the old name", err)
	got, err := s.ServerByKey(ctx, y)
	ok(t, err)
	same(t, "display name", "Y", got.DisplayName)
	for _, tt := range []struct {
		key    ident.Key
		scopes [][]string
	}{{x, nil}, {y, [][]string{{"access:servers!server=alice/y", "access:servers!server=alice/xx"}}},
		{longer, [][]string{{"access:servers!server=alice/xx"}}}} {
		var shared [][]string
		shares, err := s.Shares(ctx, ShareQuery{Owner: tt.key.User, Server: &tt.key.Server})
		ok(t, err)
		for _, v := range shares {
			shared = append(shared, v.Scopes)
		}
		same(t, "shares of "+tt.key.String(), tt.scopes, shared)
		codes, err := s.ShareCodes(ctx, tt.key.User, &tt.key.Server)
		ok(t, err)
		if len(codes) != len(tt.scopes) {
			t.Errorf("%s has %d codes", tt.key, len(codes))
		}
	}
	uses, err := s.GPUUses(ctx)
	ok(t, err)
	if len(uses) > 0 {
		t.Errorf("the use of GPUs stays under the old name: %v", uses)
	}
}
