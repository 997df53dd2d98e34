package systemd

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// lost returns a connection to systemd whose other end is gone.
func lost(t *testing.T) *Conn {
	t.Helper()
	dial := func() (*dbus.Conn, error) {
		near, far := net.Pipe()
		if err := far.Close(); err != nil {
			return nil, err
		}
		return dbus.NewConn(near)
	}
	bus, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	manager, err := systemd.NewConnection(dial)
	if err != nil {
		t.Fatal(err)
	}
	c := &Conn{manager, bus, make(chan *systemd.PropertiesUpdate, 1), make(chan error, 1)}
	t.Cleanup(c.Close)
	return c
}

// TestClosed checks that every question on a closed connection is an error, and not that there is no unit.
func TestClosed(t *testing.T) {
	c, ctx := lost(t), t.Context()
	for name, ask := range map[string]func() error{
		"StartTransient": func() error {
			wait, err := c.job("start x", func(result chan<- string) (int, error) {
				return c.manager.StartUnitContext(ctx, "x", "fail", result)
			})
			if wait != nil {
				t.Error("there is a job beside the error")
			}
			return err
		},
		"Attach":       func() error { return c.Attach(ctx, "x.service", "/runtime", 1) },
		"Service":      func() error { _, err := c.Service(ctx, "x.service"); return err },
		"Stop":         func() error { _, err := c.Stop(ctx, "x.service"); return err },
		"ResetFailed":  func() error { return c.ResetFailed(ctx, "x.service") },
		"List":         func() error { _, err := c.List(ctx, "*"); return err },
		"Get":          func() error { _, err := c.Get(ctx, "x.service"); return err },
		"Outcome":      func() error { _, err := c.Outcome(ctx, "x.service"); return err },
		"EnableLinger": func() error { return c.EnableLinger(ctx, 1000) },
	} {
		if err := ask(); err == nil || errors.Is(err, ErrNotLoaded) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNamed checks which answers say that there is no such unit.
func TestNamed(t *testing.T) {
	for name, want := range map[string]bool{"org.freedesktop.systemd1.NoSuchUnit": true,
		"org.freedesktop.DBus.Error.UnknownObject": true, "org.freedesktop.DBus.Error.AccessDenied": false} {
		err := named(dbus.Error{Name: name})
		var answer dbus.Error
		if errors.Is(err, ErrNotLoaded) != want || !errors.As(err, &answer) || answer.Name != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := named(nil); err != nil {
		t.Errorf("no error is %v", err)
	}
	if err := named(dbus.ErrClosed); !errors.Is(err, dbus.ErrClosed) || errors.Is(err, ErrNotLoaded) {
		t.Errorf("a closed connection is %v", err)
	}
}

// TestJob checks how the wait for a job ends.
func TestJob(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	bus, err := dbus.NewConn(near)
	if err != nil {
		t.Fatal(err)
	}
	c := &Conn{bus: bus}
	job := func(word string) Wait {
		t.Helper()
		wait, err := c.job("start x", func(result chan<- string) (int, error) {
			if word != "" {
				result <- word
			}
			return 1, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return wait
	}
	if err := job("done")(t.Context()); err != nil {
		t.Errorf("done: %v", err)
	}
	var failed *JobError
	if err := job("failed")(t.Context()); !errors.As(err, &failed) || *failed != (JobError{"start x", "failed"}) ||
		err.Error() != "start x: the job's result is failed" {
		t.Errorf("failed: %v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := job("")(over); !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "start x: ") {
		t.Errorf("nobody waits any more: %v", err)
	}
	if err := bus.Close(); err != nil {
		t.Fatal(err)
	}
	if err := job("")(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("the connection is closed: %v", err)
	}
}

// TestWatchEnds checks what ends a watch, and which end is an error.
func TestWatchEnds(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := lost(t).Watch(over, "jupyter-", ".service", nil, nil); err != nil {
		t.Errorf("nobody watches any more: %v", err)
	}
	c := lost(t)
	c.lost <- errors.New("too many signals")
	if err := c.Watch(t.Context(), "jupyter-", ".service", nil, nil); !errors.Is(err, ErrLost) {
		t.Errorf("signals were dropped: %v", err)
	}
	c = lost(t)
	if err := c.bus.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Watch(t.Context(), "jupyter-", ".service", nil, nil); !errors.Is(err, ErrLost) {
		t.Errorf("the connection is closed: %v", err)
	}
}

// TestIsUnit checks which names a watch is about.
func TestIsUnit(t *testing.T) {
	for name, want := range map[string]bool{"jupyter-a.service": true, "jupyter-a.socket": false, "ssh.service": false,
		"ssh.socket": false} {
		if got := isUnit(name, "jupyter-", ".service"); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
