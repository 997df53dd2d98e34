// Command gifford-images is the image keeper: it owns the host's one copy of every image,
// as an unprivileged account, and answers root and the hub on a UNIX socket that systemd
// holds. It ends when it has had nothing to do for a while.
package main

import (
	"context"
	"errors"
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

	"github.com/gifford-lab/gifford-hub/agent/images/keeper"
	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/journal"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

const (
	idle    = 10 * time.Minute // without a request or job
	lastOut = 10 * time.Second // for requests under way at the end
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
		log.Error("cannot go on", "event", "exit", "error", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, config string, log *slog.Logger) error {
	if os.Geteuid() == 0 {
		return errors.New("the image keeper must not run as root\nhint: systemctl start gifford-images.socket")
	}
	listeners, err := activation.Listeners()
	if err != nil || len(listeners) != 1 {
		return errors.New("gifford-images is started by its socket\nhint: systemctl start gifford-images.socket")
	}
	hub, err := uidOf("gifford-hub")
	if err != nil {
		return err
	}
	podman, err := keeper.NewPodman(os.Getenv("RUNTIME_DIRECTORY"), imagestore.StateDir,
		filepath.Join(os.Getenv("CREDENTIALS_DIRECTORY"), "registry-auth"), os.Stderr)
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

// serve answers until ctx ends or nothing has happened for a while.
func serve(ctx context.Context, listener net.Listener, k *keeper.Keeper, hub uint32) error {
	var open atomic.Int64
	last := make(chan struct{}, 1)
	server := &http.Server{Handler: k.Handler(hub), ConnContext: keeper.Peer, ReadHeaderTimeout: 10 * time.Second,
		ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed, http.StateHijacked:
				open.Add(-1)
			}
			select {
			case last <- struct{}{}:
			default:
			}
		}}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady+"\nSTATUS=keeping the images of all members")
	timer := time.NewTimer(idle)
	for {
		select {
		case err := <-ended:
			return err
		case <-last:
			timer.Reset(idle)
			continue
		case <-timer.C:
			if open.Load() > 0 || k.Busy() {
				timer.Reset(idle)
				continue
			}
		case <-ctx.Done():
		}
		_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastOut)
		defer cancel()
		_ = server.Shutdown(end)
		return nil
	}
}

func readPolicy(name string) (*policy.Policy, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the policy: %w", err)
	}
	return policy.Parse(name, text)
}

// uidOf looks up an account of the package's, which is in /etc/passwd.
func uidOf(name string) (uint32, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, fmt.Errorf("cannot find the account %s: %w\nhint: systemd-sysusers", name, err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	return uint32(uid), err
}
