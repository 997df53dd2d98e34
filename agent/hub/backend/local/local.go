// Package local is the backend of the hub's own host: servers are systemd units that the launcher starts, which answer
// on UNIX sockets and write to the journal. It translates between the launcher's D-Bus interface and package backend,
// and puts systemd's words into words for people. It must never decide anything, and nothing above it may learn how
// servers run on this host.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/gpu"
	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// launcher is the launcher's client.
type launcher interface {
	Start(ctx context.Context, r launcherbus.StartRequest) error
	Stop(ctx context.Context, key ident.Key) error
	Reset(ctx context.Context, key ident.Key) error
	Get(ctx context.Context, key ident.Key) (launcherbus.Server, error)
	List(ctx context.Context) ([]launcherbus.Server, error)
	Profiles(ctx context.Context) ([]launcherbus.Profile, error)
	Public(ctx context.Context) ([]launcherbus.PublicPaths, error)
	Images(ctx context.Context) (launcherbus.Images, error)
	GPUs(ctx context.Context) (launcherbus.GPUs, error)
	Persistent(ctx context.Context) ([]launcherbus.PersistentContainer, error)
	DiskUse(ctx context.Context, user ident.User, measure bool) (launcherbus.DiskUse, error)
	Log(ctx context.Context, r launcherbus.LogRequest) (launcherbus.Log, error)
	Watch(ctx context.Context, event func(launcherbus.Event), resync func())
	Close()
}

// Backend runs servers on this host. Make it with New. It is safe for concurrent use.
type Backend struct{ launcher launcher }

// Config is what New needs. All fields are required.
type Config struct {
	Log *slog.Logger // gets what Watch meets
	// Observe is called after each call of the launcher with its name, such as "disk-use".
	Observe func(operation string, err error, took time.Duration)
}

// New makes the backend of this host; nothing is connected yet.
func New(cfg Config) (*Backend, error) {
	if cfg.Observe == nil {
		return nil, errors.New("cannot make the backend of this host: Observe is required")
	}
	client, err := launcherbus.New(launcherbus.Config{Log: cfg.Log,
		Observe: func(operation string, took time.Duration, err error) {
			cfg.Observe(label(operation), neutral(err), took)
		}})
	if err != nil {
		return nil, err
	}
	return &Backend{client}, nil
}

// label is an operation's D-Bus name in lower case with hyphens: "DiskUse" is "disk-use" and "GPUs" is "gpus".
func label(operation string) string {
	return strings.ToLower(wordsEnd.ReplaceAllString(operation, "$1-$2"))
}

var wordsEnd = regexp.MustCompile("([a-z])([A-Z])")

// Close ends the connection to the launcher.
func (b *Backend) Close() { b.launcher.Close() }

// Start starts a server and returns when its process runs or has failed. The launcher goes on with it when ctx ends
// first.
func (b *Backend) Start(ctx context.Context, r backend.StartRequest) error {
	return neutral(b.launcher.Start(ctx, launcherbus.StartRequest(r)))
}

// Stop stops a server and returns when it has ended. One that does not run is an Error with code NotFound.
func (b *Backend) Stop(ctx context.Context, key ident.Key) error {
	return neutral(b.launcher.Stop(ctx, key))
}

// Reset removes the persistent containers of a stopped server. Where there is none it is an Error with code NotFound,
// where the server runs one with AlreadyExists.
func (b *Backend) Reset(ctx context.Context, key ident.Key) error {
	return neutral(b.launcher.Reset(ctx, key))
}

// List returns the servers that exist and have not ended.
func (b *Backend) List(ctx context.Context) ([]backend.Server, error) {
	list, err := b.launcher.List(ctx)
	return each(list, server), neutral(err)
}

// Get returns one server. One that does not exist, or has ended, is an Error with code NotFound.
func (b *Backend) Get(ctx context.Context, key ident.Key) (backend.Server, error) {
	s, err := b.launcher.Get(ctx, key)
	if err != nil {
		return backend.Server{}, neutral(err)
	}
	return server(s), nil
}

// Name returns what this host calls a server: its unit's name.
func (b *Backend) Name(key ident.Key) string { return key.Unit() }

// Watch calls event for each change of a server, in order, and resync whenever changes may have been missed: the
// caller should List then. Both run on Watch's goroutine. It returns when ctx ends.
func (b *Backend) Watch(ctx context.Context, event func(backend.Event), resync func()) {
	b.launcher.Watch(ctx, func(e launcherbus.Event) { event(change(e)) }, resync)
}

// Profiles returns the policy's profiles, the default one first.
func (b *Backend) Profiles(ctx context.Context) ([]backend.Profile, error) {
	profiles, err := b.launcher.Profiles(ctx)
	return each(profiles, func(p launcherbus.Profile) backend.Profile { return backend.Profile(p) }),
		neutral(err)
}

