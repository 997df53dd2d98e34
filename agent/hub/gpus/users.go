package gpus

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/printable"
)

const (
	userFresh = 5 * time.Minute // how long a name is good for
	userWait  = time.Second     // how long a page waits for a name service
	maxUsers  = 1000            // names that are remembered
)

// users remembers the names of uids, since a name service may be slow.
type users struct {
	mu    sync.Mutex // guards names
	names map[uint32]knownUser
}

type knownUser struct {
	name string
	at   time.Time
}

// User returns the name of a uid, or "uid 1234" where no name is known.
func (d *Desk) User(ctx context.Context, uid uint32) string {
	u, now := &d.users, d.cfg.Now()
	u.mu.Lock()
	known, ok := u.names[uid]
	u.mu.Unlock()
	if ok && now.Sub(known.at) < userFresh {
		return known.name
	}
	ctx, cancel := context.WithTimeout(ctx, userWait)
	defer cancel()
	name, err := d.cfg.UserName(ctx, uid)
	if name = printable.Line(name, maxWord); err != nil || name == "" {
		name = fmt.Sprintf("uid %d", uid)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.names == nil || len(u.names) >= maxUsers {
		u.names = map[uint32]knownUser{}
	}
	u.names[uid] = knownUser{name, now}
	return name
}
