// Command gifford-images is the image keeper: it owns the host's one copy of every image,
// as an unprivileged account, and answers root and the hub on a UNIX socket that systemd
// holds. It ends when it has had nothing to do for a while.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/images/keeper"
	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/journal"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

const (
	idle    = 10 * time.Minute // without a request or job
	lastOut = 10 * time.Second // for requests under way at the end

	// bySocket is the next step for who starts the program by hand.
	bySocket = "systemctl start gifford-images.socket"
)

// version is set by the linker.
var version = "development"

func main() {
	config := flag.String("config", policy.File, "read the policy from `FILE`")
	showVersion := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *showVersion {
		fmt.Println("gifford-images", version)
		return
	}
	log, err := journal.New(journal.Config{Identifier: "gifford-images"})
	if err != nil {
		fmt.Fprintf(os.Stderr, "gifford-images: %v\n", err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, *config, log); err != nil {
		log.Error("exiting after a fatal error", "event", "exit", "error", hint.Text(err))
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, config string, log *slog.Logger) error {
	if os.Geteuid() == 0 {
		return hint.New("the image keeper must not run as root", bySocket)
	}
	listeners, err := activation.Listeners()
	if err != nil || len(listeners) != 1 {
		return hint.New("gifford-images is started by its socket", bySocket)
	}
	hub, err := uidOf("gifford-hub")
	if err != nil {
		return err
	}
	podman, err := keeper.NewPodman(keeper.PodmanConfig{
		RunDir: os.Getenv("RUNTIME_DIRECTORY"), StateDir: imagestore.StateDir,
		Auth:   filepath.Join(os.Getenv("CREDENTIALS_DIRECTORY"), "registry-auth"),
		Stderr: os.Stderr, Log: log,
	})
	if err != nil {
		return err
	}
	defer podman.Close()
	k := keeper.New(ctx, keeper.Config{
		Podman: podman, Policy: func() (*policy.Policy, error) { return readPolicy(config) },
		StateDir: imagestore.StateDir, LauncherRun: contract.RunDir, LauncherState: contract.StateDir, Log: log,
	})
	defer k.Wait()
	k.Tidy()
	return serve(ctx, listeners[0], k, hub)
}

// activity counts the open connections, and notes on a channel that something has happened on one.
type activity struct {
	open     atomic.Int64
	happened chan struct{} // of one
}

func (a *activity) note(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		a.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		a.open.Add(-1)
	}
	select {
	case a.happened <- struct{}{}:
	default:
	}
}

// serve answers until ctx ends or nothing has happened for a while.
func serve(ctx context.Context, listener net.Listener, k *keeper.Keeper, hub uint32) error {
	connections := &activity{happened: make(chan struct{}, 1)}
	server := &http.Server{Handler: k.Handler(hub), ConnContext: keeper.Peer, ReadHeaderTimeout: 10 * time.Second,
		ConnState: connections.note}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady+"\nSTATUS=serving the images of all members")
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-connections.happened:
		case <-timer.C:
			if connections.open.Load() == 0 && !k.Busy() {
				return shutdown(ctx, server)
			}
		case <-ctx.Done():
			return shutdown(ctx, server)
		}
		timer.Reset(idle)
	}
}

// shutdown lets requests that are under way end.
func shutdown(ctx context.Context, server *http.Server) error {
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastOut)
	defer cancel()
	_ = server.Shutdown(end)
	return nil
}

func readPolicy(name string) (*policy.Policy, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the policy: %w", err)
	}
	return policy.Parse(name, text)
}

// uidOf returns the uid of an account that the package makes in /etc/passwd.
func uidOf(name string) (uint32, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, hint.With(fmt.Errorf("cannot find the account %s: %w", name, err), "systemd-sysusers")
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	return uint32(uid), err
}
