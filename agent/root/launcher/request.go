package launcher

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/unit"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

const (
	maxVariables = 64
	maxValue     = 16 << 10 // bytes of one value; JupyterHub's longest is a list of scopes
)

var hubVariable = regexp.MustCompile(`^JUPYTERHUB_[A-Z0-9_]{1,100}$`)

// checkEnv refuses all but JupyterHub's contract, and what podman's reader of
// environment files could take for another line or variable.
func checkEnv(env map[string]string) error {
	if len(env) > maxVariables {
		return fail(launcherbus.Refused, "the request has %d variables; %d are allowed", len(env), maxVariables)
	}
	for name, value := range env {
		switch {
		case name != "JPY_API_TOKEN" && !hubVariable.MatchString(name):
			return fail(launcherbus.Refused, "variable %.40q may not be set by the hub", name)
		case len(value) > maxValue:
			return fail(launcherbus.Refused, "the value of %s has %d bytes; %d are allowed", name, len(value), maxValue)
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }):
			return fail(launcherbus.Refused, "the value of %s has a control character or is not UTF-8", name)
		}
	}
	return nil
}

// permit asks the policy and the name service, and gathers what the unit is made of.
func (l *Launcher) permit(ctx context.Context, r launcherbus.StartRequest) (unit.Input, accounts.Account, error) {
	if err := checkEnv(r.Env); err != nil {
		return unit.Input{}, accounts.Account{}, err
	}
	rules, err := l.policy()
	if err != nil {
		return unit.Input{}, accounts.Account{}, err
	}
	account, err := l.lookup(ctx, r.Key.User)
	if err != nil {
		return unit.Input{}, account, err
	}
	profile, err := l.chooseProfile(ctx, rules, account, r.Profile)
	if err != nil {
		return unit.Input{}, account, err
	}
	podman, err := l.cfg.Podman(ctx)
	if err != nil {
		return unit.Input{}, account, err
	}
	mounts, err := l.chooseMounts(ctx, rules, account, profile)
	if err != nil {
		return unit.Input{}, account, err
	}
	in := unit.Input{Key: r.Key, UID: account.UID, GID: account.GID, Profile: profile, Policy: rules, Mounts: mounts,
		Podman: podman, WithoutGPUs: r.WithoutGPUs}
	if token := r.Env["JUPYTERHUB_API_TOKEN"]; token != "" {
		in.TokenHash = ident.HashToken(token)
	}
	return in, account, nil
}

func (l *Launcher) lookup(ctx context.Context, user ident.User) (accounts.Account, error) {
	account, err := l.cfg.Accounts.Lookup(ctx, user)
	if errors.Is(err, accounts.ErrNotFound) {
		return account, fail(launcherbus.NoAccount, "there is no Unix account %q on this host", user)
	}
	return account, err
}

// policy reads the rules. Their errors are the administrator's: the caller is told
// where to look, the log says what is wrong.
func (l *Launcher) policy() (*policy.Policy, error) {
	rules, err := l.cfg.Policy()
	if err != nil {
		l.cfg.Log.Error("cannot use the policy", "event", "policy", "error", err)
		return nil, fail(launcherbus.Internal, "the launcher's policy cannot be used\nhint: journalctl -u "+
			"gifford-launcher")
	}
	return rules, nil
}

func (l *Launcher) chooseProfile(ctx context.Context, rules *policy.Policy, account accounts.Account,
	name string) (policy.Profile, error) {
	profile, err := rules.Permit(l.person(ctx, account), name)
	return profile, refused(err)
}

func (l *Launcher) chooseMounts(ctx context.Context, rules *policy.Policy, account accounts.Account,
	profile policy.Profile) ([]policy.Mount, error) {
	mounts, err := rules.MountsFor(l.person(ctx, account), profile)
	return mounts, refused(err)
}

// person is the account as the policy asks about it.
func (l *Launcher) person(ctx context.Context, account accounts.Account) policy.Person {
	return policy.Person{User: account.User, UID: account.UID, InGroup: func(group string) (bool, error) {
		return l.inGroup(ctx, account, group)
	}}
}

// refused returns the policy's refusals their code.
func refused(err error) error {
	var refusal *policy.Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Unknown:
		return fail(launcherbus.NotFound, "%v", refusal)
	case errors.As(err, &refusal):
		return fail(launcherbus.Refused, "%v", refusal)
	}
	return err
}

func (l *Launcher) inGroup(ctx context.Context, account accounts.Account, name string) (bool, error) {
	group, err := l.cfg.Accounts.Group(ctx, name)
	if errors.Is(err, accounts.ErrNotFound) {
		return false, fail(launcherbus.Refused, "the policy asks for the Unix group %q, which this host does not "+
			"know\nhint: getent group %s", name, name)
	} else if err != nil {
		return false, err
	}
	for _, gid := range account.Groups {
		if gid == group.GID {
			return true, nil
		}
	}
	return false, nil
}

// Profiles returns the policy's profiles, the default one first.
func (l *Launcher) Profiles() ([]launcherbus.ProfileRow, error) {
	rules, err := l.policy()
	if err != nil {
		return nil, err
	}
	rows := []launcherbus.ProfileRow{}
	for _, p := range rules.Profiles {
		rows = append(rows, launcherbus.ProfileRow{Name: p.Name, DisplayName: p.DisplayName, Description: p.Description,
			Image: p.Image, Default: p.Default, GPUs: int32(p.GPUs.Count)})
	}
	return rows, nil
}
