package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/root/unit"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// DiskUse returns what the member's files took when they were last measured. With measure it starts another
// measurement, unless one is under way, and does not wait for it.
func (l *Launcher) DiskUse(ctx context.Context, user ident.User, measure bool) (launcherbus.DiskUse, error) {
	ctx, cancel := context.WithTimeout(ctx, prepareTime)
	defer cancel()
	rules, err := l.policy()
	if err != nil {
		return launcherbus.DiskUse{}, err
	}
	names := l.names()
	account, err := names.account(ctx, user)
	if err != nil {
		return launcherbus.DiskUse{}, err
	}
	if err := rules.Admit(names.person(ctx, user, account.UID)); err != nil {
		return launcherbus.DiskUse{}, refused(err)
	}
	defer l.users.lock(user)()
	answer := launcherbus.DiskUse{HomePath: rules.Host.HomeOf(user)}
	if answer.Measuring, err = l.measuring(ctx, user); err != nil {
		return answer, err
	}
	if measure && !answer.Measuring {
		if err := l.startMeasuring(ctx, rules, account); err != nil {
			return answer, err
		}
		answer.Measuring = true
	}
	switch last, err := l.files.lastDiskUse(account); {
	case err == nil:
		answer.Measured = time.Unix(last.Ended, 0)
		answer.Storage, answer.Home = launcherbus.Tree(last.Storage), launcherbus.Tree(last.Home)
	case !errors.Is(err, fs.ErrNotExist):
		l.cfg.Log.Warn("a member's measured sizes cannot be used", "event", "usage-unreadable", "user", user.String(),
			"error", err)
	}
	return answer, nil
}

func (l *Launcher) measuring(ctx context.Context, user ident.User) (bool, error) {
	u, err := l.cfg.Units.Get(ctx, unit.DiskUseUnit(user))
	if errors.Is(err, systemd.ErrNotLoaded) {
		return false, nil
	}
	return u.State == systemd.Activating || u.State == systemd.Deactivating, err
}

// startMeasuring starts the unit that measures. The member gets no subordinate ids: without any there are no files
// of theirs.
func (l *Launcher) startMeasuring(ctx context.Context, rules *policy.Policy, a accounts.Account) error {
	if err := memberDirectory(l.files.state, path.Join("users", a.User.String()), a); err != nil {
		return err
	}
	now, err := l.ids.read()
	if err != nil {
		return err
	}
	in := unit.DiskUseInput{User: a.User, Policy: rules, UIDs: rangesOf(now.uids, a), GIDs: rangesOf(now.gids, a)}
	// Nobody waits for the job: the unit leaves its result in a file.
	if _, err := l.cfg.Manager.StartTransient(ctx, unit.BuildDiskUse(in)); err != nil {
		return fmt.Errorf("unit %q: %w", unit.DiskUseUnit(a.User), err)
	}
	return nil
}

func rangesOf(all []idRange, a accounts.Account) []string {
	var own []string
	for _, r := range all {
		if r.of(a) {
			own = append(own, fmt.Sprintf("%d:%d", r.start, r.count))
		}
	}
	return own
}

// lastDiskUse reads what the member's unit has left. The member can put anything in its place.
func (f files) lastDiskUse(a accounts.Account) (contract.DiskUse, error) {
	users, err := f.state.Open("users")
	if err != nil {
		return contract.DiskUse{}, err
	}
	defer users.Close()
	file, err := nofollow.Regular(users, path.Join(a.User.String(), contract.DiskUseName), a.UID)
	if err != nil {
		return contract.DiskUse{}, err
	}
	defer file.Close()
	u, err := contract.ReadDiskUse(file, time.Now())
	if err != nil {
		return u, fmt.Errorf("%s: %w", file.Name(), err)
	}
	return u, nil
}
