package login

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Access says who may enter. Any rule that fits lets a person in, the rules for
// administrators too; Blocked goes before all. Without a rule nobody may enter.
type Access struct {
	// AllowAll lets in everyone whom the provider knows and who has a Unix account.
	AllowAll bool
	// AllowedUsers by Unix name.
	AllowedUsers []ident.User
	// AllowedGroups of the groups claim, compared exactly.
	AllowedGroups []string
	// AllowedUnixGroups of the host; a primary group counts.
	AllowedUnixGroups []string
	// AdminUsers by Unix name.
	AdminUsers []ident.User
	// AdminGroups of the groups claim.
	AdminGroups []string
	// AdminUnixGroups of the host.
	AdminUnixGroups []string
	// BlockedUsers may not enter whatever else fits.
	BlockedUsers []ident.User
}

// usesClaims reports whether a rule needs the provider's groups.
func (a Access) usesClaims() bool { return len(a.AllowedGroups)+len(a.AdminGroups) > 0 }

func (a Access) unixGroups() []string {
	return slices.Concat(a.AllowedUnixGroups, a.AdminUnixGroups)
}

func (a Access) empty() bool {
	return !a.AllowAll && !a.usesClaims() && len(a.unixGroups())+len(a.AllowedUsers)+len(a.AdminUsers) == 0
}

func (a Access) blocked(u ident.User) bool { return slices.Contains(a.BlockedUsers, u) }

// groupNames lists the groups that let people in, for the refusal's text.
func (a Access) groupNames() string {
	all := slices.Concat(a.AllowedUnixGroups, a.AllowedGroups, a.AdminUnixGroups, a.AdminGroups)
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

// refusal is the answer to someone whom no rule lets in.
func (a Access) refusal(u ident.User) *Denied {
	if groups := a.groupNames(); groups != "" {
		return &Denied{Reason: NotInGroup, User: u, Detail: groups}
	}
	return &Denied{Reason: NotListed, User: u}
}

// verdict is what the rules say of a person.
type verdict struct{ allowed, admin bool }

// judge applies the rules. err joins lookups that failed; with it, a false field
// of the verdict means "not known", a true one still holds.
func (a Access) judge(ctx context.Context, look accounts, u ident.User, claims []string) (verdict, error) {
	if a.blocked(u) {
		return verdict{}, nil
	}
	admin, errAdmin := a.fits(ctx, look, u, claims, a.AdminUsers, a.AdminGroups, a.AdminUnixGroups)
	if admin || a.AllowAll {
		return verdict{allowed: true, admin: admin}, errAdmin
	}
	allowed, errAllowed := a.fits(ctx, look, u, claims, a.AllowedUsers, a.AllowedGroups, a.AllowedUnixGroups)
	return verdict{allowed: allowed}, errors.Join(errAdmin, errAllowed)
}

// fits asks the name service last, and only as long as nothing else fits.
func (a Access) fits(ctx context.Context, look accounts, u ident.User, claims []string,
	users []ident.User, groups, unixGroups []string) (bool, error) {
	if slices.Contains(users, u) {
		return true, nil
	}
	for _, g := range groups {
		if slices.Contains(claims, g) {
			return true, nil
		}
	}
	var errs []error
	for _, g := range unixGroups {
		in, err := look.MemberOf(ctx, u, g)
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot look up whether user %q is in Unix group %q: %w", u, g, err))
		} else if in {
			return true, nil
		}
	}
	return false, errors.Join(errs...)
}
