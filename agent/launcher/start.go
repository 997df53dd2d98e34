package launcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/launcherbus"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/systemd"
	"github.com/gifford-lab/gifford-hub/agent/unit"
)

// Start starts a server and returns when its unit is active. What it cannot finish it
// takes away again.
func (l *Launcher) Start(ctx context.Context, r launcherbus.StartRequest) error {
	ctx, end, err := l.begin(ctx, r.Key)
	if err != nil {
		return err
	}
	defer end()
	if err := checkEnv(r.Env); err != nil {
		return err
	}
	req, account, err := l.permit(ctx, r)
	if err != nil {
		return err
	}
	if err := l.vacant(ctx, r.Key); err != nil {
		return err
	}
	if err := l.prepare(ctx, &req, account); err != nil {
		return err
	}
	return l.launch(ctx, req, r.Env)
}

// begin notes that a start is under way, so that a Stop can cancel it and no second one
// runs beside it.
func (l *Launcher) begin(ctx context.Context, key ident.Key) (context.Context, func(), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.starts[key] != nil {
		return nil, nil, refuse(launcherbus.AlreadyExists, "%s is starting already", key.Unit())
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &starting{cancel: cancel, done: make(chan struct{})}
	l.starts[key] = s
	return ctx, func() {
		cancel()
		l.mu.Lock()
		delete(l.starts, key)
		l.mu.Unlock()
		close(s.done)
	}, nil
}

// permit asks the policy, and the name service for what the policy needs to know.
func (l *Launcher) permit(ctx context.Context, r launcherbus.StartRequest) (req unit.Request, account accounts.Account, err error) {
	p, err := l.cfg.Policy()
	if err != nil {
		return req, account, refuse(launcherbus.Internal, "%v", err)
	}
	if account, err = l.permitUser(ctx, r.Key.User, p.Host); err != nil {
		return req, account, err
	}
	name, profile, ok := p.Profile(r.Profile)
	if !ok {
		return req, account, refuse(launcherbus.NotFound, "there is no profile %.64q\nhint: the profiles are in /etc/gifford-hub/launcher.toml", r.Profile)
	}
	if err := l.inOneOf(ctx, r.Key.User, profile.UnixGroups, "use profile "+name); err != nil {
		return req, account, err
	}
	version, err := l.cfg.Podman(ctx)
	if err != nil {
		return req, account, refuse(launcherbus.Internal, "%v", err)
	}
	return unit.Request{Key: r.Key, UID: account.UID, Home: p.Host.HomeOf(r.Key.User), ProfileName: name, Profile: profile, Host: p.Host,
		Mounts: p.Mounts, SubIDs: p.SubIDs, Podman: version, TokenHash: ident.HashToken(r.Env["JUPYTERHUB_API_TOKEN"])}, account, nil
}

// permitUser gives the account of a user who may have servers.
func (l *Launcher) permitUser(ctx context.Context, user ident.User, host policy.Host) (accounts.Account, error) {
	account, err := l.cfg.Accounts.Lookup(ctx, user)
	switch {
	case errors.Is(err, accounts.ErrNotFound):
		return account, refuse(launcherbus.NoAccount, "user %q has no Unix account on this host\nhint: getent passwd %s", user, user)
	case err != nil:
		return account, err
	case account.UID == 0 || account.UID < host.MinUID:
		return account, refuse(launcherbus.Refused, "user %q is a system account (uid %d, below %d) and can have no server", user, account.UID, host.MinUID)
	case host.Denied(user):
		return account, refuse(launcherbus.Refused, "the policy lets user %q have no server (deny_users)", user)
	}
	return account, l.inOneOf(ctx, user, host.UnixGroups, "have a server")
}

// inOneOf refuses a user who is in none of the groups; no groups means everybody.
func (l *Launcher) inOneOf(ctx context.Context, user ident.User, groups []string, what string) error {
	for _, group := range groups {
		in, err := l.cfg.Accounts.MemberOf(ctx, user, group)
		if err != nil {
			return err
		}
		if in {
			return nil
		}
	}
	if len(groups) == 0 {
		return nil
	}
	return refuse(launcherbus.Refused, "user %q may not %s: not in group %q", user, what, groups)
}

// vacant refuses a start where a unit runs, and forgets a failed one.
func (l *Launcher) vacant(ctx context.Context, key ident.Key) error {
	s, err := l.cfg.Systemd.Status(ctx, key)
	if errors.Is(err, systemd.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	switch stateOf(s.ActiveState) {
	case launcherbus.Failed, launcherbus.Stopped:
		return l.cfg.Systemd.Reset(ctx, key)
	default:
		return refuse(launcherbus.AlreadyExists, "%s is %s already", key.Unit(), s.ActiveState)
	}
}

// prepare makes what the unit needs on the host before it can start.
func (l *Launcher) prepare(ctx context.Context, req *unit.Request, account accounts.Account) error {
	if err := ensureHome(req.Host, account); err != nil {
		return err
	}
	if err := l.ensureSubIDs(account, req.SubIDs); err != nil {
		return err
	}
	if err := l.cfg.Systemd.StartUserManager(ctx, account.UID); err != nil {
		return fmt.Errorf("runtime folder of %q: %w", account.User, err)
	}
	gid, err := l.cfg.Accounts.GroupID(ctx, l.cfg.HubGroup)
	if err != nil {
		return err
	}
	return l.makeFolders(req, account, gid)
}

// cleanBound is how long taking a failed start away may take; its own context has ended
// when the start was cancelled.
const cleanBound = time.Minute

// launch starts the unit with its environment as a credential, which is removed as soon
// as the start is over.
func (l *Launcher) launch(ctx context.Context, req unit.Request, hubEnv map[string]string) error {
	remove, err := l.writeCredential(&req, req.Env(hubEnv))
	if err != nil {
		return err
	}
	defer remove()
	err = l.cfg.Systemd.Start(ctx, req.Key, req.Properties())
	if err == nil {
		l.cfg.Log.Info("server started", "event", "unit-started", "user", req.Key.User.String(),
			"server", req.Key.Server.String(), "unit", req.Key.Unit(), "profile", req.ProfileName)
		return nil
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanBound)
	defer cancel()
	reason := l.reason(clean, req, err)
	if err := l.remove(clean, req.Key); err != nil {
		l.cfg.Log.Error("cannot take a failed start away", "event", "clean-failed", "unit", req.Key.Unit(), "error", err.Error())
	}
	return reason
}

// reason puts a failed start into words.
func (l *Launcher) reason(ctx context.Context, req unit.Request, cause error) error {
	what := fmt.Sprintf("cannot start %s with image %q (profile %q)", req.Key.Unit(), req.Profile.Image, req.ProfileName)
	hint := "\nhint: journalctl -u jupyter-" + req.Key.String()
	var job *systemd.JobError
	if !errors.As(cause, &job) {
		return refuse(launcherbus.StartFailed, "%s: %v%s", what, cause, hint)
	}
	s, err := l.cfg.Systemd.Status(ctx, req.Key)
	switch {
	case err != nil || s.Result == "success":
		return refuse(launcherbus.StartFailed, "%s: systemd's job ended with %q%s", what, job.Result, hint)
	case s.Result == "exit-code" && s.Exit == 0: // of the main process; what prepares it has failed
		return refuse(launcherbus.StartFailed, "%s: the image or the network could not be made ready; its log says why%s", what, hint)
	case s.Result == "exit-code":
		return refuse(launcherbus.StartFailed, "%s: it ended with exit status %d%s", what, s.Exit, hint)
	case s.Result == "timeout":
		return refuse(launcherbus.StartFailed, "%s: it was not ready within %s%s", what, time.Duration(req.Profile.StartTimeout), hint)
	default:
		return refuse(launcherbus.StartFailed, "%s: %s%s", what, s.Result, hint)
	}
}
