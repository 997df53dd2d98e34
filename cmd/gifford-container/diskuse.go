package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/hint"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// diskUseArgs are the arguments of the mode disk-use.
type diskUseArgs struct {
	result, storage, home string
	uids, gids            ranges
	inside                string // "", insideWait or insideWalk
}

// ranges are "first:count" of subordinate ids. The flag may be repeated.
type ranges []string

func (r *ranges) String() string { return strings.Join(*r, " ") }

// Set leaves the check to newuidmap, which verifies every range.
func (r *ranges) Set(s string) error {
	if first, count, ok := strings.Cut(s, ":"); !ok || !number(first) || !number(count) {
		return errors.New("expected first:count")
	}
	*r = append(*r, s)
	return nil
}

func number(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// diskUse measures the disk use of the member's files and writes the result to a file.
func diskUse(ctx context.Context, args []string) error {
	var a diskUseArgs
	flags := flag.NewFlagSet(contract.ModeDiskUse, flag.ContinueOnError)
	flags.StringVar(&a.result, "result", "", "")
	flags.StringVar(&a.storage, "storage", "", "")
	flags.StringVar(&a.home, "home", "", "")
	flags.Var(&a.uids, "uids", "")
	flags.Var(&a.gids, "gids", "")
	flags.StringVar(&a.inside, "inside", "", "")
	if err := flags.Parse(args); err != nil || a.result == "" || a.storage == "" || a.home == "" || flags.NArg() != 0 {
		return failf(contract.ExitUsage, "cannot read the arguments of disk-use\n%s", usage)
	}
	switch {
	case a.inside == insideWait:
		return waitForMap(args)
	case a.inside == "" && len(a.uids) > 0 && len(a.gids) > 0:
		err := a.mapped(ctx, args)
		if err == nil || ctx.Err() != nil {
			return inTime(ctx, err)
		}
		fmt.Fprintln(os.Stderr, "cannot read files of containers' other users:", err)
	}
	return inTime(ctx, a.measure(ctx))
}

// inTime explains an end by systemd: the time limit has passed.
func inTime(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return hint.New("it ended before everything was measured", "usage_time in "+contract.PolicyFile)
	}
	return err
}

func (a diskUseArgs) measure(ctx context.Context) error {
	var u contract.DiskUse
	var err error
	if u.Storage, err = measureTree(ctx, a.storage); err != nil {
		return err
	}
	if u.Home, err = measureTree(ctx, a.home); err != nil {
		return err
	}
	u.Ended = time.Now().Unix()
	return writeResult(a.result, u)
}

// writeResult replaces the file atomically: its reader sees the old or the new one.
func writeResult(name string, u contract.DiskUse) error {
	data, err := json.Marshal(u)
	if err != nil {
		return err
	}
	temp := name + ".new"
	_ = os.Remove(temp)
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return fmt.Errorf("cannot write the result: %w", err)
	}
	if err := os.Rename(temp, name); err != nil {
		return fmt.Errorf("cannot write the result: %w", err)
	}
	return nil
}

// inode identifies a file that has several names.
type inode struct{ dev, ino uint64 }

// measureTree adds up the blocks of a directory and of everything below it on the same file system. It counts what it
// cannot read. Its only error is that of ctx.
func measureTree(ctx context.Context, root string) (contract.Tree, error) {
	var t contract.Tree
	var top unix.Stat_t
	if err := unix.Lstat(root, &top); errors.Is(err, unix.ENOENT) {
		return t, nil
	} else if err != nil || top.Mode&unix.S_IFMT != unix.S_IFDIR {
		t.Unread = 1
		return t, nil
	}
	seen := map[inode]bool{}
	return t, filepath.WalkDir(root, func(name string, d fs.DirEntry, failed error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var st unix.Stat_t
		if failed == nil {
			failed = unix.Lstat(name, &st)
		}
		if failed != nil {
			if !errors.Is(failed, fs.ErrNotExist) { // it has gone since
				t.Unread++
			}
			return nil
		}
		directory := st.Mode&unix.S_IFMT == unix.S_IFDIR
		if st.Dev != top.Dev {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !directory && st.Nlink > 1 {
			id := inode{st.Dev, st.Ino}
			if seen[id] {
				return nil
			}
			seen[id] = true
		}
		t.Files++
		t.Bytes += st.Blocks * 512 // stat(2): always in units of 512 bytes
		return nil
	})
}
