package launcherbus

import (
	"context"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// DiskUse is the space that a member's files took when they were last measured.
type DiskUse struct {
	Measuring bool      // a measurement is under way
	Measured  time.Time // zero: never
	Storage   Tree      // the private container storage: changes in containers, and images that are the member's own
	Home      Tree
	HomePath  string
}

// Tree is one directory with all below it on the same file system. The numbers come from a program that runs as the
// member, so they are as true as the member lets them be.
type Tree struct {
	Bytes  int64 // of blocks, each file once
	Files  int64 // files and directories
	Unread int64 // of them that could not be read
}

// DiskUseRow is a DiskUse on the bus, D-Bus type (bx(xxx)(xxx)s).
type DiskUseRow struct {
	Measuring     bool
	Measured      int64 // seconds since 1970; 0 is never
	Storage, Home Tree
	HomePath      string
}

// Row returns the form in which u crosses the bus.
func (u DiskUse) Row() DiskUseRow {
	r := DiskUseRow{u.Measuring, 0, u.Storage, u.Home, u.HomePath}
	if !u.Measured.IsZero() {
		r.Measured = u.Measured.Unix()
	}
	return r
}

func (r DiskUseRow) diskUse() (DiskUse, error) {
	u := DiskUse{r.Measuring, time.Time{}, r.Storage, r.Home, r.HomePath}
	if r.Measured > 0 {
		u.Measured = time.Unix(r.Measured, 0)
	}
	return u, nil
}

// DiskUse returns what a member's files took when they were last measured. With measure another measurement begins,
// unless one is under way; nothing waits for it.
func (c *Client) DiskUse(ctx context.Context, user ident.User, measure bool) (DiskUse, error) {
	return read(ctx, c, "DiskUse", DiskUseRow.diskUse, user.String(), measure)
}
