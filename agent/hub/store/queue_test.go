package store

import (
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func TestLine(t *testing.T) {
	s, _ := openTest(t)
	ctx, people := t.Context(), users(t, "alice", "bob")
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	bob := QueuedStart{ident.Key{User: people[1]}, "gpu", at}
	alice := QueuedStart{ident.Key{User: people[0]}, "", at.Add(time.Second)}
	ok(t, s.SaveQueue(ctx, []QueuedStart{alice, bob}))
	line, err := s.Queue(ctx)
	ok(t, err)
	same(t, "line", []QueuedStart{bob, alice}, line)
	ok(t, s.CreateUser(ctx, User{Name: people[1]}))
	ok(t, s.DeleteUser(ctx, people[1]))
	line, err = s.Queue(ctx)
	ok(t, err)
	same(t, "line without bob", []QueuedStart{alice}, line)
	ok(t, s.SaveQueue(ctx, nil))
	line, err = s.Queue(ctx)
	ok(t, err)
	same(t, "empty line", []QueuedStart(nil), line)
}

func TestLeases(t *testing.T) {
	s, _ := openTest(t)
	ctx := t.Context()
	typical := func(kind string) time.Duration {
		t.Helper()
		d, err := s.TypicalLease(ctx, kind)
		ok(t, err)
		return d
	}
	for _, hours := range []int{1, 100} {
		ok(t, s.AddLease(ctx, "nvidia.com/gpu", time.Duration(hours)*time.Hour, time.Now()))
	}
	same(t, "two tell too little", time.Duration(0), typical("nvidia.com/gpu"))
	ok(t, s.AddLease(ctx, "nvidia.com/gpu", 2*time.Hour, time.Now()))
	same(t, "median", 2*time.Hour, typical("nvidia.com/gpu"))
	same(t, "another kind", time.Duration(0), typical("amd.com/gpu"))
	for range retainedLeases {
		ok(t, s.AddLease(ctx, "nvidia.com/gpu", time.Minute, time.Now()))
	}
	same(t, "the old ones are forgotten", time.Minute, typical("nvidia.com/gpu"))
	var n int
	ok(t, s.queryRow(ctx, "count", []any{&n}, `SELECT count(*) FROM leases`))
	same(t, "kept", retainedLeases, n)
}
