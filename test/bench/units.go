package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// quiet is for the launcher's client, which has nothing to say here.
var quiet = slog.New(slog.DiscardHandler)

const (
	systemdName = "org.freedesktop.systemd1"
	manager     = "org.freedesktop.systemd1.Manager"
	unitType    = "org.freedesktop.systemd1.Unit"
	patience    = 30 * time.Minute // for the peer's copy of the largest image
)

// command is one entry of an "Exec" property.
type command struct {
	Path   string
	Args   []string
	Ignore bool
}

// property is one of a transient unit's.
type property struct {
	Name  string
	Value dbus.Variant
}

// start asks the launcher for a member's server, as the hub does, and returns the time from
// the request to systemd's stamp of the active unit.
func (h *host) start(ctx context.Context, who account, profile string) (time.Duration, error) {
	key, err := ident.ParseKey(who.name, "")
	if err != nil {
		return 0, err
	}
	begun, err := monotonic()
	if err != nil {
		return 0, err
	}
	env := map[string]string{"JUPYTERHUB_API_TOKEN": "bench", "JUPYTERHUB_USER": who.name}
	if err := h.launcher.Start(ctx, launcherbus.StartRequest{Key: key, Profile: profile, Env: env}); err != nil {
		return 0, fmt.Errorf("start of %s with profile %s: %w", who.name, profile, err)
	}
	return h.activeSince(ctx, key.Unit(), begun)
}

// stop ends a member's server.
func (h *host) stop(ctx context.Context, who account) error {
	key, err := ident.ParseKey(who.name, "")
	if err != nil {
		return err
	}
	return h.launcher.Stop(ctx, key)
}

// startUnit starts a transient unit and returns the time from the request to active.
func (h *host) startUnit(ctx context.Context, name string, properties []property) (time.Duration, error) {
	begun, err := monotonic()
	if err != nil {
		return 0, err
	}
	systemd := h.bus.Object(systemdName, "/org/freedesktop/systemd1")
	var job dbus.ObjectPath
	type auxiliary struct {
		Name       string
		Properties []property
	}
	if err := systemd.CallWithContext(ctx, manager+".StartTransientUnit", 0, name, "fail", properties,
		[]auxiliary{}).Store(&job); err != nil {
		return 0, fmt.Errorf("unit %s: %w", name, err)
	}
	return h.activeSince(ctx, name, begun)
}

// activeSince waits for a unit to be active. The time is from systemd's stamp, so looking
// now and then is enough.
func (h *host) activeSince(ctx context.Context, name string, begun time.Duration) (time.Duration, error) {
	systemd := h.bus.Object(systemdName, "/org/freedesktop/systemd1")
	var at dbus.ObjectPath
	if err := systemd.CallWithContext(ctx, manager+".GetUnit", 0, name).Store(&at); err != nil {
		return 0, fmt.Errorf("unit %s: %w", name, err)
	}
	unit := h.bus.Object(systemdName, at)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		state, err := unit.GetProperty(unitType + ".ActiveState")
		if err != nil {
			return 0, fmt.Errorf("unit %s: %w", name, err)
		}
		switch state.Value() {
		case "active":
			stamp, err := unit.GetProperty(unitType + ".ActiveEnterTimestampMonotonic")
			if err != nil {
				return 0, err
			}
			usec, ok := stamp.Value().(uint64)
			if !ok {
				return 0, fmt.Errorf("unit %s has the stamp %v", name, stamp)
			}
			return time.Duration(usec)*time.Microsecond - begun, nil
		case "failed", "inactive":
			log, _ := h.run(ctx, `journalctl --no-pager -q -o cat --lines=20 -u "$1"`, name)
			return 0, fmt.Errorf("unit %s is %s\n%s", name, state.Value(), log)
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return 0, fmt.Errorf("unit %s is not active after %s", name, patience)
}
