package handover

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

func notifySocket(t *testing.T) func() string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "n")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		t.Helper()
		if err := socket.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 4096)
		n, err := socket.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		return string(buffer[:n])
	}
}

func TestNotify(t *testing.T) {
	next := notifySocket(t)
	tests := map[string]struct {
		call func() error
		want string
	}{
		"ready":     {func() error { return Notify{}.Ready("3 servers") }, `^READY=1\nSTATUS=3 servers$`},
		"status":    {func() error { return Notify{}.Status("a\nREADY=1") }, `^STATUS=a READY=1$`},
		"stopping":  {Notify{}.Stopping, `^STOPPING=1$`},
		"reloading": {Notify{}.Reloading, `^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+$`},
		"announce":  {func() error { return Announce("up") }, `^READY=1\nSTATUS=up$`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if err := tc.call(); err != nil {
				t.Fatal(err)
			}
			if got := next(); !regexp.MustCompile(tc.want).MatchString(got) {
				t.Errorf("sent %q, want %s", got, tc.want)
			}
		})
	}
}

func TestNotifyWithoutSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := (Notify{}).Ready("x"); err != nil {
		t.Errorf("ready: %v", err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "none"))
	if err := (Notify{}).Ready("x"); err == nil {
		t.Error("no error for a socket that is not there")
	}
}

func TestWatchdogPingsOnlyWhileHealthy(t *testing.T) {
	next := notifySocket(t)
	t.Setenv(envUsec, "20000")
	t.Setenv(envWatchPID, "")
	ctx, cancel := context.WithCancel(t.Context())
	var calls int
	done := make(chan error, 1)
	go func() {
		done <- Notify{}.Watchdog(ctx, func(context.Context) error {
			if calls++; calls == 2 {
				return errors.New("database is locked")
			}
			return nil
		})
	}()
	for _, want := range []string{
		"WATCHDOG=1", "STATUS=unhealthy, the watchdog will restart the hub: database is locked", "WATCHDOG=1",
	} {
		if got := next(); got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWatchdogOff(t *testing.T) {
	t.Setenv(envUsec, "")
	if err := (Notify{}).Watchdog(t.Context(), func(context.Context) error { panic("asked") }); err != nil {
		t.Error(err)
	}
}
