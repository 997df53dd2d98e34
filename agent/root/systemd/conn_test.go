package systemd

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/root/transient"
)

// lost returns a connection that systemd has closed for good.
func lost(t *testing.T) *Conn {
	t.Helper()
	c, _ := connected(t)
	c.end()
	<-c.done
	return c
}

// TestClosed checks that every question on a closed connection is an error, and not that there is no unit.
func TestClosed(t *testing.T) {
	c, ctx := lost(t), t.Context()
	for name, ask := range map[string]func() error{
		"StartTransient": func() error {
			_, err := c.StartTransient(ctx,
				transient.Spec{Name: "x.service"})
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
		if err := ask(); err == nil || errors.Is(err, ErrNotLoaded) || Answered(err) && name != "EnableLinger" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(c.waiting); n > 0 {
		t.Errorf("%d jobs of nobody are waited for", n)
	}
}

// TestNamed checks which answers say that there is no such unit.
func TestNamed(t *testing.T) {
	for name, want := range map[string]bool{"org.freedesktop.systemd1.NoSuchUnit": true,
		"org.freedesktop.DBus.Error.UnknownObject": true, "org.freedesktop.DBus.Error.AccessDenied": false} {
		err := named(dbus.Error{Name: name})
		var answer dbus.Error
		if errors.Is(err, ErrNotLoaded) != want || !errors.As(err, &answer) || answer.Name != name || !Answered(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := named(nil); err != nil {
		t.Errorf("no error is %v", err)
	}
	if err := named(dbus.ErrClosed); !errors.Is(err, dbus.ErrClosed) || errors.Is(err, ErrNotLoaded) || Answered(err) {
		t.Errorf("a closed connection is %v", err)
	}
}

// start queues the start of a unit, whose job is number 5.
func start(t *testing.T, c *Conn, p *pid1) Wait {
	t.Helper()
	p.answer("StartTransientUnit", func([]any) []any { return []any{jobPath("5")} })
	wait, err := c.StartTransient(t.Context(), transient.Spec{Name: "x.service"})
	if err != nil {
		t.Fatal(err)
	}
	return wait
}

// TestJob checks how the wait for a job ends.
func TestJob(t *testing.T) {
	c, p := connected(t)
	wait := start(t, c, p)
	p.removed("4", "x.service", "failed")  // another job of the unit
	p.removed("5", "y.service", "timeout") // another's
	p.removed("5", "x.service", "done")
	if err := wait(t.Context()); err != nil {
		t.Errorf("done: %v", err)
	}
	wait = start(t, c, p)
	p.removed("5", "x.service", "failed")
	var failed *JobError
	if err := wait(t.Context()); !errors.As(err, &failed) || *failed != (JobError{"start x.service", "failed"}) ||
		err.Error() != "start x.service: the job's result is failed" {
		t.Errorf("failed: %v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := start(t, c, p)(over); !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(),
		"start x.service: ") {
		t.Errorf("nobody waits any more: %v", err)
	}
	start(t, c, p) // nobody waits for this one
	p.removed("5", "x.service", "done")
	for left := 1; left > 0; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		left = len(c.waiting)
		c.mu.Unlock()
	}
	wait = start(t, c, p)
	c.end()
	if err := wait(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("the connection is closed: %v", err)
	}
}

// TestEarlyEnd removes a job before systemd's answer names it.
func TestEarlyEnd(t *testing.T) {
	c, p := connected(t)
	p.answer("StopUnit", func([]any) []any {
		p.removed("6", "x.service", "done")
		return []any{jobPath("6")}
	})
	wait, err := c.Stop(t.Context(), "x.service")
	if err != nil {
		t.Fatal(err)
	}
	if err := wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestJobOverANewConnection ends the connection under a job, as systemd does when it executes itself again: who waits
// asks what became of the unit.
func TestJobOverANewConnection(t *testing.T) {
	queued := jobOf{5, jobPath("5")}
	none := jobOf{0, "/"}
	for name, tt := range map[string]struct {
		state State // "" for a unit that is gone
		stop  bool
		want  string // of the error
	}{
		"active":    {Active, false, ""},
		"failed":    {Failed, false, "start x.service: the job's result is failed"},
		"gone":      {"", false, "the job's result is lost"},
		"stopped":   {"", true, ""},
		"stopped 2": {Inactive, true, ""},
		"stopped 3": {Failed, true, ""},
		"runs on":   {Active, true, "the job's result is lost"},
	} {
		t.Run(name, func(t *testing.T) {
			c, p := connected(t)
			p.unit(map[string]any{"LoadState": "loaded", "ActiveState": "activating", "Job": queued})
			wait := start(t, c, p)
			if tt.stop {
				p.answer("StopUnit", func([]any) []any { return []any{jobPath("5")} })
				var err error
				if wait, err = c.Stop(t.Context(), "x.service"); err != nil {
					t.Fatal(err)
				}
			}
			p.again(false) // the job goes on
			if _, err := c.Get(t.Context(), "x.service"); err != nil {
				t.Error(err)
			}
			p.unit(map[string]any{"LoadState": "loaded", "ActiveState": string(tt.state), "Job": none})
			if tt.state == "" {
				p.answer("GetAll", nil)
			}
			p.again(false)
			if err := wait(t.Context()); tt.want == "" && err != nil || tt.want != "" && (err == nil ||
				!strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// TestAskedAgain loses the connection before the answer to a question, which is asked again.
func TestAskedAgain(t *testing.T) {
	c, p := connected(t)
	p.answer("GetAll", func([]any) []any {
		p.unit(map[string]any{"LoadState": "loaded", "ActiveState": "active"})
		p.again(false)
		return nil
	})
	if u, err := c.Get(t.Context(), "x.service"); err != nil || u.State != Active {
		t.Errorf("%+v, %v", u, err)
	}
	p.answer("StopUnit", func([]any) []any {
		p.again(false)
		return nil
	})
	if _, err := c.Stop(t.Context(), "x.service"); err == nil || Answered(err) || errors.Is(err, ErrNotLoaded) {
		t.Errorf("an order without an answer: %v", err)
	}
}

// TestEnableLinger asks logind over the bus and starts the member's manager.
func TestEnableLinger(t *testing.T) {
	c, _ := connected(t)
	if err := c.EnableLinger(t.Context(), 1000); err == nil || !strings.Contains(err.Error(), "uid 1000") {
		t.Errorf("a logind that refuses: %v", err)
	}
}
