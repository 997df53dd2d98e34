package systemd

import (
	"context"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

// listed is one unit of systemd's list, D-Bus type (ssssssouso).
type listed struct {
	Name, Description, Load, Active, Sub, Following string
	Path                                            dbus.ObjectPath
	Job                                             uint32 // 0 for none
	JobType                                         string
	JobPath                                         dbus.ObjectPath
}

// List returns the loaded units whose name matches the pattern (glob(7)). It is one call, however many there are.
func (c *Conn) List(ctx context.Context, pattern string) ([]Status, error) {
	var found []listed
	if err := c.ask(ctx, managerPath, managerInterface+".ListUnitsByPatterns", &found, []string{},
		[]string{pattern}); err != nil {
		return nil, fmt.Errorf("cannot list units: %w", err)
	}
	var units []Status
	for _, f := range found {
		if f.Load != "loaded" {
			continue // only named by another unit
		}
		units = append(units, Status{f.Name, State(f.Active), f.Job != 0})
	}
	return units, nil
}

// values are the properties of one unit.
type values map[string]dbus.Variant

// of returns a property of that type; the zero value if there is none.
func of[T any](v values, name string) T {
	value, _ := v[name].Value().(T)
	return value
}

// maxTimeout is a day, in microseconds; systemd's infinity is the greatest number.
const maxTimeout = uint64(24 * time.Hour / time.Microsecond)

// all asks for all properties of a unit, of one of its interfaces or, with "", of each.
func (c *Conn) all(ctx context.Context, name, iface string) (values, error) {
	var v values
	if err := c.ask(ctx, unitPath(name), properties+".GetAll", &v, iface); err != nil {
		return nil, fmt.Errorf("unit %q: %w", name, err)
	}
	return v, nil
}

// Get returns one unit. The error wraps ErrNotLoaded if there is none of that name.
func (c *Conn) Get(ctx context.Context, name string) (Unit, error) {
	v, err := c.all(ctx, name, "")
	if err != nil {
		return Unit{}, err
	}
	// A question makes systemd load the unit; LoadState says whether there was one to load.
	if of[string](v, "LoadState") != "loaded" {
		return Unit{}, fmt.Errorf("unit %q: %w", name, ErrNotLoaded)
	}
	u := Unit{Status: Status{Name: name, State: State(of[string](v, "ActiveState"))},
		Environment: of[[]string](v, "Environment"), Since: since(v),
		StopTimeout: time.Duration(min(of[uint64](v, "TimeoutStopUSec"), maxTimeout)) * time.Microsecond}
	// D-Bus type (uo): the job's number, 0 for none.
	if job := of[[]any](v, "Job"); len(job) == 2 {
		number, _ := job[0].(uint32)
		u.Queued = number != 0
	}
	return u, nil
}

// process is one of systemd's list, D-Bus type (sus).
type process struct {
	Group   string
	PID     uint32
	Command string
}

// Processes returns how many processes are in a unit's control group and those below it. The error wraps ErrNotLoaded
// if there is no unit of that name.
func (c *Conn) Processes(ctx context.Context, name string) (int, error) {
	var all []process
	if err := c.ask(ctx, managerPath, managerInterface+".GetUnitProcesses", &all, name); err != nil {
		return 0, fmt.Errorf("processes of unit %q: %w", name, err)
	}
	return len(all), nil
}

// since is when a unit was last started; zero for one that never was.
func since(v values) time.Time {
	if t := of[uint64](v, "InactiveExitTimestamp"); t > 0 {
		return time.UnixMicro(int64(t))
	}
	return time.Time{}
}

// Service is what systemd says of a service's processes.
type Service struct {
	User        string
	MainPID     uint32
	Environment []string
}

// Service returns one service. The error wraps ErrNotLoaded if systemd knows none.
func (c *Conn) Service(ctx context.Context, name string) (Service, error) {
	v, err := c.all(ctx, name, serviceInterface)
	return Service{of[string](v, "User"), of[uint32](v, "MainPID"), of[[]string](v, "Environment")}, err
}

// Outcome returns why a unit has failed. The error wraps ErrNotLoaded once systemd has forgotten the unit.
func (c *Conn) Outcome(ctx context.Context, name string) (Outcome, error) {
	v, err := c.all(ctx, name, serviceInterface)
	o := Outcome{Result: of[string](v, "Result"), Exit: of[int32](v, "ExecMainStatus")}
	for _, property := range []string{"ExecStartPre", "ExecStartPost"} {
		if o.PreExit == 0 {
			o.PreExit = exitOf(v[property].Value())
		}
	}
	return o, err
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
