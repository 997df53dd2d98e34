// Package launcher is the only code of the hub that runs as root. It serves a few
// operations on the system bus to the hub's account: each checks its caller and every
// argument again, takes all that matters from the root-owned policy, prepares the member's
// runtime and has systemd do the rest. It must never run a program as root, speak to a
// network, or follow a link that a member can make.
package launcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/launcherbus"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/systemd"
	"github.com/gifford-lab/gifford-hub/agent/unit"
)

// manager is the service manager.
type manager interface {
	Start(ctx context.Context, key ident.Key, properties []unit.Property) error
	Stop(ctx context.Context, key ident.Key) error
	Reset(ctx context.Context, key ident.Key) error
	List(ctx context.Context) ([]systemd.Status, error)
	Status(ctx context.Context, key ident.Key) (systemd.Status, error)
	StartUserManager(ctx context.Context, uid uint32) error
}

// directory is the host's name service.
type directory interface {
	Lookup(ctx context.Context, user ident.User) (accounts.Account, error)
	MemberOf(ctx context.Context, user ident.User, group string) (bool, error)
	GroupID(ctx context.Context, group string) (uint32, error)
}

// Config is what a Launcher needs; all fields are required.
type Config struct {
	// Policy reads the policy. It is called at each start, so that a change counts at once.
	Policy   func() (*policy.Policy, error)
	Systemd  manager
	Accounts directory
	// Podman gives the version of the host's Podman.
	Podman func(ctx context.Context) (unit.Podman, error)
	// HubUser is the only account besides root that may call, HubGroup the one that may
	// connect to the servers' sockets.
	HubUser  ident.User
	HubGroup string
	// StateDir and RunDir are the launcher's own folders; systemd makes them.
	StateDir, RunDir string
	// Etc is the folder with subuid and subgid.
	Etc string
	Log *slog.Logger
}

// Launcher serves the operations.
type Launcher struct {
	cfg    Config
	subIDs sync.Mutex // one writer of the files with sub-ids

	mu     sync.Mutex // guards starts
	starts map[ident.Key]*starting
}

// starting is a Start under way.
type starting struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// New makes a Launcher.
func New(cfg Config) *Launcher {
	return &Launcher{cfg: cfg, starts: map[ident.Key]*starting{}}
}

// refuse makes an error for people.
func refuse(code launcherbus.Code, format string, args ...any) *launcherbus.Error {
	return &launcherbus.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// List gives all servers whose units exist.
func (l *Launcher) List(ctx context.Context) ([]launcherbus.Server, error) {
	units, err := l.cfg.Systemd.List(ctx)
	if err != nil {
		return nil, err
	}
	var all []launcherbus.Server
	for _, u := range units {
		state := stateOf(u.ActiveState)
		if state == launcherbus.Stopped || state == launcherbus.Failed {
			continue
		}
		all = append(all, launcherbus.Server{Key: u.Key, Profile: u.Environment[unit.EnvProfile], State: state, UID: u.UID,
			Socket: u.Environment[unit.EnvSocket], TokenHash: u.Environment[unit.EnvTokenHash], Started: u.Started})
	}
	return all, nil
}

// stateOf puts systemd's ActiveState (systemd(1), Units) into our words.
func stateOf(active string) launcherbus.State {
	switch active {
	case "active", "reloading", "refreshing":
		return launcherbus.Running
	case "activating":
		return launcherbus.Starting
	case "deactivating", "maintenance":
		return launcherbus.Stopping
	case "failed":
		return launcherbus.Failed
	default:
		return launcherbus.Stopped
	}
}

// Profiles gives what people may choose from.
func (l *Launcher) Profiles(context.Context) ([]launcherbus.Profile, error) {
	p, err := l.cfg.Policy()
	if err != nil {
		return nil, refuse(launcherbus.Internal, "%v", err)
	}
	var all []launcherbus.Profile
	for name, profile := range p.Sorted() {
		all = append(all, launcherbus.Profile{Name: name, DisplayName: profile.DisplayName, Description: profile.Description,
			Image: profile.Image, Default: name == p.DefaultProfile()})
	}
	return all, nil
}

// Stop stops a server or cancels its start, and returns when its unit is gone.
func (l *Launcher) Stop(ctx context.Context, key ident.Key) error {
	l.mu.Lock()
	s := l.starts[key]
	l.mu.Unlock()
	if s != nil {
		s.cancel()
		select {
		case <-s.done:
			return nil // Start has taken away what it had made
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if _, err := l.cfg.Systemd.Status(ctx, key); errors.Is(err, systemd.ErrNotFound) {
		return refuse(launcherbus.NotFound, "%s does not run", key.Unit())
	}
	return l.remove(ctx, key)
}

// remove stops a unit and lets systemd forget it.
func (l *Launcher) remove(ctx context.Context, key ident.Key) error {
	err := l.cfg.Systemd.Stop(ctx, key)
	if err != nil && !errors.Is(err, systemd.ErrNotFound) {
		return err
	}
	return l.cfg.Systemd.Reset(ctx, key)
}

// Changed takes a change of a unit's state and gives the event that it is. A unit that
// has failed is forgotten by systemd once its reason is read.
func (l *Launcher) Changed(ctx context.Context, c systemd.Change) launcherbus.Event {
	e := launcherbus.Event{Key: c.Key, State: stateOf(c.ActiveState)}
	if e.State != launcherbus.Failed {
		return e
	}
	if s, err := l.cfg.Systemd.Status(ctx, c.Key); err == nil {
		e.Result, e.Exit = s.Result, s.Exit
	}
	l.mu.Lock()
	_, starts := l.starts[c.Key]
	l.mu.Unlock()
	if !starts { // Start reads the reason itself
		l.forget(ctx, c.Key)
	}
	l.cfg.Log.Warn("server failed", "event", "unit-failed", "user", c.Key.User.String(), "server", c.Key.Server.String(),
		"unit", c.Key.Unit(), "result", e.Result, "exit", e.Exit)
	return e
}

func (l *Launcher) forget(ctx context.Context, key ident.Key) {
	if err := l.cfg.Systemd.Reset(ctx, key); err != nil {
		l.cfg.Log.Error("cannot reset a failed unit", "event", "reset-failed", "unit", key.Unit(), "error", err.Error())
	}
}

// Tidy forgets units that failed while no launcher watched.
func (l *Launcher) Tidy(ctx context.Context) error {
	units, err := l.cfg.Systemd.List(ctx)
	if err != nil {
		return err
	}
	for _, u := range units {
		if stateOf(u.ActiveState) == launcherbus.Failed {
			l.forget(ctx, u.Key)
		}
	}
	return nil
}
