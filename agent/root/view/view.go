// Package view makes, as root, a member's read-only view of the one image store: an idmapped bind mount of the keeper's
// layers in which every file has the owner that it has in that member's containers, and the metadata that lets Podman
// take it for an additional image store. It must never write into the store, follow a link that another than root could
// have made, run a program, or mount anything but the store's layers.
package view

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/root/nofollow"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// Host is where things are. Every field is required.
type Host struct {
	RunDir, StateDir string    // the launcher's
	Store            string    // the image keeper's
	EtcDir           string    // of subuid(5) and subgid(5)
	Warn             io.Writer // what people read in the unit's journal
	mounts           mounts
}

// mounts is what the package asks of the kernel.
type mounts interface {
	// attach puts an idmapped, read-only mount of one directory at another.
	attach(source, target *os.File, uids, gids IDMap) error
	// detach removes all mounts from a directory; one without a mount, or that is missing, is no error.
	detach(target string) error
}

// Standard is the host of the package.
func Standard(warn io.Writer) Host {
	return Host{RunDir: contract.RunDir, StateDir: contract.StateDir, Store: imagestore.Dir, EtcDir: "/etc", Warn: warn,
		mounts: kernel{}}
}

// Mount makes the view of a server's image and leaves in it by what name the unit is to run the image. Where the view
// cannot be made, it leaves there why, and a storage.conf without it: the image then has to be in the member's own
// store.
func (h Host) Mount(key ident.Key) error {
	r, err := h.request(key)
	if err != nil {
		return err
	}
	unlock, err := h.lock(lockTime)
	if err != nil {
		return err
	}
	defer unlock()
	dir, err := h.fresh(key)
	if err != nil {
		return err
	}
	defer dir.Close()
	image, err := h.share(dir, key, r)
	var slow *unshared
	if errors.As(err, &slow) {
		return h.settings(dir, key, r, r.Image, slow.Error())
	} else if err != nil {
		return fmt.Errorf("cannot make the view of image %q: %w", r.Image, err)
	}
	if err := h.settings(dir, key, r, image, ""); err != nil {
		return err
	}
	return h.record(key, r, image)
}

// Unmount removes the view of a server, and the record that the server needs its image. A view that cannot be unmounted
// stays as it is, with its record: what is below it is the store's.
func (h Host) Unmount(key ident.Key) error {
	dir := path.Join(h.RunDir, contract.ViewParts(key))
	if err := h.mounts.detach(path.Join(dir, "overlay")); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return removeIfThere(path.Join(h.RunDir, "images", key.Unit()))
}

// Probe reports why members cannot share the store's images; nil when they can. It mounts nothing anywhere.
func (h Host) Probe() error {
	store, err := imagestore.Open(h.Store)
	if err != nil {
		return err
	}
	store.Close()
	source, err := nofollow.Directory(path.Join(h.Store, "overlay"))
	if errors.Is(err, fs.ErrNotExist) {
		source, err = nofollow.Directory(path.Dir(h.Store)) // nothing was pulled yet
	}
	if err != nil {
		return err
	}
	defer source.Close()
	tree, err := cloneMapped(source, IDMap{{1, 100000, 1}}, IDMap{{1, 100000, 1}})
	if err != nil {
		return fmt.Errorf("the file system of %s: %w", source.Name(), err)
	}
	return unix.Close(tree)
}

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
