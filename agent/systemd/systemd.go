// Package systemd speaks to the service manager and to logind over D-Bus: it starts,
// stops, lists and watches the units of Jupyter servers, in the hub's own words. It is the
// only importer of go-systemd's D-Bus client. It must never touch a unit whose name is not
// that of a Jupyter server, but for a member's user manager.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/unit"
)

// ErrNotFound says that systemd knows no such unit.
var ErrNotFound = errors.New("no such unit")

// ErrExists says that a unit of that name exists already.
var ErrExists = errors.New("the unit exists already")

// JobError says how a job ended other than well: systemd's result word, such as "failed",
// "timeout" or "canceled" (org.freedesktop.systemd1(5), JobRemoved).
type JobError struct{ Unit, Result string }

func (e *JobError) Error() string {
	return fmt.Sprintf("unit %q: the job ended with result %q", e.Unit, e.Result)
}

// Status is what systemd says of a server's unit.
type Status struct {
	Key         ident.Key
	ActiveState string // "active", "activating", "deactivating", "inactive", "failed" …
	Result      string // of the service (systemd.service(5)); "success" while it runs
	Exit        int32  // exit status or signal of the main process
	Started     time.Time
	UID         uint32
	Environment map[string]string // of the unit
}

// Manager is a connection to the service manager.
type Manager struct{ conn *sd.Conn }

// Connect connects over the system bus.
func Connect(ctx context.Context) (*Manager, error) {
	conn, err := sd.NewSystemConnectionContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot reach systemd over D-Bus: %w", err)
	}
	return &Manager{conn}, nil
}

// Close ends the connection.
func (m *Manager) Close() { m.conn.Close() }

// Start makes a transient unit and waits for its start job.
func (m *Manager) Start(ctx context.Context, key ident.Key, properties []unit.Property) error {
	var ps []sd.Property
	for _, p := range properties {
		ps = append(ps, sd.Property{Name: p.Name, Value: dbus.MakeVariant(p.Value)})
	}
	return m.job(ctx, key.Unit(), func(done chan<- string) error {
		_, err := m.conn.StartTransientUnitContext(ctx, key.Unit(), "fail", ps, done)
		return err
	})
}

// Stop stops a unit and waits for its stop job.
func (m *Manager) Stop(ctx context.Context, key ident.Key) error {
	return m.job(ctx, key.Unit(), func(done chan<- string) error {
		_, err := m.conn.StopUnitContext(ctx, key.Unit(), "replace", done)
		return err
	})
}

// StartUserManager starts a user's service manager, which makes /run/user/UID, and lets
// it stay without a session (loginctl(1), enable-linger).
func (m *Manager) StartUserManager(ctx context.Context, uid uint32) error {
	bus, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("cannot reach logind over D-Bus: %w", err)
	}
	defer func() { _ = bus.Close() }()
	logind := bus.Object("org.freedesktop.login1", "/org/freedesktop/login1")
	if err := logind.CallWithContext(ctx, "org.freedesktop.login1.Manager.SetUserLinger", 0, uid, true, false).Err; err != nil {
		return fmt.Errorf("cannot let uid %d linger: %w", uid, err)
	}
	name := fmt.Sprintf("user@%d.service", uid)
	return m.job(ctx, name, func(done chan<- string) error {
		_, err := m.conn.StartUnitContext(ctx, name, "replace", done)
		return err
	})
}

// job runs one job and waits for its result. The channel is buffered: go-systemd would
// block for ever on a reader that gave up.
func (m *Manager) job(ctx context.Context, name string, start func(chan<- string) error) error {
	done := make(chan string, 1)
	if err := start(done); err != nil {
		return fmt.Errorf("unit %q: %w", name, translate(err))
	}
	select {
	case result := <-done:
		if result != "done" {
			return &JobError{name, result}
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("unit %q: %w", name, ctx.Err())
	}
}

// translate gives systemd's D-Bus errors that callers tell apart.
func translate(err error) error {
	var e dbus.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Name {
	case "org.freedesktop.systemd1.NoSuchUnit":
		return ErrNotFound
	case "org.freedesktop.systemd1.UnitExists":
		return ErrExists
	}
	return err
}

// Reset lets systemd forget a failed unit.
func (m *Manager) Reset(ctx context.Context, key ident.Key) error {
	err := m.conn.ResetFailedUnitContext(ctx, key.Unit())
	if err != nil && !errors.Is(translate(err), ErrNotFound) {
		return fmt.Errorf("unit %q: cannot reset it: %w", key.Unit(), err)
	}
	return nil
}

// List gives the units of all servers that systemd knows.
func (m *Manager) List(ctx context.Context) ([]Status, error) {
	units, err := m.conn.ListUnitsByPatternsContext(ctx, nil, []string{"jupyter-*.service"})
	if err != nil {
		return nil, fmt.Errorf("cannot list units: %w", err)
	}
	var all []Status
	for _, u := range units {
		key, err := ident.ParseUnit(u.Name)
		if err != nil {
			continue // an administrator's unit of a like name
		}
		s, err := m.Status(ctx, key)
		if errors.Is(err, ErrNotFound) {
			continue // it ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Status reads one unit back.
func (m *Manager) Status(ctx context.Context, key ident.Key) (Status, error) {
	props, err := m.conn.GetAllPropertiesContext(ctx, key.Unit())
	if err != nil {
		return Status{}, fmt.Errorf("unit %q: %w", key.Unit(), translate(err))
	}
	if props["LoadState"] == "not-found" {
		return Status{}, fmt.Errorf("unit %q: %w", key.Unit(), ErrNotFound)
	}
	s := Status{Key: key, Environment: map[string]string{}}
	s.ActiveState, _ = props["ActiveState"].(string)
	s.Result, _ = props["Result"].(string)
	s.Exit, _ = props["ExecMainStatus"].(int32)
	s.UID, _ = props["UID"].(uint32)
	if usec, ok := props["InactiveExitTimestamp"].(uint64); ok && usec > 0 {
		s.Started = time.UnixMicro(int64(usec))
	}
	list, _ := props["Environment"].([]string)
	for _, line := range list {
		name, value, _ := strings.Cut(line, "=")
		s.Environment[name] = value
	}
	return s, nil
}

// Change is a new ActiveState of a server's unit.
type Change struct {
	Key         ident.Key
	ActiveState string
}

// Watch calls changed for every change of a server's unit until ctx ends or the
// connection is lost.
func (m *Manager) Watch(ctx context.Context, changed func(Change)) error {
	updates, errs := make(chan *sd.PropertiesUpdate, 256), make(chan error, 1)
	m.conn.SetPropertiesSubscriber(updates, errs)
	if err := m.conn.Subscribe(); err != nil {
		return fmt.Errorf("cannot watch units: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-errs:
			return fmt.Errorf("lost the watch on units: %w", err)
		case u := <-updates:
			key, err := ident.ParseUnit(u.UnitName)
			state, ok := u.Changed["ActiveState"].Value().(string)
			if err == nil && ok {
				changed(Change{key, state})
			}
		}
	}
}
