package control

import (
	"context"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/unixhttp"
)

// Disk is what is known of the disks.
type Disk struct {
	FileSystems []FileSystem `json:"file_systems"`
	Users       []DiskUser   `json:"users"`
}

// FileSystem is one that the hub watches, by one of the directories on it.
type FileSystem struct {
	Path  string `json:"path"`
	Free  int64  `json:"free"`  // bytes that members may still take
	Total int64  `json:"total"` // bytes
	Low   bool   `json:"low"`   // fewer are free than disk.warn_free
}

// DiskUser is what a user's files took when they were last measured.
type DiskUser struct {
	User     ident.User `json:"user"`
	Measured time.Time  `json:"measured"`
	Home     DiskTree   `json:"home"`
	Storage  DiskTree   `json:"storage"` // containers' changes, and images that are the user's own
}

// DiskTree is one directory with all below it on the same file system.
type DiskTree struct {
	Bytes  int64 `json:"bytes"`
	Files  int64 `json:"files"`
	Unread int64 `json:"unread"` // files and directories that could not be read
}

// DiskRequest asks that a user's files be measured now.
type DiskRequest struct {
	User ident.User `json:"user"`
}

// Disk reports what is known of the disks.
func (c *Client) Disk(ctx context.Context) (Disk, error) {
	var d Disk
	return d, c.http.Get(ctx, DiskPath, &d)
}

// MeasureDisk has a user's files measured and waits for the result.
func (c *Client) MeasureDisk(ctx context.Context, req DiskRequest) (DiskUser, error) {
	var u DiskUser
	return u, c.http.Post(ctx, DiskPath, unixhttp.JSON(req), &u)
}
