// Package hub is the daemon: it makes the parts below it and connects them, brings back what runs, listens, and hands
// over to a newer process at a reload. It must never decide what a part decides, nor print for people.
package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/accounting"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend/local"
	"github.com/gifford-lab/gifford-hub/agent/hub/config"
	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/hub/disk"
	"github.com/gifford-lab/gifford-hub/agent/hub/gpus"
	"github.com/gifford-lab/gifford-hub/agent/hub/handover"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/metrics"
	"github.com/gifford-lab/gifford-hub/agent/hub/probe"
	"github.com/gifford-lab/gifford-hub/agent/hub/proxy"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/hub/tlscert"
	"github.com/gifford-lab/gifford-hub/agent/hub/tokens"
	"github.com/gifford-lab/gifford-hub/agent/journal"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// jupyterHubVersion is the version of JupyterHub whose contract the hub keeps.
const jupyterHubVersion = "5.5.1"

// Bounds of what the hub does besides answering requests.
const (
	cleanEvery  = time.Hour        // how often expired sessions and tokens are deleted
	stopGrace   = 5 * time.Second  // for open requests when the service is stopped
	reloadBound = 60 * time.Second // for a new process to get ready
)

// instance is the parts of a running hub, wired.
type instance struct {
	version   string
	cfg       *config.Config
	log       *slog.Logger
	listeners map[string][]net.Listener
	store     *store.Store
	launcher  *local.Backend
	metrics   *metrics.Metrics
	login     *login.Service
	proxy     *proxy.Proxy
	servers   *servers.Manager
	disk      *disk.Watch
	usage     *accounting.Accountant
	gpus      *gpus.Desk
	culler    *cull.Culler    // nil when culling is off
	cert      *tlscert.Loader // nil without TLS
	notify    notifier
	surfaces  []*surface

	authority  *access.Authority
	access     *access.Authenticator
	services   *services.Registry
	toServices *serviceProxy
	tokens     *tokens.Issuer
	actions    *actions.Actions

	end        context.CancelFunc // ends the process
	long       longWork           // that a request began
	handedOver chan struct{}      // closed when a newer process has taken over
	reloading  sync.Mutex         // one reload at a time
}

// Run runs the hub on the sockets that systemd passes, until ctx ends or a newer process has taken over and everything
// open here has ended. version is the program's own.
func Run(ctx context.Context, cfg *config.Config, version string) error {
	begun := time.Now()
	log, err := journal.New(journal.Config{Level: cfg.Log.Level, Stderr: os.Stderr})
	if err != nil {
		return err
	}
	h := &instance{cfg: cfg, version: version, log: log, handedOver: make(chan struct{}), long: newLongWork()}
	ctx, cancel := context.WithCancel(ctx)
	h.end = cancel
	var background sync.WaitGroup
	defer background.Wait()
	defer cancel()
	if err := h.open(ctx); err != nil {
		return err
	}
	defer h.close()
	h.work(ctx, &background)
	failed := h.listen()
	if err := handover.Announce(h.status()); err != nil {
		return err
	}
	h.notify.start(h.status)
	h.metrics.HubStarted(time.Since(begun))
	select {
	case err := <-failed:
		return err
	case <-h.handedOver:
		cancel()
		return h.drain()
	case <-ctx.Done():
		h.stop()
		return nil
	}
}

// open makes the parts, from the ones that need nothing to the ones that need others,
// and brings the routes back before anything is accepted.
func (h *instance) open(ctx context.Context) (err error) {
	if h.listeners, err = handover.Listeners(); err != nil {
		return err
	}
	if h.cfg.State.Directory == "" {
		return errors.New("there is no directory for the hub's state\nhint: systemctl start gifford-hub, or set " +
			"state.directory")
	}
	if h.cfg.TLS.Certificate != "" {
		if h.cert, err = tlscert.Open(ctx, tlscert.Config{Certificate: h.cfg.TLS.Certificate, Key: h.cfg.TLS.Key,
			Log: h.log}); err != nil {
			return err
		}
	}
	if h.store, err = store.Open(ctx, store.Config{Path: filepath.Join(h.cfg.State.Directory, "hub.sqlite"),
		Log: h.log}); err != nil {
		return err
	}
	if h.metrics, err = metrics.New(h.metricsConfig()); err != nil {
		return err
	}
	if err := h.grants(ctx); err != nil {
		return err
	}
	if h.launcher, err = local.New(local.Config{Log: h.log, Observe: h.metrics.Backend}); err != nil {
		return err
	}
	if h.login, err = login.New(ctx, h.loginConfig(accounts.Directory{})); err != nil {
		return err
	}
	h.warnUnknownGroups(ctx, accounts.Directory{})
	for _, problem := range h.login.Problems(ctx) {
		h.log.Warn("access rule: "+problem, "event", "access-problem")
	}
	if err := h.assemble(); err != nil {
		return err
	}
	begun := time.Now()
	if err := h.servers.Sync(ctx); err != nil {
		h.log.Error("cannot read back what runs; trying again when the launcher answers", "event", "sync-failed",
			"error", err.Error())
	}
	h.metrics.ServersFound(time.Since(begun))
	h.remember(ctx)
	h.restoreLine(ctx)
	return nil
}

