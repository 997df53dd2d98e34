package systemd

import (
	"context"
	"errors"
	"fmt"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/root/transient"
)

// ErrLost says that changes of units may have been missed: the connection is gone or
// signals came faster than they were read. Connect and List again.
var ErrLost = errors.New("lost track of systemd's units")

// Change is a new state of a unit.
type Change struct {
	Name  string
	State State
	Since time.Time // when it was last started; zero if systemd did not say
}

// Watch calls seen for each change of state of the units named prefix…suffix, in order, until ctx ends (nil) or changes
// may be missed (an error that wraps ErrLost). known are the states before the first change. seen runs on Watch's
// goroutine: the next change waits for it.
func (c *Conn) Watch(ctx context.Context, prefix, suffix string, known []Status, seen func(Change)) error {
	last := states{}
	for _, u := range known {
		last.change(u.Name, u.State)
	}
	// go-systemd's connection for signals has no end to select on.
	alive := time.NewTicker(time.Second)
	defer alive.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.bus.Context().Done():
			return fmt.Errorf("%w: the system bus has closed the connection", ErrLost)
		case err := <-c.lost:
			return fmt.Errorf("%w: %w", ErrLost, err)
		case <-alive.C:
			if !c.manager.Connected() {
				return fmt.Errorf("%w: systemd's connection is closed", ErrLost)
			}
		case update := <-c.updates:
			if !isUnit(update.UnitName, prefix, suffix) {
				continue
			}
			if change, ok := readChange(update); ok && last.change(change.Name, change.State) {
				seen(change)
			}
		}
	}
}

// readChange reads a PropertiesChanged signal of systemd's Unit interface, which carries all that may have changed.
func readChange(update *systemd.PropertiesUpdate) (Change, bool) {
	state, ok := update.Changed["ActiveState"].Value().(string)
	change := Change{Name: update.UnitName, State: State(state)}
	if since, _ := update.Changed["InactiveExitTimestamp"].Value().(uint64); since > 0 {
		change.Since = time.UnixMicro(int64(since))
	}
	return change, ok
}

// states is the last state of each unit that is not inactive.
type states map[string]State

// change notes a unit's state and reports whether it is new. systemd repeats the state with every other property that
// changes. A new unit is inactive before its job runs, and a failed one becomes inactive when it is reset: neither is
// an end.
func (s states) change(name string, to State) bool {
	from := s[name]
	if to == Inactive {
		delete(s, name)
		return from != "" && from != Failed
	}
	s[name] = to
	return from != to
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
	wait, err := c.job("start "+name, func(result chan<- string) (int, error) {
		return c.manager.StartUnitContext(ctx, name, "replace", result)
	})
	if err != nil {
		return err
	}
	return wait(ctx)
}

// execCommand, credential and statuses are the D-Bus forms of the unit package's types.
type (
	execCommand struct {
		Path          string
		Args          []string
		IgnoreFailure bool
	}
	credential      struct{ Name, Path string }
	environmentFile struct {
		Path     string
		Optional bool
	}
	statuses struct{ Codes, Signals []int32 }
)

// properties turns our types into D-Bus values; go-systemd knows ExecStart alone.
func properties(props []transient.Property) []systemd.Property {
	out := make([]systemd.Property, len(props))
	for i, p := range props {
		out[i] = systemd.Property{Name: p.Name, Value: dbus.MakeVariant(value(p.Value))}
	}
	return out
}

func value(v any) any {
	switch v := v.(type) {
	case []transient.Command:
		var all []execCommand
		for _, c := range v {
			all = append(all, execCommand(c))
		}
		return all
	case []transient.Credential:
		var all []credential
		for _, c := range v {
			all = append(all, credential(c))
		}
		return all
	case []transient.EnvironmentFile:
		var all []environmentFile
		for _, f := range v {
			all = append(all, environmentFile(f))
		}
		return all
	case transient.ExitStatuses:
		return statuses(v)
	default:
		return v
	}
}
