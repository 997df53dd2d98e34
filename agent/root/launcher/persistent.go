package launcher

import (
	"context"
	"path"
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/unit"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// Persistent returns the persistent containers of all members. It does not ask the name service for a container: only
// a mount that is for the members of a group makes it ask, once for each member.
func (l *Launcher) Persistent(ctx context.Context) ([]launcherbus.PersistentRow, error) {
	rules, err := l.policy()
	if err != nil {
		return nil, err
	}
	podman, err := l.cfg.Podman(ctx)
	if err != nil {
		return nil, err
	}
	now := comparison{l, rules, podman, l.names()}
	rows := []launcherbus.PersistentRow{}
	for _, key := range l.files.recorded() {
		all, err := l.files.containers(key)
		if err != nil {
			return nil, err
		}
		for _, c := range all {
			rows = append(rows, launcherbus.PersistentContainer{Key: key, Profile: c.profile,
				Outdated: now.differs(ctx, key, c)}.Row())
		}
	}
	return rows, nil
}

// comparison compares persistent containers with what would be made now.
type comparison struct {
	l      *Launcher
	rules  *policy.Policy
	podman contract.PodmanVersion
	names  *names
}

// differs reports whether a container that is made now would be another.
func (n comparison) differs(ctx context.Context, key ident.Key, c container) bool {
	i := slices.IndexFunc(n.rules.Profiles, func(p policy.Profile) bool { return p.Name == c.profile && p.Persistent })
	if i < 0 {
		return true
	}
	uid, err := n.l.files.owner(key.User)
	if err != nil {
		return false // without the member's directory there is no container
	}
	mounts, err := n.rules.MountsFor(n.names.person(ctx, key.User, uid), n.rules.Profiles[i])
	if err != nil {
		return false // a start would be refused
	}
	in := unit.Input{Key: key, UID: uid, Profile: n.rules.Profiles[i], Policy: n.rules, Mounts: mounts,
		Podman: n.podman}
	return in.Settings() != c.settings
}

// owner returns the uid of the member as their podman's directory has it, which prepareUser made.
func (f files) owner(user ident.User) (uint32, error) {
	return ownerOf(f.state, path.Join("users", user.String()))
}
