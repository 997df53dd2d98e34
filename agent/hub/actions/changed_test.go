package actions

import (
	"errors"
	"testing"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TestChanged checks that what takes a right away is announced after it is done, and what does not is not.
func TestChanged(t *testing.T) {
	for name, tt := range map[string]struct {
		act   func(t *testing.T, b *bench) error
		gone  func(t *testing.T, b *bench) bool // what the act takes away; nil for an act that takes nothing
		times int
	}{
		"a token": {func(t *testing.T, b *bench) error {
			return b.RevokeToken(t.Context(), b.as(t, "root"), user(t, "alice"), aToken)
		}, func(t *testing.T, b *bench) bool {
			_, err := b.db.Token(t.Context(), user(t, "alice"), aToken)
			return err != nil
		}, 1},
		"a share": {func(t *testing.T, b *bench) error {
			return b.RevokeShares(t.Context(), b.as(t, "root"), key(t, "alice:x"))
		}, func(t *testing.T, b *bench) bool {
			all, err := b.db.SharesFor(t.Context(), user(t, "bob"), nil)
			return err == nil && len(all) == 0
		}, 1},
		"a membership": {func(t *testing.T, b *bench) error {
			return b.RemoveMembers(t.Context(), b.as(t, "root"), "lab", []ident.User{user(t, "bob")})
		}, func(t *testing.T, b *bench) bool {
			all, err := b.db.GroupsOf(t.Context(), user(t, "bob"))
			return err == nil && len(all) == 0
		}, 1},
		"the mark": {func(t *testing.T, b *bench) error {
			return b.SetAdmin(t.Context(), b.as(t, "root"), user(t, "dora"), false)
		}, func(t *testing.T, b *bench) bool {
			u, err := b.db.UserByName(t.Context(), user(t, "dora"))
			return err == nil && !u.Admin
		}, 1},
		"a user": {func(t *testing.T, b *bench) error {
			return b.DeleteUser(t.Context(), b.as(t, "root"), user(t, "bob"), true)
		}, func(t *testing.T, b *bench) bool {
			_, err := b.db.UserByName(t.Context(), user(t, "bob"))
			return err != nil
		}, 1},
		"a new token takes nothing": {func(t *testing.T, b *bench) error {
			_, _, err := b.CreateToken(t.Context(), b.as(t, "root"), TokenRequest{Owner: user(t, "alice")})
			return err
		}, nil, 0},
		"a refusal does nothing": {func(t *testing.T, b *bench) error {
			if err := b.SetAdmin(t.Context(), b.as(t, "bob"), user(t, "dora"), false); err == nil {
				return errors.New("bob ended dora's mark")
			}
			return nil
		}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var b *bench
			times := 0
			b = newBench(t, func(c *Config) {
				c.Changed = func() {
					if times++; tt.gone != nil && !tt.gone(t, b) {
						t.Error("announced before it was done")
					}
				}
			})
			if err := tt.act(t, b); err != nil {
				t.Fatal(err)
			}
			if times != tt.times {
				t.Errorf("announced %d times, want %d", times, tt.times)
			}
		})
	}
}
