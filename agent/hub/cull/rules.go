package cull

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// memberships reports who is in which Unix group.
type memberships interface {
	MemberOf(ctx context.Context, user ident.User, group string) (bool, error)
}

// Rules finds the policy for a person by their groups. It asks the name service at most once in ten minutes for each
// person. Make it with NewRules. It is safe for concurrent use.
type Rules struct {
	policies Policies
	unix     memberships
	groups   func(ctx context.Context, user ident.User) ([]string, error)

	mu    sync.Mutex // guards known
	known map[ident.User]knownPolicy
}

type knownPolicy struct {
	policy Policy
	since  time.Time
}

// knownFor is how long a person's groups are cached.
const knownFor = 10 * time.Minute

// NewRules makes Rules of the settings' policies. unix knows the groups of the host, groups returns those of the hub.
func NewRules(p Policies, unix memberships,
	groups func(ctx context.Context, user ident.User) ([]string, error)) *Rules {
	return &Rules{policies: p, unix: unix, groups: groups, known: map[ident.User]knownPolicy{}}
}

// Policy returns the policy for a person, or the error of the lookup of their groups.
func (r *Rules) Policy(ctx context.Context, user ident.User) (Policy, error) {
	r.mu.Lock()
	k, ok := r.known[user]
	r.mu.Unlock()
	if ok && time.Since(k.since) < knownFor {
		return k.policy, nil
	}
	groups, err := r.groupsOf(ctx, user)
	if err != nil {
		return Policy{}, err
	}
	p := r.policies.For(groups)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[user] = knownPolicy{p, time.Now()}
	return p, nil
}

// groupsOf returns a person's groups of the hub and, among those that have a policy, of the host.
func (r *Rules) groupsOf(ctx context.Context, user ident.User) ([]string, error) {
	groups, err := r.groups(ctx, user)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(r.policies.Groups)) {
		member, err := r.unix.MemberOf(ctx, user, name)
		if err != nil {
			return nil, err
		}
		if member {
			groups = append(groups, name)
		}
	}
	return groups, nil
}
