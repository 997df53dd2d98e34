package handover

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// Notify sends notifications about this process to systemd (sd_notify(3)). The zero value is ready
// to use. Without a NOTIFY_SOCKET every method does nothing and returns nil; an error means that
// the notification could not be sent.
type Notify struct{}

// Ready says that the hub serves, for the first time or again after a reload,
// and shows status in `systemctl status`.
func (Notify) Ready(status string) error {
	return send(daemon.SdNotifyReady, statusLine(status))
}

// Status shows text in `systemctl status`.
func (Notify) Status(text string) error {
	return send(statusLine(text))
}

// Stopping says that the hub is about to end.
func (Notify) Stopping() error {
	return send(daemon.SdNotifyStopping)
}

// Reloading says that a reload began, with the time that Type=notify-reload
// asks for. Ready or a successor's Announce must follow.
func (Notify) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("read the monotonic clock: %w", err)
	}
	usec := now.Nano() / int64(time.Microsecond)
	return send(daemon.SdNotifyReloading, fmt.Sprintf("MONOTONIC_USEC=%d", usec))
}

// Watchdog pings systemd's watchdog at half of WatchdogSec= while healthy
// returns nil, until ctx ends; without pings, systemd restarts the hub. While unhealthy it shows the
// reason in `systemctl status`. It returns at once when no watchdog is set. Call it after Listeners.
// The error says that the watchdog's variables are wrong or that systemd cannot be notified.
func (n Notify) Watchdog(ctx context.Context, healthy func(context.Context) error) error {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("read the watchdog's interval: %w", err)
	}
	if interval == 0 {
		return nil
	}
	ticker := time.NewTicker(interval / 2)
	defer ticker.Stop()
	for {
		if err := n.ping(ctx, interval/2, healthy); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (n Notify) ping(ctx context.Context, limit time.Duration, healthy func(context.Context) error) error {
	probe, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := healthy(probe)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return n.Status("unhealthy, the watchdog will restart the hub: " + err.Error())
	}
	return send(daemon.SdNotifyWatchdog)
}

func send(lines ...string) error {
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		return fmt.Errorf("notify systemd at %s: %w", os.Getenv("NOTIFY_SOCKET"), err)
	}
	return nil
}

// statusLine puts text on one line: each further line would be an assignment of its own.
func statusLine(text string) string {
	return "STATUS=" + strings.NewReplacer("\n", " ", "\x00", " ").Replace(text)
}
