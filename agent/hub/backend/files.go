package backend

import (
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// PersistentContainer is the container of a persistent profile, which waits for its server's next start.
type PersistentContainer struct {
	Key     ident.Key
	Profile string
	// Outdated says that the profile's settings have changed since the container was made. They count after a reset. It
	// is true for a profile that the policy no longer has.
	Outdated bool
}

// DiskUse is what a member's files took when they were last measured.
type DiskUse struct {
	Measuring bool      // one measurement is under way
	Measured  time.Time // zero: never
	Storage   Tree      // the private container storage: changes in containers, and images that are the member's own
	Home      Tree
	HomePath  string
	Hint      string // the next step where a measurement ended without a result
}

// Tree is one directory with all below it on the same file system. The numbers come from a program that runs as the
// member, so they are as true as the member lets them be.
type Tree struct {
	Bytes  int64 // of blocks, each file once
	Files  int64 // files and directories
	Unread int64 // of them that could not be read
}
