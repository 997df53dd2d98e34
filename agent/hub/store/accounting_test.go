package store

import (
	"sync"
	"testing"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

func serverKey(t *testing.T, name, server string) ident.Key {
	t.Helper()
	k, err := ident.ParseKey(name, server)
	ok(t, err)
	return k
}

func TestGPUUses(t *testing.T) {
	s, c := openTest(t)
	ctx, alice := t.Context(), serverKey(t, "alice", "")
	start := c.now()
	ok(t, s.SaveGPUUse(ctx, GPUUse{Key: alice, Started: start, Used: start, Seen: start}))
	kept := GPUUse{Key: alice, Started: start.Add(time.Hour), Seen: start.Add(2 * time.Hour),
		Postponed: start.Add(3 * time.Hour)}
	ok(t, s.SaveGPUUse(ctx, kept)) // of a later run
	other := GPUUse{Key: serverKey(t, "alice", "x"), Started: start}
	ok(t, s.SaveGPUUse(ctx, other))
	got, err := s.GPUUses(ctx)
	ok(t, err)
	same(t, "uses", []GPUUse{kept, other}, got)
	ok(t, s.DeleteServer(ctx, other.Key))
	got, err = s.GPUUses(ctx)
	ok(t, err)
	same(t, "uses after a server was deleted", []GPUUse{kept}, got)
	ok(t, s.CreateUser(ctx, User{Name: alice.User}))
	ok(t, s.DeleteUser(ctx, alice.User))
	got, err = s.GPUUses(ctx)
	ok(t, err)
	same(t, "uses after the user was deleted", []GPUUse(nil), got)
}

func TestUsage(t *testing.T) {
	s, c := openTest(t)
	ctx, alice, bob := t.Context(), serverKey(t, "alice", ""), serverKey(t, "bob", "x")
	ok(t, s.CreateUser(ctx, User{Name: alice.User}))
	first := Reading{Key: alice, Started: c.now(), At: c.now().Add(time.Minute), GPUs: 0.25, CPU: 12.5, Memory: 1 << 40}
	spent := func(k Spent, month string) Spent { k.Month = month; return k }
	one := Spent{User: alice.User, GPU: 1, CPU: 2, Memory: 3, Server: 4}
	ok(t, s.Account(ctx, alice, func(_ Reading, known bool) (*Reading, []Spent) {
		same(t, "known at first", false, known)
		return &first, []Spent{spent(one, "2026-10"), spent(one, "2026-11")}
	}))
	ok(t, s.Account(ctx, alice, func(last Reading, known bool) (*Reading, []Spent) {
		same(t, "known", true, known)
		same(t, "last reading", first, last)
		return nil, []Spent{spent(one, "2026-11")} // without a reading nothing counts
	}))
	second := first
	second.At = first.At.Add(time.Minute)
	ok(t, s.Account(ctx, alice, func(Reading, bool) (*Reading, []Spent) {
		return &second,
			[]Spent{spent(one, "2026-11")}
	}))
	ok(t, s.Account(ctx, bob, func(Reading, bool) (*Reading, []Spent) {
		return &Reading{Key: bob, Started: c.now(), At: c.now()}, []Spent{{User: bob.User, Month: "2026-11", Server: 7}}
	}))
	november := Spent{User: alice.User, Month: "2026-11", GPU: 2, CPU: 4, Memory: 6, Server: 8}
	for name, tt := range map[string]struct {
		q    AccountingQuery
		want []Spent
	}{
		"all": {AccountingQuery{}, []Spent{november, {User: bob.User, Month: "2026-11", Server: 7},
			spent(one, "2026-10")}},
		"a month": {AccountingQuery{Month: "2026-10"}, []Spent{spent(one, "2026-10")}},
		"a user":  {AccountingQuery{User: alice.User}, []Spent{november, spent(one, "2026-10")}},
		"both": {AccountingQuery{Month: "2026-11", User: bob.User},
			[]Spent{{User: bob.User, Month: "2026-11", Server: 7}}},
		"no month": {AccountingQuery{Month: "1999-01"}, nil},
	} {
		got, err := s.Accounting(ctx, tt.q)
		ok(t, err)
		same(t, name, tt.want, got)
	}
	months, err := s.AccountingMonths(ctx)
	ok(t, err)
	same(t, "months", []string{"2026-11", "2026-10"}, months)
	ok(t, s.DeleteUser(ctx, alice.User))
	got, err := s.Accounting(ctx, AccountingQuery{User: alice.User})
	ok(t, err)
	same(t, "a deleted user's usage", []Spent{november, spent(one, "2026-10")}, got)
	ok(t, s.DropReading(ctx, alice, first.Started.Add(time.Second))) // another run's
	ok(t, s.DropReading(ctx, bob, c.now()))
	readings, err := s.Readings(ctx)
	ok(t, err)
	same(t, "readings", []Reading{second}, readings)
}

// TestAccountAtOnce checks that two that account for one server do so one after the other.
func TestAccountAtOnce(t *testing.T) {
	s, c := openTest(t)
	alice := serverKey(t, "alice", "")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				err := s.Account(t.Context(), alice, func(last Reading, _ bool) (*Reading, []Spent) {
					return &Reading{Key: alice, Started: c.now(), At: c.now(), CPU: last.CPU + 1},
						[]Spent{{User: alice.User, Month: "2026-11", CPU: 1}}
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	got, err := s.Accounting(t.Context(), AccountingQuery{})
	ok(t, err)
	same(t, "usage", []Spent{{User: alice.User, Month: "2026-11", CPU: 160}}, got)
	readings, err := s.Readings(t.Context())
	ok(t, err)
	if len(readings) != 1 || readings[0].CPU != 160 {
		t.Errorf("the reading is %+v", readings)
	}
}
