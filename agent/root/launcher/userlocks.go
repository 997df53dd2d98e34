package launcher

import (
	"sync"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// userLocks lets one request at a time prepare a user's runtime.
type userLocks struct {
	mu    sync.Mutex // guards locks
	locks map[ident.User]*userLock
}

type userLock struct {
	sync.Mutex
	waiting int // holders and waiters; userLocks.mu guards it
}

// lock waits for the user's lock and returns the function that releases it. A lock that nobody holds or waits for is
// removed, so that names cannot fill the table.
func (u *userLocks) lock(user ident.User) (unlock func()) {
	u.mu.Lock()
	if u.locks == nil {
		u.locks = map[ident.User]*userLock{}
	}
	l, ok := u.locks[user]
	if !ok {
		l = &userLock{}
		u.locks[user] = l
	}
	l.waiting++
	u.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		u.mu.Lock()
		defer u.mu.Unlock()
		if l.waiting--; l.waiting == 0 {
			delete(u.locks, user)
		}
	}
}
