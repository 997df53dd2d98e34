package keeper

import (
	"sync"
	"time"
)

// moves holds the image that each name got last. Its zero value is ready.
type moves struct {
	mu   sync.Mutex // guards last
	last map[string]move
}

type move struct {
	id string
	at time.Time
}

// note records that a name has an image now.
func (m *moves) note(name, id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last == nil {
		m.last = map[string]move{}
	}
	m.last[name] = move{id, time.Now()}
}

// since returns the image that a name got after a time; "" for none.
func (m *moves) since(name string, begun time.Time) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if last := m.last[name]; last.at.After(begun) {
		return last.id
	}
	return ""
}
