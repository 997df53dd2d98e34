package launcher

import (
	"context"
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// operation is one thing that the bus can ask for.
type operation struct {
	// callers reports whether an account may ask. Required: an operation without it does not pass TestOperations.
	callers func(hub, caller uint32) bool
	// args and answer name the arguments and what is returned, for tools such as busctl(1). The types are the method's.
	args, answer string
	// method makes the function that the bus calls. It must do all its work inside the gate, which checks the caller
	// first.
	method func(l *Launcher, through gate) any
}

// gate runs work for a permitted caller and turns its error into D-Bus's.
type gate func(from dbus.Sender, work func(ctx context.Context) error) *dbus.Error

// operations is everything that root does for others. docs/security.md has a line for each; a new one needs its own.
func operations() map[string]operation {
	return map[string]operation{
		"Start":      {hubAndRoot, "user server profile without_gpus env", "", startOperation},
		"Stop":       {hubAndRoot, "user server", "", onServer((*Launcher).Stop)},
		"Reset":      {hubAndRoot, "user server", "", onServer((*Launcher).Reset)},
		"Get":        {hubAndRoot, "user server", "server", aboutServer((*Launcher).Get)},
		"List":       {hubAndRoot, "", "servers", aboutAll((*Launcher).List)},
		"Persistent": {hubAndRoot, "", "containers", aboutAll((*Launcher).Persistent)},
		"Profiles":   {hubAndRoot, "", "profiles", aboutAll((*Launcher).Profiles)},
		"Public":     {hubAndRoot, "", "public_paths", aboutAll((*Launcher).Public)},
		"Images":     {hubAndRoot, "", "servers profiles", imagesOperation},
		"GPUs":       {hubAndRoot, "", "gpus", aboutAll((*Launcher).GPUs)},
		"Log":        {hubAndRoot, "user server since after lines", "lines cursor", logOperation},
		"DiskUse":    {hubAndRoot, "user measure", "disk_use", diskUseOperation},
	}
}

func hubAndRoot(hub, caller uint32) bool { return caller == 0 || caller == hub }

// onServer is the method of an operation that does something with one server.
func onServer(do func(*Launcher, context.Context, ident.Key) error) func(*Launcher, gate) any {
	return func(l *Launcher, through gate) any {
		return func(from dbus.Sender, user, server string) *dbus.Error {
			return through(from, func(ctx context.Context) error {
				key, err := parseKey(user, server)
				if err != nil {
					return err
				}
				return do(l, ctx, key)
			})
		}
	}
}

// aboutServer is the method of an operation that returns something of one server.
func aboutServer[T any](get func(*Launcher, context.Context, ident.Key) (T, error)) func(*Launcher, gate) any {
	return func(l *Launcher, through gate) any {
		return func(from dbus.Sender, user, server string) (answer T, failed *dbus.Error) {
			failed = through(from, func(ctx context.Context) error {
				key, err := parseKey(user, server)
				if err != nil {
					return err
				}
				answer, err = get(l, ctx, key)
				return err
			})
			return answer, failed
		}
	}
}

// aboutAll is the method of an operation without arguments.
func aboutAll[T any](get func(*Launcher, context.Context) (T, error)) func(*Launcher, gate) any {
	return func(l *Launcher, through gate) any {
		return func(from dbus.Sender) (answer T, failed *dbus.Error) {
			failed = through(from, func(ctx context.Context) (err error) {
				answer, err = get(l, ctx)
				return err
			})
			return answer, failed
		}
	}
}

func startOperation(l *Launcher, through gate) any {
	return func(from dbus.Sender, user, server, profile string, withoutGPUs bool, env map[string]string) *dbus.Error {
		return through(from, func(ctx context.Context) error {
			key, err := parseKey(user, server)
			if err != nil {
				return err
			}
			return l.Start(ctx, launcherbus.StartRequest{Key: key, Profile: profile, WithoutGPUs: withoutGPUs,
				Env: env})
		})
	}
}

// imagesOperation returns two values, unlike the others.
func imagesOperation(l *Launcher, through gate) any {
	return func(from dbus.Sender) (servers []launcherbus.ServerImage, profiles []launcherbus.ProfileImage,
		failed *dbus.Error) {
		failed = through(from, func(ctx context.Context) error {
			images, err := l.Images(ctx)
			servers, profiles = images.Servers, images.Profiles
			return err
		})
		return servers, profiles, failed
	}
}

func logOperation(l *Launcher, through gate) any {
	return func(from dbus.Sender, user, server string, since uint64, after string, n uint32) (lines []string,
		cursor string, failed *dbus.Error) {
		failed = through(from, func(ctx context.Context) error {
			key, err := parseKey(user, server)
			if err != nil {
				return err
			}
			answer, err := l.Log(ctx, launcherbus.LogRequest{Key: key, Since: launcherbus.TimeOf(since), After: after,
				Lines: int(n)})
			lines, cursor = answer.Lines, answer.Cursor
			return err
		})
		return lines, cursor, failed
	}
}

func diskUseOperation(l *Launcher, through gate) any {
	return func(from dbus.Sender, user string, measure bool) (answer launcherbus.DiskUseRow, failed *dbus.Error) {
		failed = through(from, func(ctx context.Context) error {
			key, err := parseKey(user, "")
			if err != nil {
				return err
			}
			use, err := l.DiskUse(ctx, key.User, measure)
			answer = use.Row()
			return err
		})
		return answer, failed
	}
}

func parseKey(user, server string) (ident.Key, error) {
	key, err := ident.ParseKey(user, server)
	if err != nil {
		return key, fail(launcherbus.Refused, "%v", err)
	}
	return key, nil
}

// Callers returns the uid behind a name on the bus.
type Callers func(ctx context.Context, sender string) (uint32, error)

// Methods returns the functions to export on the bus. ctx is the life of what they do: a start goes on when the hub
// goes away.
func (l *Launcher) Methods(ctx context.Context, uidOf Callers) map[string]any {
	methods := map[string]any{}
	for name, op := range operations() {
		methods[name] = op.method(l, l.gate(ctx, name, op.callers, uidOf))
		if older := launcherbus.OlderName(name); older != "" {
			methods[older] = methods[name]
		}
	}
	return methods
}

func (l *Launcher) gate(ctx context.Context, name string, callers func(hub, caller uint32) bool, uidOf Callers) gate {
	return func(from dbus.Sender, work func(context.Context) error) *dbus.Error {
		uid, err := uidOf(ctx, string(from))
		if err != nil {
			return l.answer(name, fmt.Errorf("cannot find the account of %s: %w", from, err))
		}
		if !callers(l.cfg.Hub.UID, uid) {
			return l.answer(name, fail(launcherbus.Refused, "uid %d may not ask the launcher to %s", uid, name))
		}
		return l.answer(name, work(ctx))
	}
}

// answer returns the public half of an error to the caller and writes all of it to the log. An error that nobody has
// put into words says no more than where to read about it.
func (l *Launcher) answer(operation string, err error) *dbus.Error {
	if err == nil {
		return nil
	}
	var public *launcherbus.Error
	if !errors.As(err, &public) {
		public = fail(launcherbus.Internal, "the launcher met an error").WithHint("journalctl -u gifford-launcher")
	}
	l.cfg.Log.Warn("request failed", "event", "request-failed", "operation", operation, "code", string(public.Code),
		"error", err, "hint", hint.Of(err))
	return public.DBus()
}