func (h *instance) close() {
	h.long.close()
	if h.servers != nil {
		h.servers.Close()
	}
	if h.launcher != nil {
		h.launcher.Close()
	}
	if h.store != nil {
		_ = h.store.Close()
	}
}

// env is what servers are told of the hub.
func (h *instance) env() (servers.EnvConfig, error) {
	for _, l := range h.listeners["api"] {
		if addr, ok := l.Addr().(*net.TCPAddr); ok {
			url := fmt.Sprintf("http://127.0.0.1:%d%shub/api", addr.Port, h.cfg.HTTP.BaseURL)
			return servers.EnvConfig{BaseURL: h.cfg.HTTP.BaseURL, APIURL: url, PublicURL: h.cfg.HTTP.PublicURL}, nil
		}
	}
	return servers.EnvConfig{}, errors.New("there is no listener for the servers' way back to the hub\nhint: " +
		"systemctl start gifford-hub-api.socket")
}

// work starts what runs beside the requests until ctx ends.
func (h *instance) work(ctx context.Context, background *sync.WaitGroup) {
	background.Go(func() {
		resync := func() {
			if err := h.servers.Sync(ctx); err != nil && ctx.Err() == nil {
				h.log.Error("cannot read back what runs", "event", "sync-failed", "error", err.Error())
			}
		}
		h.launcher.Watch(ctx, h.servers.Handle, resync)
	})
	background.Go(func() { h.store.KeepClean(ctx, cleanEvery) })
	background.Go(func() {
		if err := (handover.Notify{}).Watchdog(ctx, h.store.Ping); err != nil && ctx.Err() == nil {
			h.log.Error("cannot feed the watchdog", "event", "watchdog-failed", "error", err.Error())
		}
	})
	background.Go(func() { h.disk.Run(ctx) })
	background.Go(func() { h.usage.Run(ctx) })
	background.Go(func() { h.servers.Advance(ctx) })
	if h.culler != nil {
		background.Go(func() { h.culler.Run(ctx) })
	}
	if h.cert != nil {
		background.Go(func() { h.cert.Watch(ctx) })
	}
}

// changed passes a server's change of state on to the parts that count it or show it.
func (h *instance) changed(s servers.Server, from servers.State) {
	h.notify.changed()
	h.metrics.Changed(s, from)
	h.usage.Changed(s, from)
}

// loginConfig hands the settings on.
func (h *instance) loginConfig(unix accounts.Directory) login.Config {
	l, a := h.cfg.Login, h.cfg.Access
	return login.Config{
		Issuer: l.Issuer, ClientID: l.ClientID, ClientSecret: l.ClientSecret.Reveal(), ClientAuth: l.ClientAuth,
		CallbackURL: l.CallbackURL, Scopes: l.Scopes, UsernameClaim: l.UsernameClaim,
		UsernamePattern: l.UsernamePattern,
		UsernameMap:     l.UsernameMap, Lowercase: l.Lowercase, RequireVerifiedEmail: l.RequireVerifiedEmail,
		GroupsClaim: l.GroupsClaim,
		Endpoints:   login.Endpoints(l.Endpoints), ProviderLogout: l.ProviderLogout, PostLogoutURL: l.PostLogoutURL,
		Access: login.Access{AllowAll: a.AllowAll, AllowedUsers: a.Users, AllowedGroups: a.Groups,
			AllowedUnixGroups: a.UnixGroups,
			AdminUsers:        a.AdminUsers, AdminGroups: a.AdminGroups, AdminUnixGroups: a.AdminUnixGroups,
			BlockedUsers: a.BlockedUsers},
		Recheck: a.Recheck, MaxStale: a.MaxStale, Lifetime: h.cfg.Session.Lifetime, Idle: h.cfg.Session.Idle,
		BasePath: h.cfg.HTTP.BaseURL, HTTP: http.DefaultClient, Store: h.store, Accounts: unix,
		Confirmed: h.confirmed(unix), Log: h.log, OnLogin: h.countLogin, Now: time.Now,
	}
}

// manage makes the server manager over the proxy's routes.
func (h *instance) manage() error {
	env, err := h.env()
	if err != nil {
		return err
	}
	h.servers, err = servers.New(servers.Config{
		Backend: h.launcher, Images: sharedImages{imagekeeper.New(imagekeeper.DefaultSocket), h.log}, Router: h.proxy,
		Prober: timedProber{probe.Prober{}, h.metrics}, Output: h.launcher,
		Env:     env,
		Devices: h.launcher, Memory: lineMemory{h.store}, Ends: h.announcedEnd,
		StartTimeout: h.cfg.Servers.StartTimeout, HTTPTimeout: h.cfg.Servers.HTTPTimeout,
		StopTimeout: h.cfg.Servers.StopTimeout,
		Log:         h.log, OnTransition: h.changed,
	})
	return err
}
