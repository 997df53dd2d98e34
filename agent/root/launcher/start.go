package launcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/root/systemd"
	"github.com/gifford-lab/gifford-hub/agent/root/unit"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

const (
	prepareTime = time.Minute     // for all before systemd has the job: name service, network file system, user manager
	endingTime  = 5 * time.Second // from a job's result to the unit's end being announced, and to its being forgotten
	forgetEvery = 50 * time.Millisecond
	resetTime   = 6 * time.Minute  // for the unit that removes persistent containers
	stopMargin  = 30 * time.Second // for ExecStopPost, on top of the unit's own time-outs
)

// Start checks a request, prepares the member's runtime and starts the unit. It returns when the container runs, or
// has failed to.
func (l *Launcher) Start(ctx context.Context, r launcherbus.StartRequest) error {
	asked := time.Now()
	unit, err := l.begin(ctx, r)
	if err != nil {
		return err
	}
	waitCtx, cancel := context.WithTimeout(ctx, unit.limit())
	defer cancel()
	if err := unit.wait(waitCtx); err != nil {
		return l.startFailed(ctx, unit, err)
	}
	l.files.removeCredential(r.Key)
	l.cfg.Log.Info("server started", "event", "server-start", "user", r.Key.User.String(), "server",
		r.Key.Server.String(), "unit", r.Key.Unit(), "profile", unit.in.Profile.Name, "took_ms",
		time.Since(asked).Milliseconds())
	return nil
}

// begun is a unit whose start job is queued.
type begun struct {
	in     unit.Input
	server *server
	wait   systemd.Wait
}

// limit is longer than the unit's own time-outs together.
func (b begun) limit() time.Duration {
	p := b.in.Profile
	return p.ImageTimeout + 2*p.StartTimeout + p.StopTimeout + stopMargin
}

// begin does all up to the queued start job, one request of a user at a time. The lock comes before the questions to
// the name service, which may take long: a stop in that time waits for it and then finds the unit.
func (l *Launcher) begin(ctx context.Context, r launcherbus.StartRequest) (begun, error) {
	ctx, cancel := context.WithTimeout(ctx, prepareTime)
	defer cancel()
	defer l.users.lock(r.Key.User)()
	names := l.names()
	in, err := l.permit(ctx, r, names)
	if err != nil {
		return begun{}, err
	}
	if err := l.makeRoom(ctx, r.Key); err != nil {
		return begun{}, err
	}
	release, err := l.lend(ctx, &in, names)
	if err != nil {
		return begun{}, err
	}
	// Once systemd has answered, the unit says itself what it holds, or there is none.
	defer release()
	if err := l.prepare(ctx, in, names, r.Env); err != nil {
		return begun{}, err
	}
	return l.launch(ctx, in)
}

// launch queues the start job of a unit for which all is prepared.
func (l *Launcher) launch(ctx context.Context, in unit.Input) (begun, error) {
	s := l.enter(madeFrom(in))
	wait, err := l.cfg.Manager.StartTransient(ctx, unit.Build(in))
	if err != nil {
		l.notBegun(ctx, in.Key, s)
		return begun{}, fmt.Errorf("unit %q: %w", in.Key.Unit(), err)
	}
	return begun{in, s, wait}, nil
}

// makeRoom refuses a start whose unit exists and clears away one that has failed.
func (l *Launcher) makeRoom(ctx context.Context, key ident.Key) error {
	if s := l.server(key); s != nil {
		u, err := l.cfg.Units.Get(ctx, key.Unit())
		if err == nil && (u.State == systemd.Active || u.State == systemd.Activating) {
			return fail(launcherbus.AlreadyExists, "unit %q exists already", key.Unit())
		}
		// It is ending, or has ended and systemd's signal is on its way, which must not be taken for the end of the
		// next unit.
		waitEnd(ctx, s)
	}
	u, err := l.forgotten(ctx, key)
	switch _, ours := contract.ReadMetadata(u.Name, u.Environment); {
	case errors.Is(err, systemd.ErrNotLoaded):
		return nil
	case err != nil:
		return err
	case !ours || u.State != systemd.Failed:
		return fail(launcherbus.AlreadyExists, "unit %q exists already", key.Unit())
	}
	switch l.verdictOfFailed(ctx, key) {
	case lingers:
		return fail(launcherbus.AlreadyExists, "unit %q has failed, and processes of it are left that do not end when "+
			"they are killed", key.Unit()).WithHint("systemctl status %s", unitWord(key))
	case unknown:
		return fmt.Errorf("cannot ask for the processes of unit %q", key.Unit())
	}
	return l.cfg.Manager.ResetFailed(ctx, key.Unit())
}

// forgotten waits until systemd has forgotten a unit that ended just now, and returns what there is then. systemd takes
// no other unit of the name as long as what the end starts (OnSuccess=) is on its way.
func (l *Launcher) forgotten(ctx context.Context, key ident.Key) (systemd.Unit, error) {
	for end := time.Now().Add(endingTime); ; {
		u, err := l.cfg.Units.Get(ctx, key.Unit())
		if _, ours := contract.ReadMetadata(u.Name, u.Environment); err != nil || !ours ||
			u.State != systemd.Inactive ||
			u.Queued || time.Now().After(end) {
			return u, err
		}
		select {
		case <-ctx.Done():
			return u, ctx.Err()
		case <-time.After(forgetEvery):
		}
	}
}