// Public returns the paths of each profile's servers that everybody may open, relative to the server's own.
func (b *Backend) Public(ctx context.Context) (map[string][]string, error) {
	all, err := b.launcher.Public(ctx)
	paths := map[string][]string{}
	for _, p := range all {
		paths[p.Profile] = p.Paths
	}
	return paths, neutral(err)
}

// Images returns the images that servers run on and profiles would start with.
func (b *Backend) Images(ctx context.Context) (backend.Images, error) {
	images, err := b.launcher.Images(ctx)
	return backend.Images(images), neutral(err)
}

// GPUs returns the devices of the host that can be lent, and who holds them.
func (b *Backend) GPUs(ctx context.Context) (backend.GPUs, error) {
	g, err := b.launcher.GPUs(ctx)
	return gpus(g), hint.With(neutral(err), "systemctl status gifford-launcher")
}

// Persistent returns the persistent containers of all members.
func (b *Backend) Persistent(ctx context.Context) ([]backend.PersistentContainer, error) {
	all, err := b.launcher.Persistent(ctx)
	return each(all, func(p launcherbus.PersistentContainer) backend.PersistentContainer {
			return backend.PersistentContainer(p)
		}),
		neutral(err)
}

// DiskUse returns what a member's files took when they were last measured. With measure another measurement begins,
// unless one is under way; nothing waits for it.
func (b *Backend) DiskUse(ctx context.Context, user ident.User, measure bool) (backend.DiskUse, error) {
	u, err := b.launcher.DiskUse(ctx, user, measure)
	return backend.DiskUse{Measuring: u.Measuring, Measured: u.Measured, Storage: backend.Tree(u.Storage),
			Home: backend.Tree(u.Home), HomePath: u.HomePath, Hint: "journalctl -u gifford-usage-" + user.String()},
		neutral(err)
}

// neutral turns the launcher's refusals into the backend's.
func neutral(err error) error {
	var refused *launcherbus.Error
	if !errors.As(err, &refused) {
		return err
	}
	return &backend.Error{Code: backend.Code(refused.Code), Message: refused.Message, Hint: refused.Hint}
}

func each[A, B any](all []A, to func(A) B) []B {
	if all == nil {
		return nil
	}
	out := make([]B, len(all))
	for i, a := range all {
		out[i] = to(a)
	}
	return out
}

func server(s launcherbus.Server) backend.Server {
	return backend.Server{Key: s.Key, Profile: s.Profile, State: backend.State(s.State),
		Address: backend.UnixSocket(s.Socket, s.UID), Started: s.Started, TokenHash: s.TokenHash, Devices: s.Devices}
}

func gpus(g launcherbus.GPUs) backend.GPUs {
	return backend.GPUs{
		Devices: each(g.Devices, device),
		Broken: each(g.Broken, func(b launcherbus.BrokenSpec) backend.BrokenSpec {
			return backend.BrokenSpec(b)
		}),
		Measured: g.Time(), ToolError: g.ToolError,
	}
}

func device(d launcherbus.GPU) backend.Device {
	return backend.Device{Name: d.Name, Model: d.Model, Memory: d.Memory, Health: d.Health,
		Sharing: backend.Sharing(d.Sharing), Places: d.Places,
		Holders: each(d.Holders, func(h launcherbus.Holder) backend.Holder {
			return backend.Holder{Key: h.Key(), Profile: h.Profile, Since: h.Time(), Processes: h.Processes}
		}),
		Now: backend.Load(d.Now), Hour: backend.Load(d.Hour), Busiest: backend.Load(d.Busiest), Profiles: d.Profiles,
		Strangers: each(d.Strangers, func(p gpu.Process) backend.Process { return backend.Process(p) })}
}

// change translates a signal. What a unit's end was is in systemd's words, which why puts into people's.
func change(e launcherbus.Event) backend.Event {
	c := backend.Event{Server: server(e.Server)}
	if e.State == launcherbus.Stopped || e.State == launcherbus.Failed {
		c.Why = why(e)
	}
	return c
}

// why puts systemd's Result (systemd.service(5)) into words.
func why(e launcherbus.Event) backend.Why {
	unit := e.Key.Unit()
	w := backend.Why{Hint: "journalctl -u jupyter-" + e.Key.String()}
	switch e.Result {
	case "", "success":
		w.Message = unit + " ended by itself before it answered"
	case "exit-code":
		w.Message = fmt.Sprintf("%s ended with exit status %d", unit, e.Exit)
	case "signal", "core-dump":
		w.Message = fmt.Sprintf("%s was ended by signal %d", unit, e.Exit)
	case "oom-kill":
		w.Message = unit + " was ended because it used more memory than it may"
	case "timeout":
		w.Message = unit + " took longer than its time-out"
	default:
		w.Message = fmt.Sprintf("%s ended: %s", unit, e.Result)
	}
	return w
}
