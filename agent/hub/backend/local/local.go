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
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/unitlog"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// launcher is the launcher's client.
type launcher interface {
	Start(ctx context.Context, r launcherbus.StartRequest) error
	Stop(ctx context.Context, key ident.Key) error
	Reset(ctx context.Context, key ident.Key) error
	List(ctx context.Context) ([]launcherbus.Server, error)
	Profiles(ctx context.Context) ([]launcherbus.Profile, error)
	Images(ctx context.Context) (launcherbus.Images, error)
	GPUs(ctx context.Context) (launcherbus.GPUs, error)
	Kept(ctx context.Context) ([]launcherbus.Kept, error)
	Usage(ctx context.Context, user ident.User, measure bool) (launcherbus.Usage, error)
	Watch(ctx context.Context, event func(launcherbus.Event), resync func())
	Close()
}

// journal reads what a unit wrote.
type journal interface {
	Follow(ctx context.Context, unit string, since time.Time, line func(string)) error
	Tail(ctx context.Context, unit string, since time.Time, n int) ([]string, error)
}

// Backend runs servers on this host. Make it with New. It is safe for concurrent use.
type Backend struct {
	launcher launcher
	journal  journal
	observe  func(operation string, err error, took time.Duration)
}

// Config is what New needs. All fields are required.
type Config struct {
	Log *slog.Logger // gets what Watch meets
	// Observe is called after each call of the launcher with its name, such as "disk-use".
	Observe func(operation string, err error, took time.Duration)
}

// journalctl reads the journal, for which the hub's account is in the group systemd-journal.
const journalctl = "/usr/bin/journalctl"

// New makes the backend of this host; nothing is connected yet.
func New(cfg Config) (*Backend, error) {
	if cfg.Observe == nil {
		return nil, errors.New("cannot make the backend of this host: Observe is required")
	}
	client, err := launcherbus.New(launcherbus.Config{Log: cfg.Log})
	if err != nil {
		return nil, err
	}
	return &Backend{client, unitlog.Reader{Command: journalctl}, cfg.Observe}, nil
}

// Close ends the connection to the launcher.
func (b *Backend) Close() { b.launcher.Close() }

// Start starts a server and returns when its process runs or has failed. The launcher goes on with it when ctx ends
// first.
func (b *Backend) Start(ctx context.Context, r backend.StartRequest) error {
	return b.done("start", time.Now(), b.launcher.Start(ctx, launcherbus.StartRequest(r)))
}

// Stop stops a server and returns when it has ended. One that does not run is an Error with code NotFound.
func (b *Backend) Stop(ctx context.Context, key ident.Key) error {
	return b.done("stop", time.Now(), b.launcher.Stop(ctx, key))
}

// Reset removes the persistent containers of a stopped server. Where there is none it is an Error with code NotFound,
// where the server runs one with AlreadyExists.
func (b *Backend) Reset(ctx context.Context, key ident.Key) error {
	return b.done("reset", time.Now(), b.launcher.Reset(ctx, key))
}

// List returns the servers that exist and have not ended.
func (b *Backend) List(ctx context.Context) ([]backend.Server, error) {
	begun := time.Now()
	list, err := b.launcher.List(ctx)
	return each(list, server), b.done("list", begun, err)
}

// Get returns one server. One that does not exist, or has ended, is an Error with code NotFound.
func (b *Backend) Get(ctx context.Context, key ident.Key) (backend.Server, error) {
	list, err := b.List(ctx)
	if err != nil {
		return backend.Server{}, err
	}
	for _, s := range list {
		if s.Key == key {
			return s, nil
		}
	}
	return backend.Server{}, &backend.Error{Code: backend.NotFound, Message: key.Unit() + " does not run"}
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
	begun := time.Now()
	profiles, err := b.launcher.Profiles(ctx)
	return each(profiles, func(p launcherbus.Profile) backend.Profile { return backend.Profile(p) }),
		b.done("profiles", begun, err)
}

// Images returns the images that servers run on and profiles would start with.
func (b *Backend) Images(ctx context.Context) (backend.Images, error) {
	begun := time.Now()
	images, err := b.launcher.Images(ctx)
	return backend.Images(images), b.done("images", begun, err)
}

// GPUs returns the devices of the host that can be lent, and who holds them.
func (b *Backend) GPUs(ctx context.Context) (backend.GPUs, error) {
	begun := time.Now()
	g, err := b.launcher.GPUs(ctx)
	return gpus(g), b.done("gpus", begun, err)
}

// Persistent returns the persistent containers of all members.
func (b *Backend) Persistent(ctx context.Context) ([]backend.PersistentContainer, error) {
	begun := time.Now()
	all, err := b.launcher.Kept(ctx)
	return each(all, func(k launcherbus.Kept) backend.PersistentContainer { return backend.PersistentContainer(k) }),
		b.done("persistent", begun, err)
}

// DiskUse returns what a member's files took when they were last measured. With measure another measurement begins,
// unless one is under way; nothing waits for it.
func (b *Backend) DiskUse(ctx context.Context, user ident.User, measure bool) (backend.DiskUse, error) {
	begun := time.Now()
	u, err := b.launcher.Usage(ctx, user, measure)
	return backend.DiskUse{Measuring: u.Measuring, Measured: u.Measured, Storage: backend.Tree(u.Storage),
		Home: backend.Tree(u.Home), HomePath: u.HomePath}, b.done("disk-use", begun, err)
}

// done observes a call of the launcher and returns its error as the backend's.
func (b *Backend) done(operation string, begun time.Time, err error) error {
	err = neutral(err)
	b.observe(operation, err, time.Since(begun))
	return err
}

// neutral turns the launcher's refusals into the backend's.
func neutral(err error) error {
	var refused *launcherbus.Error
	if !errors.As(err, &refused) {
		return err
	}
	message, hint, _ := strings.Cut(refused.Message, "\nhint: ")
	return &backend.Error{Code: backend.Code(refused.Code), Message: message, Hint: hint}
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
		Measured: g.Measured, ToolError: g.ToolError,
	}
}

func device(d launcherbus.GPU) backend.Device {
	return backend.Device{Name: d.Name, Model: d.Model, Memory: d.Memory, Health: d.Health,
		Sharing: backend.Sharing(d.Sharing), Places: d.Places,
		Holders: each(d.Holders, func(h launcherbus.Holder) backend.Holder { return backend.Holder(h) }),
		Now:     backend.Load(d.Now), Hour: backend.Load(d.Hour), Busiest: backend.Load(d.Busiest), Profiles: d.Profiles,
		Strangers: each(d.Strangers, func(p launcherbus.GPUProcess) backend.Process { return backend.Process(p) })}
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
