package launcherbus

import (
	"context"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// PersistentContainer is a container of a persistent profile, which outlives its server's unit.
type PersistentContainer struct {
	Key     ident.Key
	Profile string
	// Outdated says that the profile's settings have changed since the container was made; they count after a reset. It
	// is true for a profile that the policy no longer has.
	Outdated bool
}

// PersistentRow is a PersistentContainer on the bus, D-Bus type (sssb).
type PersistentRow struct {
	User, Server, Profile string
	Outdated              bool
}

// Row returns the form in which p crosses the bus.
func (p PersistentContainer) Row() PersistentRow {
	return PersistentRow{p.Key.User.String(), p.Key.Server.String(), p.Profile, p.Outdated}
}

func (r PersistentRow) container() (PersistentContainer, error) {
	key, err := ident.ParseKey(r.User, r.Server)
	return PersistentContainer{key, r.Profile, r.Outdated}, err
}

// Persistent returns the persistent containers of all members.
func (c *Client) Persistent(ctx context.Context) ([]PersistentContainer, error) {
	return read(ctx, c, "Persistent", each(PersistentRow.container))
}
