// Command gifford-launcher is the hub's only privileged part: it starts members' servers
// as transient systemd units, within the policy in launcher.toml, for the hub's account
// on the system bus. See docs/security.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/godbus/dbus/v5"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/journal"
	"github.com/gifford-lab/gifford-hub/agent/launcher"
	"github.com/gifford-lab/gifford-hub/agent/launcherbus"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/systemd"
)

// version is set by the linker.
var version = "0.0.0~dev"

func main() {
	config := flag.String("config", "/etc/gifford-hub/launcher.toml", "the policy")
	showVersion := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *showVersion {
		fmt.Println(version)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, *config); err != nil {
		fmt.Fprintf(os.Stderr, "gifford-launcher: %v\n", err)
		os.Exit(1)
	}
}

// run serves until ctx ends or a connection is lost; systemd starts the launcher again
// at the next call.
func run(ctx context.Context, config string) error {
	log, err := journal.New(journal.Config{Stderr: os.Stderr})
	if err != nil {
		return err
	}
	hub, err := ident.ParseUser("gifford-hub")
	if err != nil {
		return err
	}
	manager, err := systemd.Connect(ctx)
	if err != nil {
		return err
	}
	defer manager.Close()
	l := launcher.New(launcher.Config{
		Policy:  func() (*policy.Policy, error) { return policy.Load(config) },
		Systemd: manager, Accounts: accounts.New(), Podman: new(launcher.Podman).Version, HubUser: hub, HubGroup: "gifford-hub",
		StateDir: "/var/lib/gifford-launcher", RunDir: "/run/gifford-launcher", Etc: "/etc", Log: log,
	})
	return serve(ctx, l, manager)
}

// serve puts the launcher on the bus and passes changes of units on, each in its turn.
func serve(ctx context.Context, l *launcher.Launcher, manager *systemd.Manager) error {
	if err := l.Tidy(ctx); err != nil {
		return err
	}
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		return fmt.Errorf("cannot reach the system bus: %w", err)
	}
	var events sync.WaitGroup
	defer events.Wait()
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(conn.Context(), cancel)
	bus, err := launcher.Serve(ctx, conn, l)
	if err != nil {
		return err
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady+"\nSTATUS=serving "+launcherbus.BusName)
	err = manager.Watch(ctx, func(c systemd.Change) {
		if err := bus.Emit(l.Changed(ctx, c)); err != nil {
			cancel()
		}
	})
	if conn.Context().Err() != nil {
		err = errors.Join(err, launcherbus.ErrBusLost)
	}
	return err
}
