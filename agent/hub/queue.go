package hub

import (
	"context"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// lineMemory keeps in the database who waits for devices.
type lineMemory struct{ *store.Store }

func (m lineMemory) SaveQueue(ctx context.Context, line []servers.QueueEntry) error {
	rows := make([]store.LinePlace, len(line))
	for i, p := range line {
		rows[i] = store.LinePlace(p)
	}
	return m.Store.SaveLine(ctx, rows)
}

// restoreLine brings those back into the line who waited when the hub ended.
func (h *instance) restoreLine(ctx context.Context) {
	rows, err := h.store.Line(ctx)
	if err != nil {
		h.log.Error("cannot read who waits for a device; they have to ask again", "event", "line-unreadable", "error",
			err.Error())
		return
	}
	line := make([]servers.QueueEntry, len(rows))
	for i, r := range rows {
		line[i] = servers.QueueEntry(r)
	}
	h.servers.Restore(line)
}

// announcedEnd returns when a server will be stopped, as its people were told.
func (h *instance) announcedEnd(key ident.Key) (time.Time, bool) {
	if h.culler == nil {
		return time.Time{}, false
	}
	n, ok := h.culler.Notice(key)
	return n.At, ok
}
