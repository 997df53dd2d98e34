package hub

import (
	"context"
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/hub/disk"
	"github.com/gifford-lab/gifford-hub/agent/hub/gpus"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// watchDisks makes what knows of the disks.
func (h *instance) watchDisks() (err error) {
	h.disk, err = disk.New(disk.Config{
		Launcher: h.launcher, Refresh: h.cfg.Disk.Refresh, Paths: h.cfg.Disk.Paths,
		WarnFree: disk.Threshold(h.cfg.Disk.WarnFree), Log: h.log,
		Users: h.everybody, Recent: h.recentlyServed,
	})
	return err
}

func (h *instance) everybody(ctx context.Context) ([]ident.User, error) {
	known, _, err := h.store.FindUsers(ctx, store.UserQuery{Sort: "name"})
	var all []ident.User
	for _, u := range known {
		all = append(all, u.Name)
	}
	return all, err
}

// recentlyServed returns the users with a server that runs, and those with one that was
// started or used since then.
func (h *instance) recentlyServed(ctx context.Context, since time.Time) ([]ident.User, error) {
	running := map[ident.User]bool{}
	for _, s := range h.servers.List() {
		running[s.Key.User] = running[s.Key.User] || s.State.Active()
	}
	all, err := h.everybody(ctx)
	if err != nil {
		return nil, err
	}
	var recent []ident.User
	for _, u := range all {
		used, err := h.store.ServersOf(ctx, u)
		if err != nil {
			return nil, err
		}
		if running[u] || slices.ContainsFunc(used, func(s store.Server) bool {
			return s.LastActivity.After(since) ||
				s.Started.After(since)
		}) {
			recent = append(recent, u)
		}
	}
	return recent, nil
}

// watchGPUs makes what knows of the host's GPUs.
func (h *instance) watchGPUs() (err error) {
	h.gpus, err = gpus.New(gpus.Config{Launcher: h.launcher, UserName: accounts.Directory{}.UserName, Log: h.log})
	return err
}
