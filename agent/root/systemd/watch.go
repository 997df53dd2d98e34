package systemd

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// Change is a new state of a unit.
type Change struct {
	Name  string
	State State
	Since time.Time // when it was last started; zero if systemd did not say
}

// Watch calls seen for each change of state of the units named prefix…suffix, in order, until ctx ends (nil), or until
// systemd or the system bus cannot be reached any more (an error that wraps ErrLost). known are the states before the
// first change. Where it may have missed changes it asks for all units, and then reports only the latest state of each.
// seen runs on Watch's goroutine: the next change waits for it.
func (c *Conn) Watch(ctx context.Context, prefix, suffix string, known []Status, seen func(Change)) error {
	last := states{}
	for _, u := range known {
		last.change(u.Name, u.State)
	}
	note := func(change Change) {
		if isUnit(change.Name, prefix, suffix) && last.change(change.Name, change.State) {
			seen(change)
		}
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-c.lost:
			if ctx.Err() == nil {
				return fmt.Errorf("%w: systemd does not answer", ErrLost)
			}
		case <-c.bus.Context().Done():
			// Without it nobody could be given a runtime directory, and nothing else would notice.
			if ctx.Err() == nil {
				return fmt.Errorf("%w: the system bus has closed the connection", ErrLost)
			}
		case <-c.missed:
			err := c.catchUp(ctx, prefix+"*"+suffix, last, note)
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("%w: %w", ErrLost, err)
			}
		case change := <-c.changes:
			note(change)
		}
	}
	return nil
}

// catchUp asks for all units in the place of changes that may have been missed.
func (c *Conn) catchUp(ctx context.Context, pattern string, last states, note func(Change)) error {
	for len(c.changes) > 0 {
		<-c.changes // older than the answer
	}
	units, err := c.List(ctx, pattern)
	if err != nil {
		return err
	}
	gone := map[string]bool{}
	for name := range last {
		gone[name] = true
	}
	for _, u := range units {
		delete(gone, u.Name)
		note(Change{Name: u.Name, State: u.State})
	}
	for name := range gone {
		note(Change{Name: name, State: Inactive})
	}
	return nil
}

// isUnit reports whether a name matches "prefix*suffix".
func isUnit(name, prefix, suffix string) bool {
	return strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix)
}

// readChange reads a PropertiesChanged signal of systemd's Unit interface, D-Bus type sa{sv}as, which carries all that
// may have changed.
func readChange(s *dbus.Signal) (Change, bool) {
	name, ok := unitName(s.Path)
	if !ok || len(s.Body) != 3 {
		return Change{}, false
	}
	iface, _ := s.Body[0].(string)
	changed, _ := s.Body[1].(map[string]dbus.Variant)
	state := State(of[string](changed, "ActiveState"))
	return Change{name, state, since(changed)}, iface == unitInterface && state != ""
}

const unitPrefix = managerPath + "/unit/"

// unitPath is the object of a unit: bytes that a path may not have are "_" and two hexadecimal digits, as is a digit at
// the beginning.
func unitPath(name string) dbus.ObjectPath {
	var b strings.Builder
	for i, c := range []byte(name) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' && i > 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return unitPrefix + dbus.ObjectPath(b.String())
}

// unitName is the inverse of unitPath.
func unitName(path dbus.ObjectPath) (string, bool) {
	escaped, ok := strings.CutPrefix(string(path), string(unitPrefix))
	if !ok {
		return "", false
	}
	parts := strings.Split(escaped, "_")
	name := []byte(parts[0])
	for _, part := range parts[1:] {
		if len(part) < 2 {
			return "", false
		}
		c, err := hex.DecodeString(part[:2])
		if err != nil {
			return "", false
		}
		name = append(append(name, c...), part[2:]...)
	}
	return string(name), len(name) > 0
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
