package launcherbus

import (
	"context"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Kept is the former name of PersistentContainer.
type Kept = PersistentContainer

// Usage is the former name of DiskUse.
type Usage = DiskUse

// Kept is the former name of Persistent.
func (c *Client) Kept(ctx context.Context) ([]Kept, error) { return c.Persistent(ctx) }

// Usage is the former name of DiskUse.
func (c *Client) Usage(ctx context.Context, user ident.User, measure bool) (Usage, error) {
	return c.DiskUse(ctx, user, measure)
}
