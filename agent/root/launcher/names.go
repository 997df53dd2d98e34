package launcher

import (
	"context"
	"errors"
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// names is the name service for one request: it asks for each account and each group once, since every question is a
// program that runs. Only one goroutine may use it.
type names struct {
	service  directory
	accounts map[ident.User]answered[accounts.Account]
	groups   map[string]answered[accounts.Group]
}

type answered[T any] struct {
	value T
	err   error
}

func (l *Launcher) names() *names {
	return &names{l.cfg.Accounts, map[ident.User]answered[accounts.Account]{}, map[string]answered[accounts.Group]{}}
}

// once asks for a key unless the answer is known.
func once[K comparable, T any](known map[K]answered[T], key K, ask func() (T, error)) (T, error) {
	a, ok := known[key]
	if !ok {
		a.value, a.err = ask()
		known[key] = a
	}
	return a.value, a.err
}

func (n *names) lookup(ctx context.Context, user ident.User) (accounts.Account, error) {
	return once(n.accounts, user, func() (accounts.Account, error) { return n.service.Lookup(ctx, user) })
}

// account returns the account of a member. One that does not exist is for people.
func (n *names) account(ctx context.Context, user ident.User) (accounts.Account, error) {
	account, err := n.lookup(ctx, user)
	if errors.Is(err, accounts.ErrNotFound) {
		return account, fail(launcherbus.NoAccount, "there is no Unix account %q on this host", user)
	}
	return account, err
}

// inGroup reports whether a user is in a group. An account that is gone is in none; a group that the host does not know
// is an error, since the policy that names it cannot be meant.
func (n *names) inGroup(ctx context.Context, user ident.User, name string) (bool, error) {
	group, err := once(n.groups, name, func() (accounts.Group, error) { return n.service.Group(ctx, name) })
	if errors.Is(err, accounts.ErrNotFound) {
		return false, fail(launcherbus.Refused, "the policy asks for the Unix group %q, which this host does not "+
			"know", name).WithHint("getent group '%s'", name)
	} else if err != nil {
		return false, err
	}
	account, err := n.lookup(ctx, user)
	if errors.Is(err, accounts.ErrNotFound) {
		return false, nil
	}
	return err == nil && slices.Contains(account.Groups, group.GID), err
}

// person is a member as the policy asks about them. Groups are only looked up when a rule asks for one.
func (n *names) person(ctx context.Context, user ident.User, uid uint32) policy.Person {
	return policy.Person{User: user, UID: uid, InGroup: func(group string) (bool, error) {
		return n.inGroup(ctx, user, group)
	}}
}
