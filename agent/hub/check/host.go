package check

import (
	"context"
	"io/fs"
)

// host is what the checks read. None of its methods may change the host.
type host interface {
	// Root reports whether the checks run as root.
	Root() bool
	// ReadFile reads a whole file.
	ReadFile(path string) ([]byte, error)
	// Stat follows links. The error is an fs.PathError.
	Stat(path string) (File, error)
	// Run runs a program of the host's path and returns its standard output without the
	// line end. The error holds what it wrote to standard error.
	Run(ctx context.Context, name string, args ...string) (string, error)
	// Listener returns the program that listens on a TCP port: "" when nothing does, "?"
	// when its name may not be seen.
	Listener(port int) (string, error)
	// Free returns the bytes that are free, and all, of the file system on which a directory is.
	Free(path string) (free, total int64, err error)
	// Fetch returns the body of an HTTP answer of status 200.
	Fetch(ctx context.Context, url string) ([]byte, error)
}

// File is what the checks compare of a file.
type File struct {
	Mode  fs.FileMode
	Owner string // user name, or the number when there is none
	Group string // group name, or the number when there is none
	Caps  bool   // has file capabilities
}
