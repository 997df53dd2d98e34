// Package systemd starts, stops, lists and watches units through systemd's and logind's D-Bus interfaces, with types of
// our own. It is the only importer of go-systemd's client. It must never decide what runs: the policy and package unit
// do.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

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
	Since       time.Time // when it was last started; zero for one that never was
}

// Outcome is how a unit ended or why it could not start.
type Outcome struct {
	Result  string // systemd.service(5), $SERVICE_RESULT: "success", "exit-code", "timeout" …
	Exit    int32  // exit status or signal of the main process
	PreExit int32  // exit status of a failed ExecStartPre or ExecStartPost; 0 when none failed
}

// ErrNotLoaded says that systemd knows no such unit.
var ErrNotLoaded = errors.New("unit is not loaded")

// Conn is a connection to systemd and logind over the system bus.
type Conn struct {
	manager *systemd.Conn
	bus     *dbus.Conn
	updates chan *systemd.PropertiesUpdate
	lost    chan error // updates that were dropped; see Watch
}

// Connect connects and subscribes to the changes of units. The connection ends with ctx.
func Connect(ctx context.Context) (*Conn, error) {
	manager, err := systemd.NewSystemConnectionContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot reach systemd over D-Bus: %w", err)
	}
	bus, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		manager.Close()
		return nil, fmt.Errorf("cannot reach the system bus: %w", err)
	}
	c := &Conn{manager, bus, make(chan *systemd.PropertiesUpdate, 4096), make(chan error, 1)}
	manager.SetPropertiesSubscriber(c.updates, c.lost)
	if err := manager.Subscribe(); err != nil {
		c.Close()
		return nil, fmt.Errorf("cannot subscribe to systemd's signals: %w", err)
	}
	return c, nil
}

// Close ends the connection and with it Watch.
func (c *Conn) Close() {
	c.manager.Close()
	_ = c.bus.Close()
}

// JobError is the result of a job that was not done.
type JobError struct {
	What   string // "start jupyter-alice.service"
	Result string // "failed", "canceled", "timeout", "dependency", "skipped" …
}

func (e *JobError) Error() string { return e.What + ": the job's result is " + e.Result }

// Wait waits for the end of a job that is under way. Only the result "done" is a success; another one is a *JobError. A
// lost connection is an error too, since the job's result is lost with it.
type Wait func(ctx context.Context) error

// job starts a job. The channel has room for the one result; otherwise the library would handle no other signal until
// somebody takes it.
func (c *Conn) job(what string, start func(chan<- string) (int, error)) (Wait, error) {
	result := make(chan string, 1)
	if _, err := start(result); err != nil {
		return nil, fmt.Errorf("%s: %w", what, named(err))
	}
	return func(ctx context.Context) error {
		select {
		case word := <-result:
			if word == "done" {
				return nil
			}
			return &JobError{what, word}
		case <-c.bus.Context().Done():
			return fmt.Errorf("%s: %w", what, ErrLost)
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		}
	}, nil
}

// Start starts a unit that has a file. If it is starting already, the job is that one.
func (c *Conn) Start(ctx context.Context, name string) (Wait, error) {
	return c.job("start "+name, func(result chan<- string) (int, error) {
		return c.manager.StartUnitContext(ctx, name, "replace", result)
	})
}

// StartTransient makes a unit and starts it.
func (c *Conn) StartTransient(ctx context.Context, spec transient.Spec) (Wait, error) {
	return c.job("start "+spec.Name, func(result chan<- string) (int, error) {
		return c.manager.StartTransientUnitContext(ctx, spec.Name, "fail", properties(spec.Properties), result)
	})
}

// Attach moves processes into a unit's control group, below sub ("/runtime"). The unit must have Delegate=, and the
// caller must be root: the kernel wants the right to write in the group that both have above them (cgroups(7), "Cgroups
// v2 delegation"), which a member's process does not have.
func (c *Conn) Attach(ctx context.Context, name, sub string, pids ...uint32) error {
	manager := c.bus.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
	if err := manager.CallWithContext(ctx, "org.freedesktop.systemd1.Manager.AttachProcessesToUnit", 0, name, sub,
		pids).Err; err != nil {
		return fmt.Errorf("cannot move a process into unit %q: %w", name, named(err))
	}
	return nil
}

// Service is what systemd says of a service's processes.
type Service struct {
	User        string
	MainPID     uint32
	Environment []string
}

// Service returns one service. The error wraps ErrNotLoaded if systemd knows none.
func (c *Conn) Service(ctx context.Context, name string) (Service, error) {
	props, err := c.manager.GetUnitTypePropertiesContext(ctx, name, "Service")
	if err != nil {
		return Service{}, fmt.Errorf("unit %q: %w", name, named(err))
	}
	s := Service{}
	s.User, _ = props["User"].(string)
	s.MainPID, _ = props["MainPID"].(uint32)
	s.Environment, _ = props["Environment"].([]string)
	return s, nil
}

