package launcher

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hint"
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

// checkEnv refuses all but JupyterHub's contract, and values that podman's reader of environment files could take for
// another line or variable.
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
func (l *Launcher) permit(ctx context.Context, r launcherbus.StartRequest, names *names) (unit.Input, error) {
	if err := checkEnv(r.Env); err != nil {
		return unit.Input{}, err
	}
	rules, err := l.policy()
	if err != nil {
		return unit.Input{}, err
	}
	account, err := names.account(ctx, r.Key.User)
	if err != nil {
		return unit.Input{}, err
	}
	who := names.person(ctx, account.User, account.UID)
	profile, err := rules.Permit(who, r.Profile)
	if err != nil {
		return unit.Input{}, refused(err)
	}
	podman, err := l.cfg.Podman(ctx)
	if err != nil {
		return unit.Input{}, err
	}
	mounts, err := rules.MountsFor(who, profile)
	if err != nil {
		return unit.Input{}, refused(err)
	}
	in := unit.Input{Key: r.Key, UID: account.UID, GID: account.GID, Profile: profile, Policy: rules, Mounts: mounts,
		Podman: podman, WithoutGPUs: r.WithoutGPUs}
	if token := r.Env["JUPYTERHUB_API_TOKEN"]; token != "" {
		in.TokenHash = ident.HashToken(token)
	}
	return in, nil
}

// policy reads the rules. Their errors are the administrator's: the caller learns where to read about them, the log
// says what is wrong.
func (l *Launcher) policy() (*policy.Policy, error) {
	rules, err := l.cfg.Policy()
	if err != nil {
		l.cfg.Log.Error("cannot use the policy", "event", "policy", "error", err, "hint", hint.Of(err))
		return nil, fail(launcherbus.Internal, "the launcher's policy cannot be used").
			WithHint("journalctl -u gifford-launcher")
	}
	return rules, nil
}

// refused adds the code to the policy's refusals.
func refused(err error) error {
	var refusal *policy.Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Unknown:
		return &launcherbus.Error{Code: launcherbus.NotFound, Message: refusal.Reason, Hint: refusal.Hint}
	case errors.As(err, &refusal):
		return &launcherbus.Error{Code: launcherbus.Refused, Message: refusal.Reason, Hint: refusal.Hint}
	}
	return err
}

// Profiles returns the policy's profiles, the default one first.
func (l *Launcher) Profiles(context.Context) ([]launcherbus.Profile, error) {
	rules, err := l.policy()
	if err != nil {
		return nil, err
	}
	rows := []launcherbus.Profile{}
	for _, p := range rules.Profiles {
		rows = append(rows, launcherbus.Profile{Name: p.Name, DisplayName: p.DisplayName, Description: p.Description,
			Image: p.Image, Default: p.Default, GPUs: int32(p.GPUs.Count)})
	}
	return rows, nil
}

// Public returns the paths that the policy makes public, of the profiles that have some.
func (l *Launcher) Public(context.Context) ([]launcherbus.PublicPaths, error) {
	rules, err := l.policy()
	if err != nil {
		return nil, err
	}
	rows := []launcherbus.PublicPaths{}
	for _, p := range rules.Profiles {
		if len(p.Public) > 0 {
			rows = append(rows, launcherbus.PublicPaths{Profile: p.Name, Paths: p.Public})
		}
	}
	return rows, nil
}
