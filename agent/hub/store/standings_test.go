package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestStandings checks a person's way out and back: the first refusal counts, the administrator's mark of the rules
// goes with it and the API's stays.
func TestStandings(t *testing.T) {
	s, _ := openTest(t)
	ctx, bob, dora := t.Context(), user(t, "bob"), user(t, "dora")
	want := func(v Standing) {
		t.Helper()
		got, err := s.StandingOf(ctx, v.User)
		if diff := cmp.Diff(v, got, cmpopts.EquateComparable(ident.User{})); diff != "" || err != nil {
			t.Errorf("(-want +got), error %v:\n%s", err, diff)
		}
	}
	want(Standing{User: bob})
	for _, u := range []ident.User{bob, dora} {
		ok(t, s.UpsertUser(ctx, User{Name: u, Admin: true}))
	}
	ok(t, s.SetAdmin(ctx, dora, true))
	told := time.UnixMicro(1).UTC()
	ok(t, s.SaveToldGroups(ctx, bob, []string{"lab"}, told))
	gone := Standing{User: bob, Groups: []string{"lab"}, Told: told, Lost: time.UnixMicro(2).UTC(), Reason: "r",
		Detail: "d"}
	for i, v := range []Standing{gone, {User: bob, Lost: time.UnixMicro(3), Reason: "other"},
		{User: dora, Lost: time.UnixMicro(1).UTC(), Reason: "x"}} {
		if first, err := s.LoseAccess(ctx, v); err != nil || first != (i != 1) {
			t.Errorf("LoseAccess %d: first %v, %v", i, first, err)
		}
	}
	want(gone)
	for u, admin := range map[ident.User]bool{bob: false, dora: true} {
		if rec, err := s.UserByName(ctx, u); err != nil || rec.Admin != admin || rec.AdminByAPI != admin {
			t.Errorf("%+v, %v", rec, err)
		}
	}
	all, err := s.Departed(ctx)
	if err != nil || len(all) != 2 || all[0].User != dora || all[1].User != bob {
		t.Errorf("Departed: %+v, %v", all, err)
	}
	for i := range 2 {
		if back, err := s.RegainAccess(ctx, bob); err != nil || back != (i == 0) {
			t.Errorf("RegainAccess %d: %v, %v", i, back, err)
		}
	}
	want(Standing{User: bob, Groups: []string{"lab"}, Told: told})
	ok(t, s.DeleteUser(ctx, dora))
	want(Standing{User: dora})
}

// TestStandingsOfAnOlderDatabase checks that an upgrade takes the groups over that the provider last told of whoever
// is signed in.
func TestStandingsOfAnOlderDatabase(t *testing.T) {
	s, _ := openTest(t)
	ctx, bob := t.Context(), user(t, "bob")
	ok(t, s.UpsertUser(ctx, User{Name: bob}))
	for i, groups := range [][]string{{"old"}, {"lab", "gpu"}, {"older"}} {
		at := time.UnixMicro([]int64{2, 3, 1}[i]).UTC()
		ok(t, s.CreateLogin(ctx, Login{SessionID: groups[0], User: bob, Groups: groups, Checked: at, Expires: at,
			Created: at, Seen: at, Attempted: at}))
	}
	for _, q := range []string{`DROP TABLE agreed`, `DROP TABLE standings`, `DROP TABLE identities`,
		`DELETE FROM goose_db_version WHERE version_id >= 5`} {
		if _, err := s.db.ExecContext(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	ok(t, s.migrate(ctx))
	got, err := s.StandingOf(ctx, bob)
	if err != nil || !cmp.Equal(got.Groups, []string{"lab", "gpu"}) || got.Told.UnixMicro() != 3 || !got.Lost.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
}
