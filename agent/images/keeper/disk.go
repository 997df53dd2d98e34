package keeper

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// Disk returns the size of the store and the space that is left.
func (k *Keeper) Disk() (imagekeeper.Disk, error) {
	rules, err := k.cfg.Policy()
	if err != nil {
		return imagekeeper.Disk{}, err
	}
	return k.disk(rules)
}

func (k *Keeper) disk(rules *policy.Policy) (imagekeeper.Disk, error) {
	st, err := k.fullest()
	if err != nil {
		return imagekeeper.Disk{}, err
	}
	store, err := k.store()
	if err != nil {
		return imagekeeper.Disk{}, err
	}
	defer store.Close()
	free := freeOf(st)
	return imagekeeper.Disk{Path: k.cfg.StateDir, Store: store.Size(), Free: free, Total: int64(st.Blocks) * st.Bsize,
		Low: uint64(max(0, free)) < rules.Images.MinFree}, nil
}

// statfs is statfs(2).
type statfs func(path string, into *unix.Statfs_t) error

// fullest returns the file system with the least free space of those that a pull writes to: the store's and that of
// temporary files, which an administrator may have put elsewhere.
func (k *Keeper) fullest() (unix.Statfs_t, error) {
	var least unix.Statfs_t
	for i, dir := range []string{"", "storage", "tmp"} {
		var st unix.Statfs_t
		err := k.statfs(filepath.Join(k.cfg.StateDir, dir), &st)
		if errors.Is(err, unix.ENOENT) && i > 0 {
			continue // not made yet
		} else if err != nil {
			return least, fmt.Errorf("cannot measure the disk of the images: %w", err)
		}
		if i == 0 || freeOf(st) < freeOf(least) {
			least = st
		}
	}
	return least, nil
}

func freeOf(st unix.Statfs_t) int64 { return int64(st.Bavail) * st.Bsize }

// room refuses what needs space when less is left than the policy wants.
func (k *Keeper) room(rules *policy.Policy) error {
	d, err := k.disk(rules)
	if err == nil && d.Low {
		return refuseWith("gifford-hub images prune; or min_free in [images] of "+policy.File,
			"nothing is pulled or imported: %s has %s left, and the policy wants %s", d.Path,
			inUnits(uint64(d.Free)), inUnits(rules.Images.MinFree))
	}
	return err
}

// inUnits formats a number of bytes for people.
func inUnits(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.1f %cB", f, units[i])
}
