package launcher

import (
	"context"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/unit"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// Reset removes, as the member, the persistent containers of a server, so that the next start makes a fresh one. It
// returns when they are gone.
func (l *Launcher) Reset(ctx context.Context, key ident.Key) error {
	ctx, cancel := context.WithTimeout(ctx, resetTime)
	defer cancel()
	defer l.users.lock(key.User)()
	all, err := l.files.containers(key)
	if err != nil {
		return err
	} else if len(all) == 0 {
		return fail(launcherbus.NotFound, "server %s has no persistent container", key)
	}
	in, account, err := l.permitReset(ctx, key)
	if err != nil {
		return err
	}
	if l.server(key) != nil {
		return fail(launcherbus.AlreadyExists, "server %s is not stopped", key).WithHint("stop it first")
	}
	if err := l.runReset(ctx, in, account, all); err != nil {
		return err
	}
	if err := l.files.forgetContainers(key); err != nil {
		return err
	}
	l.cfg.Log.Info("server reset", "event", "server-reset", "user", key.User.String(), "server", key.Server.String(),
		"containers", len(all))
	return nil
}

// permitReset asks the name service and the policy who the member is. A member who may no longer have a server can
// still remove their containers.
func (l *Launcher) permitReset(ctx context.Context, key ident.Key) (unit.Input, accounts.Account, error) {
	rules, err := l.policy()
	if err != nil {
		return unit.Input{}, accounts.Account{}, err
	}
	account, err := l.names().account(ctx, key.User)
	if err != nil {
		return unit.Input{}, account, err
	}
	if account.UID == 0 || account.UID < rules.Host.MinUID {
		return unit.Input{}, account, fail(launcherbus.Refused,
			"%s has uid %d; accounts below %d have no server (min_uid in %s)", key.User, account.UID, rules.Host.MinUID,
			policy.File)
	}
	podman, err := l.cfg.Podman(ctx)
	return unit.Input{Key: key, UID: account.UID, Policy: rules, Podman: podman}, account, err
}

// runReset runs the unit that removes the containers.
func (l *Launcher) runReset(ctx context.Context, in unit.Input, account accounts.Account, all []container) error {
	if err := l.cfg.Manager.EnableLinger(ctx, account.UID); err != nil {
		return err
	}
	if err := l.files.prepareUser(account); err != nil {
		return err
	}
	var profiles []string
	for _, c := range all {
		profiles = append(profiles, c.profile)
	}
	wait, err := l.cfg.Manager.StartTransient(ctx, unit.Reset(in, profiles))
	if err == nil {
		err = wait(ctx)
	}
	if err != nil {
		l.cfg.Log.Warn("cannot reset a server", "event", "reset-failed", "user", in.Key.User.String(), "server",
			in.Key.Server.String(), "error", err)
		return fail(launcherbus.StartFailed, "the persistent containers of server %s cannot be removed", in.Key).
			WithHint("journalctl -u %s", strings.TrimSuffix(unit.ResetUnit(in.Key), ".service"))
	}
	return nil
}
