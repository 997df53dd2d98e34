package hub

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// members finds the users whose files are measured.
type members struct {
	store   *store.Store
	servers interface{ List() []servers.Server }
}

// all returns every user, sorted by name.
func (m members) all(ctx context.Context) ([]ident.User, error) {
	known, _, err := m.store.FindUsers(ctx, store.UserQuery{Sort: "name"})
	var all []ident.User
	for _, u := range known {
		all = append(all, u.Name)
	}
	return all, err
}

// recent returns the users with a server that runs, and those with one that was started or used after since.
func (m members) recent(ctx context.Context, since time.Time) ([]ident.User, error) {
	running := map[ident.User]bool{}
	for _, s := range m.servers.List() {
		running[s.Key.User] = running[s.Key.User] || s.State.Active()
	}
	all, err := m.all(ctx)
	if err != nil {
		return nil, err
	}
	var recent []ident.User
	for _, u := range all {
		used, err := m.store.ServersOf(ctx, u)
		if err != nil {
			return nil, err
		}
		if running[u] || slices.ContainsFunc(used, usedAfter(since)) {
			recent = append(recent, u)
		}
	}
	return recent, nil
}

func usedAfter(t time.Time) func(store.Server) bool {
	return func(s store.Server) bool { return s.LastActivity.After(t) || s.Started.After(t) }
}

// know returns what adds a user who has a server and may never have signed in.
func know(records interface {
	CreateUser(ctx context.Context, u store.User) error
}) func(ctx context.Context, u ident.User) error {
	return func(ctx context.Context, u ident.User) error {
		if err := records.CreateUser(ctx, store.User{Name: u}); err != nil && !errors.Is(err, store.ErrExists) {
			return err
		}
		return nil
	}
}

// toucher notes that a person wanted a server.
type toucher struct {
	servers interface {
		Touch(key ident.Key, at time.Time)
		Get(key ident.Key) servers.Server
	}
	records interface {
		TouchServer(ctx context.Context, key ident.Key, at time.Time) error
	}
	log *slog.Logger
}

// touch notes it in memory and in the database. Without the latter it is lost at the next restart of the hub only.
func (t toucher) touch(key ident.Key, at time.Time) {
	t.servers.Touch(key, at)
	if err := t.records.TouchServer(context.Background(), key, at); err != nil {
		t.log.Warn("cannot save a server's activity", "event", "activity-unwritten", "user", key.User.String(), "unit",
			t.servers.Get(key).Name, "error", err.Error())
	}
}