// Stop stops a unit. The error wraps ErrNotLoaded if there is none of that name.
func (c *Conn) Stop(ctx context.Context, name string) (Wait, error) {
	return c.job("stop "+name, func(result chan<- string) (int, error) {
		return c.manager.StopUnitContext(ctx, name, "replace", result)
	})
}

// ResetFailed makes systemd forget a failed unit. One that it does not know is no error.
func (c *Conn) ResetFailed(ctx context.Context, name string) error {
	err := named(c.manager.ResetFailedUnitContext(ctx, name))
	if err != nil && !errors.Is(err, ErrNotLoaded) {
		return fmt.Errorf("reset %s: %w", name, err)
	}
	return nil
}

// named marks systemd's answer for a unit that it does not know.
func named(err error) error {
	var e dbus.Error
	if errors.As(err, &e) && (e.Name == "org.freedesktop.systemd1.NoSuchUnit" ||
		e.Name == "org.freedesktop.DBus.Error.UnknownObject") {
		return fmt.Errorf("%w: %w", ErrNotLoaded, err)
	}
	return err
}

// List returns the loaded units whose name matches the pattern (glob(7)). It is one call, however many there are.
func (c *Conn) List(ctx context.Context, pattern string) ([]Status, error) {
	return list(ctx, c.manager, pattern)
}

// lister is the one call of systemd that List makes.
type lister interface {
	ListUnitsByPatternsContext(ctx context.Context, states, patterns []string) ([]systemd.UnitStatus, error)
}

func list(ctx context.Context, from lister, pattern string) ([]Status, error) {
	found, err := from.ListUnitsByPatternsContext(ctx, nil, []string{pattern})
	if err != nil {
		return nil, fmt.Errorf("cannot list units: %w", err)
	}
	var units []Status
	for _, f := range found {
		if f.LoadState != "loaded" {
			continue // only named by another unit
		}
		units = append(units, Status{f.Name, State(f.ActiveState), f.JobId != 0})
	}
	return units, nil
}

// Get returns one unit. The error wraps ErrNotLoaded if there is none of that name.
func (c *Conn) Get(ctx context.Context, name string) (Unit, error) {
	props, err := c.manager.GetAllPropertiesContext(ctx, name)
	if err != nil {
		return Unit{}, fmt.Errorf("unit %q: %w", name, named(err))
	}
	// A question makes systemd load the unit; LoadState says whether there was one to load.
	if load, _ := props["LoadState"].(string); load != "loaded" {
		return Unit{}, fmt.Errorf("unit %q: %w", name, ErrNotLoaded)
	}
	u := Unit{Status: Status{Name: name}}
	state, _ := props["ActiveState"].(string)
	u.State = State(state)
	u.Environment, _ = props["Environment"].([]string)
	if since, _ := props["InactiveExitTimestamp"].(uint64); since > 0 {
		u.Since = time.UnixMicro(int64(since))
	}
	// D-Bus type (uo): the job's number, 0 for none.
	if job, _ := props["Job"].([]any); len(job) == 2 {
		number, _ := job[0].(uint32)
		u.Queued = number != 0
	}
	return u, nil
}

// Outcome returns why a unit has failed. The error wraps ErrNotLoaded once systemd has forgotten the unit.
func (c *Conn) Outcome(ctx context.Context, name string) (Outcome, error) {
	props, err := c.manager.GetUnitTypePropertiesContext(ctx, name, "Service")
	if err != nil {
		return Outcome{}, fmt.Errorf("unit %q: %w", name, named(err))
	}
	o := Outcome{}
	o.Result, _ = props["Result"].(string)
	o.Exit, _ = props["ExecMainStatus"].(int32)
	for _, property := range []string{"ExecStartPre", "ExecStartPost"} {
		if o.PreExit == 0 {
			o.PreExit = exitOf(props[property])
		}
	}
	return o, nil
}

// exitOf reads the first status that is not 0 of an Exec property's commands, D-Bus type
// a(sasbttttuii): path, arguments, flag, four times, pid, code, status.
func exitOf(property any) int32 {
	commands, _ := property.([][]any)
	for _, c := range commands {
		if len(c) != 10 {
			return 0
		}
		if status, _ := c[9].(int32); status != 0 {
			return status
		}
	}
	return 0
}

// isUnit reports whether a name matches "prefix*suffix".
func isUnit(name, prefix, suffix string) bool {
	return strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix)
}