// prepare makes what the unit needs on the host.
func (l *Launcher) prepare(ctx context.Context, in unit.Input, names *names, env map[string]string) error {
	account, err := names.account(ctx, in.Key.User)
	if err != nil {
		return err
	}
	if err := homeOf(in.Policy.Host, account).ensure(); err != nil {
		return err
	}
	if err := checkMounts(in.Mounts, account); err != nil {
		return err
	}
	if err := l.ids.ensure(ctx, account, in.Policy.SubIDs); err != nil {
		return err
	}
	if err := l.cfg.Manager.EnableLinger(ctx, account.UID); err != nil {
		return err
	}
	if err := l.vacate(ctx, in.Key); err != nil {
		return err
	}
	return l.files.prepare(in, account, env)
}

// startFailed puts the failure into words. By then the unit's end has been announced and the unit is gone, or is given
// up.
func (l *Launcher) startFailed(ctx context.Context, b begun, err error) error {
	in, s := b.in, b.server
	var job *systemd.JobError
	if !errors.As(err, &job) {
		// The job goes on, and systemd may still need the credential: this launcher or the next removes it when the
		// unit has started or ended.
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			return l.startOverdue(ctx, b)
		}
		return err
	}
	l.files.removeCredential(in.Key)
	if job.Result == "dependency" {
		// The unit itself has never begun, so no signal announces its end.
		l.notBegun(ctx, in.Key, s)
		return fail(launcherbus.StartFailed, "unit %q could not start: its view of the images could not be "+
			"made", in.Key.Unit()).WithHint("journalctl -u %s", unit.ViewUnit(in.Key))
	}
	waitEnd(ctx, s)
	l.mu.Lock()
	outcome := s.outcome
	l.mu.Unlock()
	why := explain(in, outcome)
	if job.Result == "canceled" {
		why = "it was stopped before it was ready"
	}
	return notStarted(in.Key, why)
}

// startOverdue stops a unit that was given more than all of its time-outs, which it can extend itself.
func (l *Launcher) startOverdue(ctx context.Context, b begun) error {
	if _, err := l.cfg.Manager.Stop(ctx, b.in.Key.Unit()); err != nil {
		return err
	}
	return notStarted(b.in.Key, fmt.Sprintf("it was not ready within %s", b.limit()))
}

func notStarted(key ident.Key, why string) error {
	return fail(launcherbus.StartFailed, "unit %q could not start: %s", key.Unit(), why).
		WithHint("journalctl -u %s", unitWord(key))
}

// unitWord is the unit's name as people type it.
func unitWord(key ident.Key) string { return "jupyter-" + key.String() }

func explain(in unit.Input, o systemd.Outcome) string {
	if words := unit.Explain(in.Profile, o.PreExit); words != "" {
		return words
	}
	switch o.Result {
	case "timeout":
		return fmt.Sprintf("it was not ready within %s", in.Profile.StartTimeout)
	case "exit-code":
		return fmt.Sprintf("it ended with exit status %d", max(o.Exit, o.PreExit))
	case "signal", "core-dump":
		return fmt.Sprintf("it was ended by signal %s", unix.SignalName(unix.Signal(o.Exit)))
	case "oom-kill":
		return "it needed more memory than it may have"
	case "", "success":
		return "it ended at once"
	}
	return "systemd's result is " + o.Result
}

// Stop stops a server and returns when its unit has ended.
func (l *Launcher) Stop(ctx context.Context, key ident.Key) error {
	s, err := l.stoppable(ctx, key)
	if err != nil {
		return err
	}
	l.setStopping(s, true)
	l.oversee(key, s)
	wait, err := l.cfg.Manager.Stop(ctx, key.Unit())
	if errors.Is(err, systemd.ErrNotLoaded) {
		return notRunning(key)
	} else if err != nil {
		l.setStopping(s, false) // a later failure is one
		return err
	}
	if err := wait(ctx); err != nil {
		return err
	}
	// No signal announces the end of a unit that has not begun, since it waited for its view of the images.
	l.mayHaveEnded(ctx, key, s, false)
	waitEnd(ctx, s)
	l.cfg.Log.Info("server stopped", "event", "server-stop", "user", key.User.String(), "server", key.Server.String(),
		"unit", key.Unit())
	return nil
}

// stoppable returns a server whose unit exists. What this process does not know systemd may: a unit whose start an
// earlier launcher has queued.
func (l *Launcher) stoppable(ctx context.Context, key ident.Key) (*server, error) {
	defer l.users.lock(key.User)()
	if s := l.server(key); s != nil {
		return s, nil
	}
	made, _, err := l.existing(ctx, key)
	if err != nil {
		return nil, err
	}
	return l.enter(made), nil
}

// waitEnd waits until a unit's end has been announced and cleared away.
func waitEnd(ctx context.Context, s *server) {
	select {
	case <-s.ended:
	case <-ctx.Done():
	case <-time.After(endingTime):
	}
}
