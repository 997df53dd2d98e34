package login

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Access says who may enter. Any rule that matches admits a person, a rule for administrators too;
// BlockedUsers takes precedence over all of them. Without a rule nobody may enter.
type Access struct {
	// AllowAll admits everyone whom the provider knows and who has a Unix account of a person: one from MinUID on.
	AllowAll bool
	// MinUID is the first uid of people. Others get no server (the launcher's policy), so AllowAll does not admit them.
	// 0 stands for DefaultMinUID.
	MinUID uint32
	// AllowedUsers are Unix names.
	AllowedUsers []ident.User
	// AllowedGroups are values of the groups claim, compared exactly.
	AllowedGroups []string
	// AllowedUnixGroups are groups of the host; a primary group counts.
	AllowedUnixGroups []string
	// AdminUsers are Unix names.
	AdminUsers []ident.User
	// AdminGroups are values of the groups claim.
	AdminGroups []string
	// AdminUnixGroups are groups of the host.
	AdminUnixGroups []string
	// BlockedUsers may not enter, whatever other rule matches.
	BlockedUsers []ident.User
}

// DefaultMinUID is the first uid of people on the supported systems (login.defs(5): UID_MIN).
const DefaultMinUID = 1000

// nobody is the kernel's overflow uid (/proc/sys/kernel/overflowuid), a system account above all others.
const nobody = 65534

// admitsAll reports whether AllowAll admits the account with a uid.
func (a Access) admitsAll(uid uint32) bool {
	return a.AllowAll && uid >= cmp.Or(a.MinUID, DefaultMinUID) && uid != nobody
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

// groupNames lists the groups whose members may enter, for the text of a refusal.
func (a Access) groupNames() string {
	all := slices.Concat(a.AllowedUnixGroups, a.AllowedGroups, a.AdminUnixGroups, a.AdminGroups)
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

// refusal is the error for somebody whom no rule admits.
func (a Access) refusal(u ident.User) *Denied {
	groups := a.groupNames()
	switch {
	case a.AllowAll:
		return &Denied{Reason: SystemAccount, User: u}
	case groups != "":
		return &Denied{Reason: NotInGroup, User: u, Detail: groups}
	}
	return &Denied{Reason: NotListed, User: u}
}

// verdict is the result of the rules for a person.
type verdict struct{ allowed, admin bool }

// judge applies the rules. err joins the lookups that failed; with an error, a true field of the
// verdict holds and a false one means "not known".
func (a Access) judge(ctx context.Context, host accounts, u ident.User, uid uint32, claims []string) (verdict, error) {
	if a.blocked(u) {
		return verdict{}, nil
	}
	admin, errAdmin := a.matches(ctx, host, u, claims, a.AdminUsers, a.AdminGroups, a.AdminUnixGroups)
	if admin || a.admitsAll(uid) {
		return verdict{allowed: true, admin: admin}, errAdmin
	}
	allowed, errAllowed := a.matches(ctx, host, u, claims, a.AllowedUsers, a.AllowedGroups, a.AllowedUnixGroups)
	return verdict{allowed: allowed}, errors.Join(errAdmin, errAllowed)
}

// matches reports whether one of the rules matches. It asks the name service last, and only while no
// other rule matches.
func (a Access) matches(ctx context.Context, host accounts, u ident.User, claims []string,
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
		in, err := host.MemberOf(ctx, u, g)
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot look up whether user %q is in Unix group %q: %w", u, g, err))
		} else if in {
			return true, nil
		}
	}
	return false, errors.Join(errs...)
}
