package hub

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
)

// recover brings back what an earlier process left: routes to the servers that run, who waits for devices. It comes
// before anything is accepted, and no failure here stops the hub: what is missing is logged.
func (h *hub) recover(ctx context.Context) {
	h.warnUnknownGroups(ctx, h.unix)
	for _, problem := range h.login.Problems(ctx) {
		h.log.Warn("access rule: "+problem, "event", "access-problem")
	}
	for _, problem := range h.cfg.EmptyRoles() {
		h.log.Warn(problem, "event", "role-problem")
	}
	begun := time.Now()
	if err := h.servers.Sync(ctx); err != nil {
		h.log.Error("cannot read which servers run; the hub tries again when the launcher answers", "event",
			"sync-failed", "error", err.Error())
	}
	h.metrics.ServersFound(time.Since(begun))
	h.recoverActivity(ctx)
	h.recoverQueue(ctx)
}

// recoverActivity adds the users of the servers that run, who may be missing in a database that was restored, and
// returns the last activity to the servers, which the hub alone knows.
func (h *hub) recoverActivity(ctx context.Context) {
	know := know(h.store)
	for _, s := range h.servers.List() {
		if err := know(ctx, s.Key.User); err != nil {
			h.log.Warn("cannot save the user of a running server", "event", "user-unwritten", "user",
				s.Key.User.String(), "error", err.Error())
		}
		if record, err := h.store.ServerByKey(ctx, s.Key); err == nil {
			h.servers.Touch(s.Key, record.LastActivity)
		}
	}
}

// recoverQueue puts those back into the queue who waited when the hub ended.
func (h *hub) recoverQueue(ctx context.Context) {
	rows, err := h.store.Queue(ctx)
	if err != nil {
		h.log.Error("cannot read the queue for devices; those who waited must start their servers again", "event",
			"queue-unreadable", "error", err.Error())
		return
	}
	queue := make([]servers.QueueEntry, len(rows))
	for i, r := range rows {
		queue[i] = servers.QueueEntry(r)
	}
	h.servers.Restore(queue)
}

// warnUnknownGroups logs the groups of [cull.groups] that exist neither in the hub nor on the host.
func (h *hub) warnUnknownGroups(ctx context.Context, unix interface {
	GroupExists(ctx context.Context, group string) (bool, error)
}) {
	for _, name := range slices.Sorted(maps.Keys(h.cfg.Cull.Groups)) {
		if _, err := h.store.GroupByName(ctx, name); err == nil {
			continue
		}
		if ok, err := unix.GroupExists(ctx, name); err == nil && !ok {
			h.log.Warn(fmt.Sprintf("culling: there is neither a Unix group nor a group of the hub %q", name), "event",
				"cull-problem")
		}
	}
}
