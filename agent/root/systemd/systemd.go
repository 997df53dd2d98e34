// Package systemd starts, stops, lists and watches units over systemd's private socket, which is root's alone, and asks
// logind over the system bus. It takes no signal from the bus, where any account can send one that looks like
// systemd's. It must never decide what runs: the policy and package unit do.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/root/transient"
)

// State is a unit's ActiveState.
type State string

// The states of org.freedesktop.systemd1's Unit.ActiveState that our units have.
const (
	Activating   State = "activating"
	Active       State = "active"
	Deactivating State = "deactivating"
	Inactive     State = "inactive"
	Failed       State = "failed"
)

// Status is what systemd says of one unit in a list.
type Status struct {
	Name   string
	State  State
	Queued bool // a job for it waits or runs, such as the start of one that is still inactive
}

// Unit is a unit with what it was made of. A unit that exists keeps its environment.
type Unit struct {
	Status
	Environment []string
	Since       time.Time     // when it was last started; zero for one that never was
	StopTimeout time.Duration // of each step of its stop; a day for none
}

// Outcome is how a unit ended or why it could not start.
type Outcome struct {
	Result  string // systemd.service(5), $SERVICE_RESULT: "success", "exit-code", "timeout" …
	Exit    int32  // exit status or signal of the main process
	PreExit int32  // exit status of a failed ExecStartPre or ExecStartPost; 0 when none failed
}

// ErrNotLoaded says that systemd knows no such unit.
var ErrNotLoaded = errors.New("unit is not loaded")

// Names of systemd's D-Bus interface, org.freedesktop.systemd1(5).
const (
	busName          = "org.freedesktop.systemd1"
	managerPath      = dbus.ObjectPath("/org/freedesktop/systemd1")
	managerInterface = busName + ".Manager"
	unitInterface    = busName + ".Unit"
	serviceInterface = busName + ".Service"
	properties       = "org.freedesktop.DBus.Properties"
)

// call calls a method of systemd and stores its answer in reply, which is nil for one without.
func (c *Conn) call(ctx context.Context, path dbus.ObjectPath, method string, reply any, args ...any) error {
	conn, err := c.connection(ctx)
	if err != nil {
		return err
	}
	return answer(conn.Object(busName, path).CallWithContext(ctx, method, 0, args...), reply)
}

// ask calls a method that changes nothing, and calls it again where the connection ends before the answer.
func (c *Conn) ask(ctx context.Context, path dbus.ObjectPath, method string, reply any, args ...any) (err error) {
	for range askTimes {
		var conn *dbus.Conn
		if conn, err = c.connection(ctx); err != nil {
			return err
		}
		call := conn.Object(busName, path).CallWithContext(ctx, method, 0, args...)
		if call.Err == nil || Answered(call.Err) || ctx.Err() != nil {
			return answer(call, reply)
		}
		err = call.Err
		_ = conn.Close() // it may not have noticed its end
	}
	return err
}

// answer stores the answer to a call.
func answer(call *dbus.Call, reply any) error {
	if call.Err != nil || reply == nil {
		return named(call.Err)
	}
	return call.Store(reply)
}

// named marks systemd's answer for a unit that it does not know.
func named(err error) error {
	var e dbus.Error
	if errors.As(err, &e) && (e.Name == busName+".NoSuchUnit" || e.Name == "org.freedesktop.DBus.Error.UnknownObject") {
		return fmt.Errorf("%w: %w", ErrNotLoaded, err)
	}
	return err
}

// Answered reports whether an error is systemd's own answer: what was asked for has not happened. With another one,
// such as a lost connection or a time-out, it may have.
func Answered(err error) bool { return errors.As(err, new(dbus.Error)) }

// Start starts a unit that has a file. If it is starting already, the job is that one.
func (c *Conn) Start(ctx context.Context, name string) (Wait, error) {
	return c.job(ctx, job{verb: "start", unit: name, method: "StartUnit", args: []any{name, "replace"}, want: Active})
}

// StartTransient makes a unit and starts it.
func (c *Conn) StartTransient(ctx context.Context, spec transient.Spec) (Wait, error) {
	return c.job(ctx, job{verb: "start", unit: spec.Name, method: "StartTransientUnit",
		args: []any{spec.Name, "fail", wireProperties(spec.Properties), []auxiliary{}}, want: Active})
}

// Stop stops a unit. The error wraps ErrNotLoaded if there is none of that name.
func (c *Conn) Stop(ctx context.Context, name string) (Wait, error) {
	return c.job(ctx, job{verb: "stop", unit: name, method: "StopUnit", args: []any{name, "replace"}, want: Inactive})
}

// Kill sends SIGKILL to all processes in a unit's control group and those below it. That there is none is an error of
// systemd's.
func (c *Conn) Kill(ctx context.Context, name string) error {
	if err := c.call(ctx, managerPath, managerInterface+".KillUnit", nil, name, "all",
		int32(unix.SIGKILL)); err != nil {
		return fmt.Errorf("kill %s: %w", name, err)
	}
	return nil
}

// Attach moves processes into a unit's control group, below sub ("/runtime"). The unit must have Delegate=, and the
// caller must be root: the kernel wants the right to write in the group that both have above them (cgroups(7), "Cgroups
// v2 delegation"), which a member's process does not have.
func (c *Conn) Attach(ctx context.Context, name, sub string, pids ...uint32) error {
	if err := c.call(ctx, managerPath, managerInterface+".AttachProcessesToUnit", nil, name, sub, pids); err != nil {
		return fmt.Errorf("cannot move a process into unit %q: %w", name, err)
	}
	return nil
}

// ResetFailed makes systemd forget a failed unit. One that it does not know is no error.
func (c *Conn) ResetFailed(ctx context.Context, name string) error {
	err := c.call(ctx, managerPath, managerInterface+".ResetFailedUnit", nil, name)
	if err != nil && !errors.Is(err, ErrNotLoaded) {
		return fmt.Errorf("reset %s: %w", name, err)
	}
	return nil
}

// EnableLinger lets the user's runtime directory /run/user/UID and user manager exist without a login session, and
// waits until they do.
func (c *Conn) EnableLinger(ctx context.Context, uid uint32) error {
	login := c.bus.Object("org.freedesktop.login1", "/org/freedesktop/login1")
	if err := login.CallWithContext(ctx, "org.freedesktop.login1.Manager.SetUserLinger", 0, uid, true,
		false).Err; err != nil {
		return fmt.Errorf("cannot enable lingering for uid %d: %w", uid, err)
	}
	// The manager's unit requires that of the runtime directory. Starting one that runs changes nothing.
	name := fmt.Sprintf("user@%d.service", uid)
	wait, err := c.Start(ctx, name)
	if err != nil {
		return err
	}
	return wait(ctx)
}
