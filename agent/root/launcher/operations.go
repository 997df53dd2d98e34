package launcher

import (
	"context"
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// operation is one thing that the bus can ask for.
type operation struct {
	// callers reports whether an account may ask. Required: an operation without it does
	// not pass TestOperations.
	callers func(hub, caller uint32) bool
	// method makes the function that the bus calls. It must do all its work inside the
	// gate, which checks the caller first.
	method func(l *Launcher, through gate) any
}

// gate runs work for a permitted caller and turns its error into D-Bus's.
type gate func(from dbus.Sender, work func(ctx context.Context) error) *dbus.Error

// operations is everything that root does for others. docs/security.md has a line for
// each; a new one needs its own.
func operations() map[string]operation {
	return map[string]operation{
		"Start": {callers: hubAndRoot, method: func(l *Launcher, through gate) any {
			return func(from dbus.Sender, user, server, profile string, withoutGPUs bool,
				env map[string]string) *dbus.Error {
				return through(from, func(ctx context.Context) error {
					key, err := parseKey(user, server)
					if err != nil {
						return err
					}
					return l.Start(ctx, launcherbus.StartRequest{Key: key, Profile: profile, WithoutGPUs: withoutGPUs,
						Env: env})
				})
			}
		}},
		"Stop": {callers: hubAndRoot, method: func(l *Launcher, through gate) any {
			return func(from dbus.Sender, user, server string) *dbus.Error {
				return through(from, func(ctx context.Context) error {
					key, err := parseKey(user, server)
					if err != nil {
						return err
					}
					return l.Stop(ctx, key)
				})
			}
		}},
		"Reset": {callers: hubAndRoot, method: func(l *Launcher, through gate) any {
			return func(from dbus.Sender, user, server string) *dbus.Error {
				return through(from, func(ctx context.Context) error {
					key, err := parseKey(user, server)
					if err != nil {
						return err
					}
					return l.Reset(ctx, key)
				})
			}
		}},
		"Kept": {callers: hubAndRoot, method: func(l *Launcher, through gate) any {
			return func(from dbus.Sender) (rows []launcherbus.KeptRow, failed *dbus.Error) {
				failed = through(from, func(ctx context.Context) (err error) {
					rows, err = l.Kept(ctx)
					return err
				})
				return rows, failed
			}
		}},
		"List": {callers: hubAndRoot, method: func(l *Launcher, through gate) any {
			return func(from dbus.Sender) (rows []launcherbus.ServerRow, failed *dbus.Error) {
				failed = through(from, func(ctx context.Context) (err error) {
					rows, err = l.List(ctx)
					return err
				})
				return rows, failed
			}
		}},
		"Profiles": {callers: hubAndRoot, method: func(l *Launcher, through gate) any {
			return func(from dbus.Sender) (rows []launcherbus.ProfileRow, failed *dbus.Error) {
				failed = through(from, func(context.Context) (err error) {
					rows, err = l.Profiles()
					return err
				})
				return rows, failed
			}
		}},
		"Images": {callers: hubAndRoot, method: func(l *Launcher, through gate) any {
			return func(from dbus.Sender) (servers []launcherbus.ServerImage, profiles []launcherbus.ProfileImage,
				failed *dbus.Error) {
				failed = through(from, func(ctx context.Context) (err error) {
					servers, profiles, err = l.Images(ctx)
					return err
				})
				return servers, profiles, failed
			}
		}},
		"GPUs": {callers: hubAndRoot, method: func(l *Launcher, through gate) any {
			return func(from dbus.Sender) (row launcherbus.GPUsRow, failed *dbus.Error) {
				failed = through(from, func(ctx context.Context) error {
					answer, err := l.GPUs(ctx)
					row = answer.Row()
					return err
				})
				return row, failed
			}
		}},
		"Usage": {callers: hubAndRoot, method: func(l *Launcher, through gate) any {
			return func(from dbus.Sender, user string, measure bool) (row launcherbus.UsageRow, failed *dbus.Error) {
				failed = through(from, func(ctx context.Context) error {
					key, err := parseKey(user, "")
					if err != nil {
						return err
					}
					answer, err := l.Usage(ctx, key.User, measure)
					row = answer.Row()
					return err
				})
				return row, failed
			}
		}},
	}
}

func hubAndRoot(hub, caller uint32) bool { return caller == 0 || caller == hub }

func parseKey(user, server string) (ident.Key, error) {
	key, err := ident.ParseKey(user, server)
	if err != nil {
		return key, fail(launcherbus.Refused, "%v", err)
	}
	return key, nil
}

// Callers tells the uid behind a name on the bus.
type Callers func(ctx context.Context, sender string) (uint32, error)

// Methods returns the functions to export on the bus. ctx is the life of what they do:
// a start goes on when the hub goes away.
func (l *Launcher) Methods(ctx context.Context, uidOf Callers) map[string]any {
	methods := map[string]any{}
	for name, op := range operations() {
		methods[name] = op.method(l, l.gate(ctx, name, op.callers, uidOf))
	}
	return methods
}

func (l *Launcher) gate(ctx context.Context, name string, callers func(hub, caller uint32) bool, uidOf Callers) gate {
	return func(from dbus.Sender, work func(context.Context) error) *dbus.Error {
		uid, err := uidOf(ctx, string(from))
		if err != nil {
			return l.answer(name, fmt.Errorf("cannot tell who %s is: %w", from, err))
		}
		if !callers(l.cfg.Hub.UID, uid) {
			return l.answer(name, fail(launcherbus.Refused, "uid %d may not ask the launcher to %s", uid, name))
		}
		return l.answer(name, work(ctx))
	}
}

// answer returns the public half of an error to the caller and all of it to the log. An
// error that nobody has put into words says no more than where to look.
func (l *Launcher) answer(operation string, err error) *dbus.Error {
	if err == nil {
		return nil
	}
	var public *launcherbus.Error
	if !errors.As(err, &public) {
		public = &launcherbus.Error{Code: launcherbus.Internal,
			Message: "the launcher met an error\nhint: journalctl -u gifford-launcher"}
	}
	l.cfg.Log.Warn("request failed", "event", "request-failed", "operation", operation, "code", string(public.Code),
		"error", err)
	return public.DBus()
}
